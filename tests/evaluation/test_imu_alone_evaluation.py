"""Evaluation of an encoder that was pretrained on IMU alone: probes and geometry, and no retrieval."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import h5py
import pytest
import torch
from rich.console import Console
from support.imu_alone import imu_alone, write_recordings
from support.small_run import train

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.evaluation.comparison import compare
from revalexo_clip.evaluation.protocol import Evaluation, evaluate
from revalexo_clip.finetuning.build import build_finetune_setup
from revalexo_clip.finetuning.run import finetune
from revalexo_clip.metrics.embedding_geometry import effective_rank
from revalexo_clip.reports.terminal.evaluation import evaluation_report
from revalexo_clip.reports.values import child
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

FEATURES = {"imu", "imu_untrained", "handcrafted"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "recordings.npz")


@pytest.fixture(scope="module")
def run(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(imu_alone(recordings, "trainer.max_epochs=2"), tmp_path_factory.mktemp("imu_alone"))


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Evaluation:
    evaluation = evaluate(run)
    assert isinstance(evaluation, Evaluation)
    return evaluation


@pytest.mark.long
def test_features_are_probed_against_the_baselines_and_nothing_is_retrieved(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics
    assert metrics["retrieval"] is metrics["retrieval_within_clip"] is None
    assert set(child(metrics, "subjects")) == {"5", "6"}
    for part in ("linear", "knn", "few_labels", "one_subject"):
        assert set(child(metrics, "probe", part)) == FEATURES
    assert set(evaluation.predictions) == {f"{kind}/{name}" for kind in ("linear", "knn") for name in FEATURES}


def test_geometry_and_embeddings_are_those_of_imu(evaluation: Evaluation) -> None:
    geometry = child(evaluation.metrics, "geometry")
    assert (geometry["alignment"], geometry["modality_gap"]) == (None, None)
    expected = effective_rank(evaluation.findings.windows.imu_ND.double())
    assert set(child(geometry, "effective_rank")) == set(child(geometry, "uniformity")) == {"imu"}
    assert child(geometry, "effective_rank")["imu"] == pytest.approx(expected)
    with h5py.File(evaluation.path.with_name("embeddings.h5")) as file:
        assert set(file["embedding"]) == set(file["features"]) == {"imu"}


def test_report_and_tables_say_that_it_is_imu_alone_and_leave_retrieval_out(evaluation: Evaluation) -> None:
    page = evaluation.report.read_text()
    console = Console(width=140, record=True)
    for part in evaluation_report(evaluation.metrics):
        console.print(part)
    for shown in (page, console.export_text()):
        assert "IMU alone: the encoder was pretrained without video" in shown
        assert "R@1" not in shown
        assert "→" not in shown
    assert "Linear probe" in page
    assert "neighbours, validation subjects" in page
    assert "by modality" not in page


@pytest.mark.long
def test_without_labels_there_is_no_probe_and_still_a_report(run: Path, tmp_path: Path) -> None:
    found = evaluate(run, probe=False, out=tmp_path)
    assert "Not measured" in found.report.read_text()


def test_it_is_not_compared(run: Path, tmp_path: Path) -> None:
    best, last = (run / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    with pytest.raises(ConfigError, match="was pretrained on IMU alone, and comparisons are of retrieval"):
        compare([best, last], out=tmp_path)


def finetuning(run: Path, data: Path) -> FinetuneExperiment:
    subjects = {"train_subjects": ("1", "2"), "val_subjects": ("3",), "test_subjects": ("5", "6")}
    return FinetuneExperiment.model_validate(
        {
            "name": "finetuned",
            "data": {"type": "ImuRecordings", "root": data, "workers": 0, **subjects},
            "encoder": run,
            "batch_size": 8,
            "trainer": {"max_epochs": 1, "accelerator": "cpu"},
        }
    )


@pytest.mark.long
def test_finetuning_starts_from_it_and_has_no_video(run: Path, recordings: Path, tmp_path: Path) -> None:
    with chdir(tmp_path):
        setup = build_finetune_setup(finetuning(run, recordings))
        pretrained = load_checkpoint(run / "checkpoints/best.ckpt").build_model().imu.state_dict()
        assert all(torch.equal(setup.model.encoder("imu").state_dict()[name], w) for name, w in pretrained.items())
        assert finetune(finetuning(run, recordings)).evaluation is not None
