"""Evaluation from a checkpoint and data: metrics, subjects, and errors if they do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import pytest
import torch
from pydantic import JsonValue
from support.documented import undocumented
from support.small_run import SUBJECTS, embed, link_run, scores
from support.tiny_dataset import write_imu

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.evaluation.protocol import evaluate
from revalexo_clip.metrics.evaluated import FEATURES, EvaluatedWindows
from revalexo_clip.runs.checkpoint import load_checkpoint


def measured(metrics: JsonObject, *path: str) -> JsonObject:
    for name in path:
        metrics = cast("JsonObject", metrics[name])
    return metrics


def plain(figures: JsonValue) -> dict[str, float]:
    """Figures without their intervals."""
    return {
        name: value
        for name, value in cast("dict[str, float]", figures).items()
        if name not in {"interval", "between_subjects"}
    }


@pytest.fixture(scope="module")
def metrics(trained_run: Path) -> JsonObject:
    """The embeddings of the test subjects are read back from the file."""
    result = evaluate(trained_run)
    assert result.path == trained_run / "evaluation" / "metrics.json"
    assert json.loads(result.path.read_text()) == result.metrics
    return result.metrics


@pytest.mark.long
def test_metrics_have_the_documented_names(metrics: JsonObject) -> None:
    figures = {"r_at_1", "r_at_5", "r_at_10", "mrr", "median_rank"}
    assert {"retrieval", "windows", "subjects"} <= set(metrics)
    for name in ("imu_to_video", "video_to_imu", "chance"):
        assert set(measured(metrics, "retrieval", name)) - {"interval", "between_subjects"} == figures
        if name != "chance":
            intervals = measured(metrics, "retrieval", name, "interval")
            assert intervals == dict.fromkeys(figures)  # of two clips
    assert metrics["interval_reason"] == "7 blocks of 30 s are needed for 2 subjects, and there are 2"
    assert measured(metrics, "retrieval")["gallery_size"] == metrics["windows"] == 10
    assert set(measured(metrics, "subjects")) == {"Subject05", "Subject09"}


def test_metrics_are_those_of_the_rebuilt_model(metrics: JsonObject, trained_run: Path) -> None:
    checkpoint = trained_run / "checkpoints" / "best.ckpt"
    dataset = load_checkpoint(checkpoint).description.experiment.data.build("test", seed=0)
    imu_ND, video_ND = embed(checkpoint, dataset)
    everyone = list(range(10))
    retrieval = measured(metrics, "retrieval")
    assert plain(retrieval["imu_to_video"]) == pytest.approx(scores(imu_ND, video_ND, everyone))
    assert plain(retrieval["video_to_imu"]) == pytest.approx(scores(video_ND, imu_ND, everyone))
    for subject, rows in (("Subject05", everyone[:5]), ("Subject09", everyone[5:])):
        own = measured(metrics, "subjects", subject)
        assert plain(own["imu_to_video"]) == pytest.approx(scores(imu_ND, video_ND, rows))
        assert own["windows"] == 5
        within = measured(own, "within_subject")
        assert plain(within["imu_to_video"]) == pytest.approx(scores(imu_ND[rows], video_ND[rows], list(range(5))))


def test_test_subjects_are_evaluated_where_there_are_some(metrics: JsonObject) -> None:
    assert metrics["split"] == "test"
    assert metrics["seen"] == {"train": [], "val": []}


@pytest.mark.long
def test_without_test_subjects_the_validation_subjects_are_refused_unless_allowed(run: Path) -> None:
    nobody = ["data.test_subjects="]
    with pytest.raises(
        ConfigError,
        match=r"names no test subjects, and its validation subjects \(Subject08\) were used .* Choose others",
    ):
        evaluate(run, overrides=nobody)
    metrics = evaluate(run, overrides=nobody, allow_seen_subjects=True).metrics
    assert metrics["split"] == "val"
    assert metrics["seen"] == {"train": [], "val": ["Subject08"]}
    assert list(measured(metrics, "subjects")) == ["Subject08"]
    assert measured(metrics, "probe")["protocol"] == "train_subjects"
    assert measured(metrics, "probe")["trained_on"] == ["Subject01", "Subject02"]


@pytest.mark.long
def test_subjects_that_had_a_part_in_training_are_refused_unless_allowed(run: Path) -> None:
    others = ["data.train_subjects=05", "data.val_subjects=09", "data.test_subjects=01,08"]
    with pytest.raises(
        ConfigError, match=r"Test subjects Subject01 were used in training and Subject08 were .*-seen-sub"
    ):
        evaluate(run, overrides=others)
    assert not (run / "evaluation").exists()
    allowed = evaluate(run, overrides=others, allow_seen_subjects=True, probe=False).metrics
    assert allowed["seen"] == {"train": ["Subject01"], "val": ["Subject08"]}
    assert allowed["probe"] is None
    assert allowed["probe_reason"] == "not asked for"


@pytest.mark.long
def test_training_subjects_are_named_as_test_subjects_without_further_settings(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Subject01 were used in .* or pass --allow-seen-subjects\."):
        evaluate(run, overrides=["data.test_subjects=01,Subject08"])
    with pytest.raises(ConfigError, match=r"data: subject 01 is in both train_subjects and test_subjects"):
        evaluate(run, overrides=["data.test_subjects=01", "data.train_subjects=01"], allow_seen_subjects=True)
    overrides = ["data.test_subjects=01,Subject08"]
    allowed = evaluate(run, overrides=overrides, allow_seen_subjects=True, probe=False, out=tmp_path / "two").metrics
    assert allowed["seen"] == {"train": ["Subject01"], "val": ["Subject08"]}
    one = evaluate(run, overrides=["data.test_subjects=01"], allow_seen_subjects=True, out=tmp_path / "one").metrics
    assert measured(one, "probe")["trained_on"] == ["Subject02"]


def test_probes_leave_out_one_subject_after_the_other(metrics: JsonObject) -> None:
    probe = measured(metrics, "probe")
    assert probe["protocol"] == "leave_one_subject_out"
    assert probe["trained_on"] == probe["tested_on"] == ["Subject05", "Subject09"]
    assert probe["horizons"] == [0.0, 0.1, 0.2, 0.3, 0.5, 1.0]
    assert probe["unlabelled"] == [0, 2, 2, 2, 2, 4]  # later than the clips' end
    for kind in ("linear", "knn"):
        assert set(measured(probe, kind)) == set(FEATURES)
        for at_horizons in measured(probe, kind).values():
            first = cast("list[JsonObject]", at_horizons)[0]
            assert [measured(first, among)["windows"] for among in ("all", "steady", "transition")] == [10, 8, 2]


@pytest.mark.long
def test_the_untrained_encoder_is_the_one_that_training_began_with(trained_run: Path, tmp_path: Path) -> None:
    described = load_checkpoint(trained_run / "checkpoints" / "best.ckpt").description
    torch.manual_seed(described.experiment.seed)
    begun = described.experiment.build_model(described.imu_spec, described.video_spec).eval()
    kept: list[EvaluatedWindows] = []
    with pytest.MonkeyPatch.context() as patch:
        target = "revalexo_clip.evaluation.protocol.write_embeddings"
        patch.setattr(target, lambda _, windows, *__: kept.append(windows))
        evaluate(link_run(trained_run, tmp_path / "run"), probe=False)
    sample = described.experiment.data.build("test", 0)[0, 3]
    with torch.no_grad():
        torch.testing.assert_close(kept[0].features["imu_untrained"][3], begun.imu_features(sample.imu_LC[None])[0])


@pytest.mark.long
def test_what_was_embedded_is_written_beside_the_metrics(metrics: JsonObject, trained_run: Path) -> None:
    checkpoint = trained_run / "checkpoints" / "best.ckpt"
    data = load_checkpoint(checkpoint).description.experiment.data
    dataset = data.build("test", seed=0)
    imu_ND, video_ND = embed(checkpoint, dataset)
    with h5py.File(trained_run / "evaluation" / "embeddings.h5") as file:
        assert file.attrs["sha256"] == metrics["sha256"]
        np.testing.assert_allclose(file["embedding/imu"], imu_ND, atol=1e-5)
        np.testing.assert_allclose(file["embedding/video"], video_ND, atol=1e-5)
        assert file["features/imu"].shape == file["features/video"].shape == (10, 16)
        assert file["clip"][:].tolist() == dataset.windows.clip_N.tolist()
        assert file["start"][:].tolist() == dataset.windows.start_N.tolist()
        assert file["recording"][:].tolist() == dataset.clip_recordings[dataset.windows.clip_N].tolist()
        offset_N = dataset.clip_offsets[dataset.windows.clip_N]
        assert file["time"][:].tolist() == (dataset.windows.start_N + offset_N).tolist()
        assert file["clip_names"].asstr()[:].tolist() == list(dataset.clip_names)
        assert file["clip_subjects"].asstr()[:].tolist() == ["Subject05", "Subject09"]
        assert file["activities"].asstr()[:].tolist() == ["standing", "walking"]
        assert file["label"].shape == file["transition"].shape == (10, len(file["horizons"])) == (10, 6)
        assert file["label"][:, 0].tolist() == [int(dataset[0, index].label_K[0]) for index in range(10)]
        label_N, predicted_N = file["label"][:, 0], file["probe/linear/imu"][:, 0]
    probe = measured(metrics, "probe", "linear")
    first = cast("list[JsonObject]", probe["imu"])[0]
    assert measured(first, "all")["accuracy"] == pytest.approx(np.mean(label_N == predicted_N))


@pytest.mark.long
def test_a_single_subject_s_probe_says_what_it_needs(run: Path, distinct: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(distinct, tmp_path / "moved", ignore=shutil.ignore_patterns("*.h5")))
    shutil.rmtree(root / "Subject01")
    alone = ["data.test_subjects=05"]
    with pytest.raises(DataError, match=r"(?s)Subject01.*trained on the training subjects\. Pass --no-probe"):
        evaluate(run, data_root=root, overrides=alone)
    assert evaluate(run, data_root=root, overrides=alone, probe=False).metrics["windows"] == 5


@pytest.mark.long
def test_windows_of_one_moment_may_count_as_one_answer(run: Path, metrics: JsonObject) -> None:
    found = evaluate(run, tolerance=0.6, probe=False).metrics
    assert found["tolerance"] == 0.6
    chance, strict = (cast("float", measured(one, "retrieval", "chance")["r_at_1"]) for one in (found, metrics))
    assert strict == pytest.approx(1 / 10)
    assert chance == pytest.approx((3 * 3 + 2 * 2) / 5 / 10)  # two neighbours each, but for the first and the last


def test_every_name_in_the_metrics_is_documented(metrics: JsonObject) -> None:
    assert undocumented(metrics, {*measured(metrics, "subjects"), *measured(metrics, "activities")}) == []


@pytest.mark.long
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


@pytest.mark.long
def test_nothing_is_the_newest_run(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: JsonObject
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(trained_run, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert measured(evaluate().metrics, "retrieval") == measured(metrics, "retrieval")


@pytest.mark.long
def test_the_size_of_a_batch_changes_no_rank(run: Path, metrics: JsonObject) -> None:
    other = evaluate(run, overrides=["batch_size=3", "data.workers=1"]).metrics
    assert measured(other, "retrieval") == measured(metrics, "retrieval")


@pytest.mark.long
def test_progress_ends_with_the_last_batch(run: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}

    @contextmanager
    def progress(what: str) -> Iterator[Callable[[int, int], None]]:
        told[what] = []
        yield lambda done, total: told[what].append((done, total))

    evaluate(run, progress=progress)
    assert told["embedding"] == [(1, 3), (2, 3), (3, 3)]
    assert told["probing"][-1] == (5, 5)


@pytest.mark.long
@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "data.channels=gyro_Pelvis_*,acc_*",
            "IMU channels: another order; number 1 was acc_Pelvis_x in training and is gyro_Pelvis_x here; list them "
            "as in training: acc_Pelvis_x, ",
        ),
        ("data.channels=acc_*", "IMU channels: gyro_Pelvis_x, gyro_Pelvis_y missing here"),
        ("data.channels=acc_*,gyro_*", "IMU channels: gyro_Left_Foot_x, gyro_Left_Foot_y only here"),
        ("data.frames=5", "video frames: 4 in training, 5 here"),
        ("data.crop=36", "video crop: 32 in training, 36 here"),
        ("data.window=1.5", "IMU window: 2.0 in training, 1.5 here"),
        ("data.imu_rate=50", "IMU rate: 60.0 in training, 50.0 here"),
    ],
)
def test_data_of_another_shape_are_refused(run: Path, override: str, says: str) -> None:
    with pytest.raises(DataError) as raised:
        evaluate(run, overrides=[override])
    assert f"the data do not have the format that {run}/checkpoints/best.ckpt was trained on: {says}" in str(
        raised.value
    )
    assert not (run / "evaluation").exists()


@pytest.mark.long
def test_recordings_with_other_columns_are_refused(run: Path, distinct: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(distinct, tmp_path / "other"))
    for subject in SUBJECTS:
        write_imu(root / subject / "0000.csv", ["acc_Left_Foot_x", "acc_Pelvis_x", "gyro_Pelvis_x", "gyro_Pelvis_y"])
    with pytest.raises(DataError, match="IMU channels: acc_Left_Foot_y, acc_Pelvis_y missing here"):
        evaluate(run, data_root=root)


@pytest.mark.long
@pytest.mark.parametrize("override", ["embed_dim=8", "imu.hidden=9", "standardize=true", "seed=7", "optim.lr=1"])
def test_what_a_checkpoint_was_trained_with_cannot_be_set(run: Path, override: str) -> None:
    field = override.partition("=")[0].partition(".")[0]
    with pytest.raises(
        ConfigError,
        match=f"--set {field}: an evaluation cannot change the {field} that the checkpoint was trained with",
    ):
        evaluate(run, overrides=[override])


@pytest.mark.long
def test_weights_that_diverged_are_an_error_that_names_the_checkpoint(run: Path) -> None:
    path = run / "checkpoints" / "diverged.ckpt"
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["state_dict"]["model.imu.feature_projector.bias"][0] = float("nan")
    torch.save(content, path)
    with pytest.raises(DataError, match=r"diverged\.ckpt: its IMU embeddings are not finite"):
        evaluate(path)


@pytest.mark.long
def test_metrics_that_cannot_be_written_are_an_error_that_names_the_file(run: Path) -> None:
    (run / "evaluation").write_text("a file where a folder belongs")
    with pytest.raises(DataError, match=r"evaluation/metrics\.json: cannot be written: "):
        evaluate(run)
