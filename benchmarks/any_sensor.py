"""What one pretrained `AnySensor` is worth on single sensors, and on real recordings.

    python -m benchmarks.any_sensor sensors
    python -m benchmarks.any_sensor real --recordings har_classyglass1a_60hz.npz

`sensors`: one encoder, pretrained with eight sensors at 60 Hz, beside encoders that were pretrained with the tested
sensor alone, at its rate. Linear probes on frozen features learn 24 activities of simulated people, one person left out
at a time; none of these people was in pretraining. `real`: that encoder on a sensor on the glasses of real people; its
probes learn from subjects 1 to 8, and 9 to 12 are tested. See docs/experiments.md, "Any sensors".
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.ablation import rxclip
from benchmarks.rivals_recordings import COLUMNS, LABELLED, TESTED
from benchmarks.rivals_recordings import Windows as RealWindows
from revalexo_clip import load_encoder
from revalexo_clip.core.component import JsonObject
from revalexo_clip.export.encoder import PretrainedImuEncoder, build_encoder
from revalexo_clip.metrics.blocks import time_units
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import ClassifierOutput, gain, scores
from revalexo_clip.metrics.handcrafted_features import handcrafted_features
from revalexo_clip.metrics.probe import Fold, leave_one_subject_out, predict, predict_with_few_labels
from revalexo_clip.runs.folder import runs_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "any_sensor.py"
PLACES = "Pelvis,Trunk,Head,Right_Forearm,Right_Upper_Arm,Right_Pocket,Right_Lower_Leg,Right_Foot"
PEOPLE, TRAINED, VALIDATED = 24, range(1, 17), range(17, 19)
"""The others are tested."""
WINDOW, STRIDE = 2.0, 1.0
"""Of tested windows [s]."""


@dataclass(frozen=True)
class Case:
    """A sensor alone, and its sampling rate [Hz]."""

    place: str
    rate: int

    def channels(self) -> list[str]:
        """Return the names of its six channels."""
        return [f"{kind}_{self.place}_{axis}" for kind in ("acc", "gyro") for axis in "xyz"]

    def __str__(self) -> str:
        """Return place and rate."""
        return f"{self.place}, {self.rate} Hz"


CASES = (Case("Pelvis", 60), Case("Right_Forearm", 60), Case("Pelvis", 30), Case("Pelvis", 200))


class SimulatedWindows:
    """Labelled windows of the tested people, of one sensor."""

    def __init__(self, path: Path, case: Case) -> None:
        """Read the file. A window has one activity."""
        with np.load(path) as file:
            data_NC, offsets, label, subject = (file[name] for name in ("data", "offsets", "label", "subject"))
            columns = [file["channels"].tolist().index(name) for name in case.channels()]
            self.classes = len(file["activities"])
        length, step = round(WINDOW * case.rate), round(STRIDE * case.rate)
        tested = np.flatnonzero(subject > VALIDATED[-1])
        starts = [np.arange(first, last - length + 1, step) for first, last in pairwise(offsets.tolist())]
        self.recording_W = np.repeat(tested, [len(starts[one]) for one in tested]).astype(np.int64)
        place_W = np.concatenate([starts[one] for one in tested])
        self.time_W = (place_W - offsets[self.recording_W]) / case.rate
        self.imu_WLC = np.stack([data_NC[first : first + length, columns] for first in place_W]).astype(np.float32)
        self.label_W = label[self.recording_W].astype(np.int64)
        self.subject_W = subject[self.recording_W].astype(np.int64)

    def bootstrap(self) -> TimeBootstrap:
        """Return a bootstrap over recordings, within subjects."""
        return TimeBootstrap(time_units(self.recording_W, self.time_W, self.subject_W.astype(str).tolist()))

    def predicted(self, features_WF: Floats) -> Ints:
        """Predict the activity of each window, with the labels of the other tested people."""
        folds = leave_one_subject_out(self.subject_W)
        return predict("linear", features_WF, self.label_W[:, None], folds, self.classes)[:, 0]


def macro_f1(output: ClassifierOutput) -> float:
    """Return the macro F1 [%]."""
    return 100 * float(scores(output.confusion()[None], ("macro_f1",))[0, 0])


def difference(one: ClassifierOutput, other: ClassifierOutput, bootstrap: TimeBootstrap) -> str:
    """Return the difference in macro F1 [points], with its interval."""
    found = gain(one, other, bootstrap)
    ends = cast("list[float] | None", cast("JsonObject", found["interval"])["macro_f1"])
    shown = "no interval" if ends is None else f"{100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}"
    return f"{100 * cast('float', found['macro_f1']):+.1f} ({shown})"


@torch.no_grad()
def features(encoder: PretrainedImuEncoder, imu_WLC: npt.NDArray[np.floating]) -> Floats:
    """Compute features [W, F]."""
    parts = np.array_split(imu_WLC.astype(np.float32), max(len(imu_WLC) // 256, 1))
    return np.concatenate([encoder.features(torch.from_numpy(part)).double().numpy() for part in parts])


def exported(run: Path) -> PretrainedImuEncoder:
    """Return the IMU encoder of a run."""
    with tempfile.TemporaryDirectory() as folder:
        rxclip("export-encoder", "--ckpt", str(run), "--modality", "imu", "--out", f"{folder}/imu")
        encoder = load_encoder(f"{folder}/imu")
    assert isinstance(encoder, PretrainedImuEncoder)
    return encoder


def untrained(encoder: PretrainedImuEncoder, seed: int) -> PretrainedImuEncoder:
    """Return the same encoder with new weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = build_encoder(encoder.description)
    assert isinstance(new, PretrainedImuEncoder)
    return new.eval()


def bodies(folder: Path, minutes: float, rate: int) -> Path:
    """Return the file of simulated people at a sampling rate; it is made if it is missing."""
    path = folder / f"bodies-{rate}hz.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        given = ("--subjects", str(PEOPLE), "--minutes", str(minutes), "--rate", str(rate))
        places = PLACES if rate == CASES[0].rate else "Pelvis"
        rxclip("synthesize", str(path), "--world", "2", "--no-video", "--places", places, *given)
    return path


def pretrained(name: str, path: Path, seed: int, settings: Sequence[str], alone: Case | None = None) -> Path:
    """Return the run folder of an encoder, pretraining it if that has not been done."""
    if not runs_of(name):
        given = [f"name={name}", f"seed={seed}", f"data.root={path}", *settings]
        for split, people in (("train", TRAINED), ("val", VALIDATED), ("test", range(VALIDATED[-1] + 1, PEOPLE + 1))):
            given.append(f"data.{split}_subjects={','.join(map(str, people))}")
        if alone is not None:  # with one sensor, none can be left out
            augment = [{"type": "Scale", "range": [0.8, 1.2]}, {"type": "GaussianNoise", "std": 0.02}]
            given += [f"data.imu_rate={alone.rate}", f"imu_augment={json.dumps(augment)}"]
            given.append(f"data.channels={json.dumps({channel: channel for channel in alone.channels()})}")
        rxclip("pretrain", str(EXPERIMENT), *(part for one in given for part in ("--set", one)))
    return max(runs_of(name))


def on_sensors(folder: Path, minutes: float, seeds: Sequence[int], settings: Sequence[str]) -> None:
    """Print the table of single sensors of simulated people."""
    title = f"Macro F1 [%], {PEOPLE - VALIDATED[-1]} simulated people, one left out at a time"
    table = Table("sensor", "seed", box=box.SIMPLE, title=title)
    for heading in ("for this sensor alone", "for any sensors", "new weights", "any - alone", "any - new weights"):
        table.add_column(heading, justify="right")
    for seed in seeds:
        for case in CASES:
            path = bodies(folder, minutes, case.rate)
            name = f"any_sensor-{case.place}-{case.rate}-{seed}"
            alone = exported(pretrained(name, path, seed, settings, case))
            common = bodies(folder, minutes, CASES[0].rate)
            run = pretrained(f"any_sensor-all-{seed}", common, seed, settings)
            any_sensors = exported(run).for_sensors(case.channels(), rate=case.rate)
            windows = SimulatedWindows(path, case)
            bootstrap = windows.bootstrap()
            outputs = [
                ClassifierOutput(
                    windows.label_W,
                    windows.predicted(features(encoder, windows.imu_WLC)),
                    bootstrap.unit_N,
                    windows.classes,
                )
                for encoder in (alone, any_sensors, untrained(any_sensors, seed))
            ]
            own, shared, new = outputs
            cells = [f"{macro_f1(one):.1f}" for one in outputs]
            pairs = ((shared, own), (shared, new))
            table.add_row(str(case), str(seed), *cells, *(difference(*pair, bootstrap) for pair in pairs))
    Console(width=150).print(table)


def on_real(recordings: Path, folder: Path, minutes: float, seeds: Sequence[int], settings: Sequence[str]) -> None:
    """Print the table of real people who wear a sensor on their glasses."""
    real = RealWindows(recordings)
    rows = {"handcrafted": handcrafted_features(torch.from_numpy(real.imu_WLC), real.rate).double().numpy()}
    head = Case("Head", round(real.rate))
    for seed in seeds:
        run = pretrained(f"any_sensor-all-{seed}", bodies(folder, minutes, CASES[0].rate), seed, settings)
        encoder = exported(run).for_sensors(head.channels(), rate=real.rate)
        rows[f"new weights, seed {seed}"] = features(untrained(encoder, seed), real.imu_WLC)
        rows[f"pretrained, seed {seed}"] = features(encoder, real.imu_WLC)
    table = Table("features", box=box.SIMPLE, title="Macro F1 [%], real subjects 9 to 12")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for name, features_WF in rows.items():
        table.add_row(name, *(f"{100 * value:.1f}" for value in real.macro_f1(features_WF)))
    Console(width=110).print(table)
    differences = Table("share", "seed", box=box.SIMPLE, title="Pretrained - other features [points of macro F1]")
    for heading in ("- new weights", "- handcrafted"):
        differences.add_column(heading, justify="right")
    test_T = np.flatnonzero(np.isin(real.subject_W, list(TESTED)))
    units = time_units(real.recording_W[test_T], real.time_W[test_T], real.subject_W[test_T].astype(str).tolist())
    bootstrap = TimeBootstrap(units)
    fold = Fold(np.flatnonzero(np.isin(real.subject_W, list(LABELLED))), test_T)
    for share in (0.01, 0.1, 1.0):
        for seed in seeds:
            one, *others = (
                _output(real, rows[name], fold, share, bootstrap)
                for name in (f"pretrained, seed {seed}", f"new weights, seed {seed}", "handcrafted")
            )
            cells = [difference(one, other, bootstrap) for other in others]
            differences.add_row(f"{share:.0%}", str(seed), *cells)
    Console(width=110).print(differences)


def _output(
    real: RealWindows, features_WF: Floats, fold: Fold, share: float, bootstrap: TimeBootstrap
) -> ClassifierOutput:
    """Predict the tested windows with a share of the labels, which is the same for all features."""
    if share < 1:
        predicted_W, _ = predict_with_few_labels(
            features_WF, real.label_W, [fold], real.classes, fraction=share, draw=0
        )
    else:
        predicted_W = predict("linear", features_WF, real.label_W[:, None], [fold], real.classes)[:, 0]
    return ClassifierOutput(real.label_W[fold.test], predicted_W[fold.test], bootstrap.unit_N, real.classes)


def main() -> None:
    """Make what is missing, and print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("sensors", "real"))
    parser.add_argument("--recordings", type=Path, help="with real: Dataset_1A of ClassyGlass as .npz")
    parser.add_argument("--data", type=Path, default=Path("data/benchmark/bodies"), help="folder of simulated people")
    parser.add_argument("--minutes", type=float, default=6.0, help="of each simulated person")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], help="changes the pretraining, as with rxclip")
    asked = parser.parse_args()
    if asked.part == "sensors":
        on_sensors(asked.data, asked.minutes, asked.seeds, asked.set)
    elif asked.recordings is None or not asked.recordings.is_file():
        parser.error(f"real needs --recordings: an .npz file; {asked.recordings} is none")
    else:
        on_real(asked.recordings, asked.data, asked.minutes, asked.seeds, asked.set)


if __name__ == "__main__":
    main()
