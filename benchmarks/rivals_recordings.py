"""Features of real recordings without video, by encoders of the recipe and its rivals that saw simulated people only.

    python -m benchmarks.rivals_recordings --recordings har_classyglass1a_60hz.npz

The recordings have one sensor on the head, so that every system is trained on simulated people of world 2 whose cameras
have an IMU, with the settings of `python -m benchmarks.rivals`. The encoders are frozen, and linear probes on their
features learn the activities of 2 s windows from subjects 1 to 8; 9 to 12 are tested. See docs/rivals.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.ablation import TRAIN, VAL, rxclip, spread
from benchmarks.rivals import SYSTEMS
from revalexo_clip import load_encoder
from revalexo_clip.export.encoder import PretrainedImuEncoder, build_encoder
from revalexo_clip.metrics.classification import scores
from revalexo_clip.metrics.handcrafted_features import handcrafted_features
from revalexo_clip.metrics.probe import DRAWS, Fold, predict, predict_with_few_labels
from revalexo_clip.runs.folder import runs_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WINDOW, STRIDE = 2.0, 1.0
LABELLED, TESTED = range(1, 9), range(9, 13)
IN_CAMERA_AXES = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From the axes of the glasses (x ahead, y up, z right) to those of simulated cameras (x ahead, y left, z up)."""
COLUMNS = ("all labels", "10%", "1%", "1 subject")


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True, help="Dataset_1A of ClassyGlass as .npz")
    parser.add_argument("--data", type=Path, default=Path("data/world2-camera"), help="simulated data; made if missing")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=tuple(SYSTEMS), default=tuple(SYSTEMS))
    asked = parser.parse_args()
    windows = Windows(asked.recordings)
    table = Table(box=box.SIMPLE, title=f"Macro F1 [%] of subjects 9 to 12, {len(asked.seeds)} seeds")
    for heading in ("", *COLUMNS):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("handcrafted", *(f"{100 * value:.1f}" for value in windows.macro_f1(windows.handcrafted())))
    for name in asked.only:
        found = [list(windows.of_run(trained(name, asked.data, seed), seed)) for seed in asked.seeds]
        for place, kind in enumerate(("", ", untrained")):
            figures = zip(*([100 * value for value in of_seed[place]] for of_seed in found), strict=True)
            table.add_row(name + kind, *map(spread, figures))
    Console(width=130).print(table)


def trained(system: str, data: Path, seed: int) -> Path:
    """Return the run folder of a system with a seed, training it if that has not been done."""
    name = f"{data.name}-{system}-{seed}"
    if not (data / "synthetic.json").is_file():
        rxclip("synthesize", str(data), "--subjects", "9", "--world", "2", "--camera-imu")
    if not runs_of(name):
        file, settings = SYSTEMS[system]
        given = [f"data.root={data}", f"data.train_subjects={TRAIN}", f"data.val_subjects={VAL}", f"seed={seed}"]
        given += [f"name={name}", "data.channels=acc_Camera_*,gyro_Camera_*", *settings]
        rxclip("pretrain", str(file), *(part for one in given for part in ("--set", one)))
    return max(runs_of(name))


class Windows:
    """Labelled 2 s windows of the recordings, in axes of the camera."""

    def __init__(self, path: Path) -> None:
        """Read the file. Recording i is the rows between two offsets."""
        with np.load(path) as file:
            data_N6, offsets, label, subject = (file[name] for name in ("data", "offsets", "label", "subject"))
            self.rate, self.classes = float(file["fs"]), len(file["activities"])
        turned_N6 = np.concatenate([data_N6[:, :3] @ IN_CAMERA_AXES.T, data_N6[:, 3:] @ IN_CAMERA_AXES.T], axis=1)
        length, step = round(WINDOW * self.rate), round(STRIDE * self.rate)
        starts = [np.arange(first, last - length + 1, step) for first, last in pairwise(offsets.tolist())]
        recording_W = np.repeat(np.arange(len(starts)), [len(one) for one in starts])
        self.imu_WLC = np.stack([turned_N6[start : start + length] for start in np.concatenate(starts)])
        self.recording_W = recording_W.astype(np.int64)
        self.time_W = (np.concatenate(starts) - offsets[recording_W]) / self.rate
        self.label_W = label[recording_W].astype(np.int64)
        self.subject_W = subject[recording_W].astype(np.int64)

    def of_run(self, run: Path, seed: int) -> Iterator[list[float]]:
        """Yield the scores of the trained encoder of a run, and of one with new weights."""
        with tempfile.TemporaryDirectory() as folder:
            rxclip("export-encoder", "--ckpt", str(run), "--modality", "imu", "--out", f"{folder}/imu")
            encoder = load_encoder(f"{folder}/imu")
        assert isinstance(encoder, PretrainedImuEncoder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            untrained = build_encoder(encoder.description)
        measured = {name: value for name, value in encoder.state_dict().items() if name.startswith("samples.")}
        untrained.load_state_dict(untrained.state_dict() | measured)  # mean and deviation of the simulated signals
        assert isinstance(untrained, PretrainedImuEncoder)
        for one in (encoder, untrained.eval()):
            yield self.macro_f1(self._features(one))

    @torch.no_grad()
    def _features(self, encoder: PretrainedImuEncoder) -> Floats:
        imu_WLC = torch.from_numpy(self.imu_WLC).float()
        parts = [imu_WLC[first : first + 256] for first in range(0, len(imu_WLC), 256)]
        return np.concatenate([encoder.features(part).double().numpy() for part in parts])

    def handcrafted(self) -> Floats:
        """Compute handcrafted features [W, F]."""
        return handcrafted_features(torch.from_numpy(self.imu_WLC), self.rate).double().numpy()

    def macro_f1(self, features_WF: Floats) -> list[float]:
        """Return the macro F1 of each of the `COLUMNS`: means over selections of labels, or over labelled subjects."""
        test_T = self._rows(TESTED)
        fold = Fold(self._rows(LABELLED), test_T)
        found = [[predict("linear", features_WF, self.label_W[:, None], [fold], self.classes)[:, 0]]]
        for share in (0.1, 0.01):
            drawn = (
                predict_with_few_labels(features_WF, self.label_W, [fold], self.classes, fraction=share, draw=draw)[0]
                for draw in range(DRAWS)
            )
            found.append(list(drawn))
        single = [Fold(self._rows([one]), test_T) for one in LABELLED]
        found.append(
            [predict("linear", features_WF, self.label_W[:, None], [one], self.classes)[:, 0] for one in single]
        )
        return [float(np.mean([self._score(predicted_W[test_T], test_T) for predicted_W in of])) for of in found]

    def _rows(self, subjects: Sequence[int] | range) -> Ints:
        return np.flatnonzero(np.isin(self.subject_W, list(subjects)))

    def _score(self, predicted_T: Ints, test_T: Ints) -> float:
        cell_T = self.label_W[test_T] * self.classes + predicted_T
        confusion_AA = np.bincount(cell_T, minlength=self.classes**2).reshape(self.classes, self.classes)
        return float(scores(confusion_AA[None], ("macro_f1",))[0, 0])


if __name__ == "__main__":
    main()
