"""Evaluation from nothing but a checkpoint and data: what is measured, on whom, and what does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import pytest
import torch
from small_run import SUBJECTS, embed, scores
from tiny_dataset import write_imu

from revalexo_clip.checkpoint import load_checkpoint
from revalexo_clip.component import JsonObject
from revalexo_clip.errors import ConfigError, DataError
from revalexo_clip.evaluate import evaluate


def measured(metrics: JsonObject, *path: str) -> JsonObject:
    for name in path:
        metrics = cast("JsonObject", metrics[name])
    return metrics


@pytest.fixture(scope="module")
def metrics(trained_run: Path) -> JsonObject:
    """Of the test subjects; read back from the file."""
    result = evaluate(trained_run)
    assert result.path == trained_run / "evaluation" / "metrics.json"
    assert json.loads(result.path.read_text()) == result.metrics
    return result.metrics


def test_metrics_have_the_documented_names(metrics: JsonObject) -> None:
    figures = {"r_at_1", "r_at_5", "r_at_10", "mrr", "median_rank"}
    assert {"retrieval", "windows", "subjects"} <= set(metrics)
    for name in ("imu_to_video", "video_to_imu", "chance"):
        assert set(measured(metrics, "retrieval", name)) == figures
    assert measured(metrics, "retrieval")["gallery_size"] == metrics["windows"] == 10
    assert set(measured(metrics, "subjects")) == {"Subject05", "Subject09"}


def test_metrics_are_those_of_the_rebuilt_model(metrics: JsonObject, trained_run: Path) -> None:
    checkpoint = trained_run / "checkpoints" / "best.ckpt"
    dataset = load_checkpoint(checkpoint).description.experiment.data.build("test", seed=0)
    imu_ND, video_ND = embed(checkpoint, dataset)
    everyone = list(range(10))
    retrieval = measured(metrics, "retrieval")
    assert retrieval["imu_to_video"] == pytest.approx(scores(imu_ND, video_ND, everyone))
    assert retrieval["video_to_imu"] == pytest.approx(scores(video_ND, imu_ND, everyone))
    for subject, rows in (("Subject05", everyone[:5]), ("Subject09", everyone[5:])):
        assert measured(metrics, "subjects", subject)["imu_to_video"] == pytest.approx(scores(imu_ND, video_ND, rows))
        assert measured(metrics, "subjects", subject)["windows"] == 5


def test_test_subjects_are_evaluated_where_there_are_some(metrics: JsonObject) -> None:
    assert metrics["split"] == "test"
    assert metrics["seen"] == {"train": [], "val": []}


def test_validation_subjects_are_evaluated_where_there_are_no_test_subjects(run: Path) -> None:
    metrics = evaluate(run, overrides=["data.test_subjects="]).metrics
    assert metrics["split"] == "val"
    assert list(measured(metrics, "subjects")) == ["Subject08"]


def test_subjects_that_had_a_part_in_training_are_said(run: Path) -> None:
    others = ["data.train_subjects=05", "data.val_subjects=09", "data.test_subjects=01,08"]
    assert evaluate(run, overrides=others).metrics["seen"] == {"train": ["Subject01"], "val": ["Subject08"]}


def test_a_checkpoint_needs_neither_its_run_folder_nor_its_dataset_where_they_were(
    trained_run: Path, distinct: Path, tmp_path: Path, metrics: JsonObject
) -> None:
    loose = tmp_path / "elsewhere" / "mine.ckpt"
    loose.parent.mkdir()
    loose.hardlink_to(trained_run / "checkpoints" / "best.ckpt")
    root = Path(shutil.copytree(distinct, tmp_path / "moved"))
    shutil.rmtree(root / "Subject01")  # of the evaluated subjects only
    result = evaluate(loose, data_root=root)
    assert result.path == loose.parent / "evaluation" / "metrics.json"
    assert result.metrics == {**metrics, "checkpoint": str(loose)}


def test_nothing_is_the_newest_run(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: JsonObject
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(trained_run, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert measured(evaluate().metrics, "retrieval") == measured(metrics, "retrieval")


def test_the_size_of_a_batch_changes_no_rank(run: Path, metrics: JsonObject) -> None:
    other = evaluate(run, overrides=["batch_size=3", "data.workers=1"]).metrics
    assert measured(other, "retrieval") == measured(metrics, "retrieval")


def test_progress_ends_with_the_last_batch(run: Path) -> None:
    told: list[tuple[int, int]] = []
    evaluate(run, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data.channels=gyro_Pelvis_*,acc_*", "IMU channels: another order, number 1 was acc_Pelvis_x and is gyro_Pel"),
        ("data.channels=acc_*", "IMU channels: gyro_Pelvis_x, gyro_Pelvis_y missing here"),
        ("data.channels=acc_*,gyro_*", "IMU channels: gyro_Left_Foot_x, gyro_Left_Foot_y only here"),
        ("data.frames=5", "video frames: 4 then, 5 here"),
        ("data.crop=36", "video crop: 32 then, 36 here"),
        ("data.window=1.5", "IMU window: 2.0 then, 1.5 here"),
        ("data.imu_rate=50", "IMU rate: 60.0 then, 50.0 here"),
    ],
)
def test_data_of_another_shape_are_refused(run: Path, override: str, says: str) -> None:
    with pytest.raises(DataError) as raised:
        evaluate(run, overrides=[override])
    assert f"these data are not what {run}/checkpoints/best.ckpt was trained on: {says}" in str(raised.value)
    assert not (run / "evaluation").exists()


def test_recordings_with_other_columns_are_refused(run: Path, distinct: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(distinct, tmp_path / "other"))
    for subject in SUBJECTS:
        write_imu(root / subject / "0000.csv", ["acc_Left_Foot_x", "acc_Pelvis_x", "gyro_Pelvis_x", "gyro_Pelvis_y"])
    with pytest.raises(DataError, match="IMU channels: acc_Left_Foot_y, acc_Pelvis_y missing here"):
        evaluate(run, data_root=root)


@pytest.mark.parametrize("override", ["embed_dim=8", "imu.hidden=9", "standardize=true", "seed=7", "optim.lr=1"])
def test_what_a_checkpoint_was_trained_with_cannot_be_set(run: Path, override: str) -> None:
    field = override.partition("=")[0].partition(".")[0]
    with pytest.raises(ConfigError, match=f"--set {field}: a checkpoint's {field} is what it was trained with"):
        evaluate(run, overrides=[override])


def test_weights_that_diverged_are_an_error_that_names_the_checkpoint(run: Path) -> None:
    path = run / "checkpoints" / "diverged.ckpt"
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["state_dict"]["model.imu.feature_projector.bias"][0] = float("nan")
    torch.save(content, path)
    with pytest.raises(DataError, match=r"diverged\.ckpt: its IMU embeddings are not finite"):
        evaluate(path)


def test_metrics_that_cannot_be_written_are_an_error_that_names_the_file(run: Path) -> None:
    (run / "evaluation").write_text("a file where a folder belongs")
    with pytest.raises(DataError, match=r"evaluation/metrics\.json: cannot be written: "):
        evaluate(run)
