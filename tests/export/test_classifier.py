"""Exported classifiers: the folder, predictions of recordings, and the commands that write them."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.html_page import Page
from support.made_classifier import (
    HORIZONS,
    LABELS,
    RATE,
    WINDOW,
    made_classifier,
    signals,
    write_classifier,
    write_table,
)
from support.small_finetuning import finetuning, train_classifier
from support.small_process import call, succeed

from revalexo_clip import ConfigError, DataError, export_classifier, load_classifier, load_encoder, predict_recording
from revalexo_clip.core.files import sha256_of
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.export import DESCRIPTION, WEIGHTS, ExportedClassifier
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.export.recording_predictions import check_output
from revalexo_clip.runs.classifier_checkpoint import load_classifier_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.fixture(scope="module")
def trained(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finetuning run of a new encoder, tested on subjects 05 and 09. Do not write to it."""
    fields = {"imu": {"type": "ResNet1D", "width": 8}, "embed_dim": 16, "standardize": True}
    trainer = {"max_epochs": 1, "accelerator": "cpu", "log_every": 1}
    return train_classifier(
        finetuning(distinct, None, trainer=trainer, **fields), tmp_path_factory.mktemp("classifier")
    )


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported classifier of that run."""
    folder = tmp_path_factory.mktemp("exported") / "classifier"
    export_classifier(trained, out=folder)
    return folder


def plain_probabilities(run: Path, imu_BLC: torch.Tensor) -> torch.Tensor:
    """Compute probabilities with the model of the checkpoint, without what is exported."""
    checkpoint = load_classifier_checkpoint(run / "checkpoints" / "best.ckpt")
    with torch.no_grad():
        logits_BKA = checkpoint.build_model()(imu_BLC, torch.empty(0)).logits_BKA
    probabilities_BKA: torch.Tensor = (logits_BKA - logits_BKA.logsumexp(dim=-1, keepdim=True)).exp()
    return probabilities_BKA


@pytest.mark.long
def test_the_folder_describes_the_classifier(folder: Path, trained: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", DESCRIPTION, WEIGHTS]
    described = json.loads((folder / DESCRIPTION).read_text())
    assert described["labels"] == ["standing", "walking"]
    assert described["horizons"] == [0.0, 0.5]
    assert described["imu"]["rate"] == 60.0
    assert described["imu"]["units"] == ["m/s^2"] * 4 + ["rad/s"] * 2
    assert described["imu"]["channels"][4:] == ["gyro_Pelvis_x", "gyro_Pelvis_y"]
    assert described["encoder"]["type"] == "ResNet1D"
    origin = described["origin"]
    assert origin["subjects"] == {"train": ["Subject01", "Subject02"], "val": ["Subject08"]}
    measured = json.loads((trained / "evaluation" / "metrics.json").read_text())
    assert measured["sha256"] == sha256_of(trained / "checkpoints" / "best.ckpt")
    assert origin["metrics"]["horizons"][0]["all"]["accuracy"] == measured["horizons"][0]["all"]["accuracy"]
    assert not {"classes", "confusion"} & origin["metrics"]["horizons"][1]["all"].keys()
    card = (folder / "README.md").read_text()
    for words in ("Trained on: Subject01, Subject02.", "Subject05, Subject09 (test subjects)", "| 1 | walking | yes |"):
        assert words in card
    accuracy = measured["horizons"][1]["all"]["accuracy"]
    assert re.search(rf"\| \*\*0\.5 s after the end of the window\*\* \| {100 * accuracy:.1f}% ", card)


def test_probabilities_are_those_of_the_checkpoint(folder: Path, trained: Path) -> None:
    classifier = load_classifier(folder)
    imu_BLC = 3 * torch.randn(5, 120, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(classifier(imu_BLC), plain_probabilities(trained, imu_BLC), rtol=0, atol=1e-6)
    assert not classifier.training
    assert classifier.subjects == {"train": ("Subject01", "Subject02"), "val": ("Subject08",)}


def test_a_recording_gets_the_predictions_of_the_evaluation(folder: Path, trained: Path, distinct: Path) -> None:
    tested = read_predictions(trained / "evaluation" / "predictions.h5")
    rows = np.flatnonzero(tested.clip_N == 0)
    subject, clip = tested.clip_names[0].split("/")
    names = (distinct / subject / f"{clip}.csv").open().readline().strip().split(",")
    table_nC = np.loadtxt(distinct / subject / f"{clip}.csv", delimiter=",", skiprows=1)
    frame = {name: table_nC[:, place] for place, name in enumerate(names)}
    stride = float(np.diff(np.sort(tested.start_N[rows]))[0]) if len(rows) > 1 else 1.0
    times, labels, probabilities = load_classifier(folder).predict_recording(frame, rate=60.0, stride=stride)
    for row in rows:
        place = int(np.abs(times - 2.0 - tested.start_N[row]).argmin())
        assert times[place] == pytest.approx(tested.start_N[row] + 2.0)
        logits_KA = tested.logits_NKA[row].astype(np.float64)
        expected_KA = np.exp(logits_KA) / np.exp(logits_KA).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities[place], expected_KA, rtol=0, atol=1e-4)
        assert labels[place].tolist() == [tested.activities[label] for label in logits_KA.argmax(axis=1)]


def test_windows_are_cut_and_resampled_as_those_of_an_encoder() -> None:
    classifier = made_classifier()
    samples_n6 = signals(400, rate=100.0)
    found = classifier.predict_recording(samples_n6, rate=100.0, stride=0.3)
    assert found.end_N == pytest.approx(WINDOW + 0.3 * np.arange(11))
    np.testing.assert_allclose(found.probability_NKA.sum(axis=2), 1, atol=1e-5)
    assert (found.label_NK == np.array(LABELS)[found.probability_NKA.argmax(axis=2)]).all()
    assert len(np.unique(found.label_NK)) > 1
    at_50_n6 = signals(100)
    with torch.no_grad():
        expected_KA = classifier(torch.from_numpy(at_50_n6[15:65])[None])[0].numpy()
    found = classifier.predict_recording(at_50_n6, rate=RATE, stride=0.3)
    np.testing.assert_allclose(found.probability_NKA[1], expected_KA, rtol=0, atol=1e-6)
    at_50_n6[7, 2] = np.nan
    with pytest.raises(ValueError, match=r"NaN or infinite values: acc_Head_z \(1 value, the first in row 7\)"):
        classifier.predict_recording(at_50_n6, rate=RATE)
    with pytest.raises(ValueError, match="predict_recording cuts a recording into such windows"):
        classifier(torch.zeros(1, 49, 6))


@pytest.mark.long
def test_a_changed_or_other_folder_is_refused(folder: Path, run: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    export_encoder("imu", run, out=encoder)
    with pytest.raises(ConfigError, match="is an exported encoder: load it with load_encoder"):
        load_classifier(encoder)
    with pytest.raises(ConfigError, match="is an exported classifier: load it with load_classifier"):
        load_encoder(folder)
    with pytest.raises(ConfigError, match="has an exported classifier; nothing was written"):
        export_encoder("imu", run, out=folder)
    with pytest.raises(ConfigError, match="not an exported classifier"):
        load_classifier(tmp_path)
    for change, message in (
        ({"labels": ["walking", "standing"]}, "labels: not what model.safetensors was written with"),
        ({"horizons": [0.0, 0.6]}, "horizons: not what model.safetensors was written with"),
        ({"labels": ["walking"]}, "trained_labels: standing: not in labels"),
        ({"horizons": []}, "horizons: there must be at least one"),
        ({"horizons": [0.0, 0.5, 1.0]}, "the weights do not fit the classifier"),
        ({"encoder": {"type": "ResNet1D", "width": 10**6}}, "the weights do not fit the classifier"),
    ):
        changed = Path(shutil.copytree(folder, tmp_path / "changed", dirs_exist_ok=True))
        described = json.loads((folder / DESCRIPTION).read_text())
        (changed / DESCRIPTION).write_text(json.dumps(described | change))
        with pytest.raises(DataError, match=message):
            load_classifier(changed)


@pytest.mark.long
def test_only_classifiers_of_imu_windows_are_exported(run: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="is a pretraining checkpoint, which cannot be used here"):
        export_classifier(run)
    with pytest.raises(DataError, match="is a pretraining checkpoint"):
        predict_recording("walk.csv", run)
    with pytest.raises(ConfigError, match="no such checkpoint or run folder"):
        predict_recording("walk.csv", folder / "nothing")


@pytest.mark.long
def test_a_classifier_of_video_is_refused(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    trainer = {"max_epochs": 1, "accelerator": "cpu", "log_every": 1}
    video = train_classifier(finetuning(distinct, trained_run, modality="video", trainer=trainer), tmp_path)
    with pytest.raises(ConfigError, match=r"classifies windows of video; only classifiers of IMU alone"):
        export_classifier(video)
    assert not (video / "export").exists()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a classifier of six channels of the head."""
    return write_classifier(tmp_path_factory.mktemp("made") / "classifier", made_classifier())


@pytest.mark.long
def test_the_file_has_the_predictions_of_each_piece_with_their_times(made: Path, tmp_path: Path) -> None:
    samples_n6 = signals(500)
    write_table(tmp_path / "walk.csv", samples_n6, start=7.0)
    lines = (tmp_path / "walk.csv").read_text().splitlines()
    (tmp_path / "walk.csv").write_text("\n".join([*lines[:201], *lines[301:], ""]))  # without 4 to 6 s
    said = call("predict", "walk.csv", "--classifier", made, "--stride", "0.5", cwd=tmp_path).stdout
    assert "note: 2.020 s in gaps without rows are left out\n" in said
    assert "walk-predictions.csv: 14 windows at 2 horizons, 7.000 to 17.000 s\n" in said
    classifier = load_classifier(made)
    pieces = [(7.0, samples_n6[:200]), (13.0, samples_n6[300:])]
    found = rows_of(tmp_path / "walk-predictions.csv")
    assert len(found) == 2 * 14
    row = iter(found)
    for start, piece_n6 in pieces:
        times, labels, probabilities = classifier.predict_recording(piece_n6, rate=RATE, stride=0.5)
        for place, end in enumerate(start + times):
            for number, horizon in enumerate(HORIZONS):
                cells = next(row)
                assert float(cells["window_start_s"]) == pytest.approx(end - WINDOW)
                assert float(cells["window_end_s"]) == pytest.approx(end)
                assert float(cells["horizon_s"]) == horizon
                assert float(cells["predicted_time_s"]) == pytest.approx(end + horizon)
                assert cells["label"] == labels[place, number]
                written = [float(cells[f"probability of {name}"]) for name in LABELS]
                np.testing.assert_allclose(written, probabilities[place, number], rtol=0, atol=2e-5)
    page = (tmp_path / "walk-predictions.html").read_text()
    assert_offline(page)
    text = Page(page).text
    for words in ("Predicted activities of walk.csv", "trained on Anna", "14 windows of 1 s", "left out", "stairs up"):
        assert words in text
    again = call("predict", "walk.csv", "--classifier", made, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "walk-predictions.csv: exists already; nothing is overwritten" in again.stderr
    with pytest.raises(ConfigError, match=r"walk-predictions\.html: exists already"):
        check_output(tmp_path / "new.csv", tmp_path / "walk-predictions.html")


def assert_offline(page: str) -> None:
    """The page needs nothing else."""
    assert "<script src" not in page
    assert not re.search(r"""(src|href)=["'](?!#)(?!data:)""", page)
    assert "@import" not in page
    assert "url(http" not in page


def test_one_command_from_a_finetuned_run_to_predictions(trained: Path, folder: Path, tmp_path: Path) -> None:
    channels = load_classifier(folder).spec.channels
    time_n = np.arange(300) / 60
    table_nC = np.stack([time_n, *(np.sin((2 + k) * time_n) for k in range(len(channels)))], axis=1)
    header = ",".join(["time", *channels])
    np.savetxt(tmp_path / "walk.csv", table_nC, delimiter=",", header=header, comments="", fmt="%.6f")
    succeed("predict", "walk.csv", "--classifier", trained, "--out", "run.csv", cwd=tmp_path)
    assert call("predict", "walk.csv", "--classifier", folder, "--out", "folder.csv", cwd=tmp_path).returncode == 0
    assert rows_of(tmp_path / "run.csv") == rows_of(tmp_path / "folder.csv")
    assert len(rows_of(tmp_path / "run.csv")) == 2 * 7
    assert (tmp_path / "folder.html").is_file()
    assert not (trained / "export").exists()


ALONE = """
import json, sys
sys.modules["torch"] = sys.modules["revalexo_clip"] = None  # neither can be imported
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("classifier.onnx", providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
labels = json.loads(about["labels"])
windows = np.load("windows.npy")
batches = [session.run(["probabilities"], {"imu": part})[0] for part in (windows[:1], windows[1:])]
probabilities = np.concatenate(batches)
names = [[labels[place] for place in row] for row in probabilities.argmax(axis=2)]
np.savez("outputs.npz", probabilities=probabilities, labels=names, horizons=json.loads(about["horizons"]))
"""
"""What somebody without torch runs."""


@pytest.mark.long
def test_onnxruntime_alone_gives_the_same_labels(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = succeed("export-classifier", "--ckpt", trained, "--onnx", "--out", out, cwd=tmp_path)
    assert "ResNet1D, " in said.stdout
    assert re.search(r"classifier\.onnx differs from torch by at most \S+ on 5 windows of the validation", said.stdout)
    assert "`classifier.onnx`" in (out / "README.md").read_text()
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(out / "classifier.onnx", alone)
    imu_BLC = 3 * np.random.default_rng(0).normal(size=(9, 120, 6)).astype(np.float32)
    np.save(alone / "windows.npy", imu_BLC)
    subprocess.run([sys.executable, "-c", ALONE], cwd=alone, check=True)
    classifier = load_classifier(out)
    assert isinstance(classifier, ExportedClassifier)
    outputs: Mapping[str, npt.NDArray[np.float32]] = dict(np.load(alone / "outputs.npz"))
    with torch.no_grad():
        expected_BKA = classifier(imu_BLC).numpy()
    np.testing.assert_allclose(outputs["probabilities"], expected_BKA, rtol=0, atol=1e-5)
    assert (outputs["labels"] == np.array(classifier.labels)[expected_BKA.argmax(axis=2)]).all()
    assert outputs["horizons"].tolist() == [0.0, 0.5]
