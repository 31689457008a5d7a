"""Finetuning runs: batches, labels, interruptions, metrics, and the checkpoint that they leave."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from support.small_finetuning import EXPERIMENT, finetuning, same, train_classifier
from support.small_process import call, succeed
from support.small_training import logged, metrics, weights

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import load_experiment, load_experiment_of
from revalexo_clip.core.errors import ConfigError, DataError, Interrupted
from revalexo_clip.data import Dataset
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.finetuning.build import build_finetune_setup, labelled_rows
from revalexo_clip.finetuning.run import dry_run_finetuning, finetune
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.classifier_checkpoint import load_classifier_checkpoint
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.resume import NEWEST

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.mark.long
@pytest.mark.parametrize("fields", [{}, {"modality": "video", "freezing": {"epochs": 1, "every": 1}}])
def test_a_micro_batch_changes_nothing(
    distinct: Path, trained_run: Path, tmp_path: Path, fields: dict[str, object]
) -> None:
    (tmp_path / "parts").mkdir()
    runs = [
        train_classifier(finetuning(distinct, trained_run, micro_batch=micro, **fields), folder)
        for micro, folder in ((None, tmp_path), (3, tmp_path / "parts"))
    ]
    whole, parts = (logged(run, "train/loss_step") for run in runs)
    # Batch norm, which video has, sees a part at a time; as long as it is frozen, it does not matter.
    known = len(whole) if not fields else 2
    assert parts[:known] == pytest.approx(whole[:known], rel=1e-5)


@pytest.fixture
def go(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    def run(*overrides: str, signal_at: str = "0:0", resume: Path | None = NEWEST) -> Path:
        monkeypatch.setenv("SIGNAL_AT", signal_at)
        said = [f"data.root={written}", *overrides]
        with chdir(tmp_path):
            experiment = load_experiment_of(FinetuneExperiment, str(EXPERIMENT), said)
            named = None if resume is None else str(resume)  # paths may be text
            return tmp_path / finetune(experiment, str(EXPERIMENT), resume=named, overrides=said).folder

    return run


@pytest.mark.long
@pytest.mark.parametrize("freezing", ["", "freezing.epochs=1"])
def test_a_run_stopped_by_signals_ends_as_one_that_was_left_alone(
    go: Callable[..., Path], written: Path, tmp_path: Path, freezing: str
) -> None:
    overrides = [freezing] if freezing else []
    untouched = go(*overrides, resume=None)
    untouched = untouched.rename(tmp_path / "untouched")
    for number, at in ((signal.SIGTERM, 3), (signal.SIGINT, 4)):
        with pytest.raises(Interrupted):
            go(*overrides, signal_at=f"{at}:{number}", resume=NEWEST)
    with chdir(tmp_path):
        planned = load_experiment_of(FinetuneExperiment, str(EXPERIMENT), [f"data.root={written}", *overrides])
        resumes_from = dry_run_finetuning(planned, RunOptions(resume=NEWEST)).resumes_from
    assert resumes_from is not None
    assert re.search(r"last\.ckpt: \d+ steps done, now in epoch [23]$", resumes_from)
    run = go(*overrides)
    for name in ("last.ckpt", "best.ckpt"):
        assert same(weights(run / "checkpoints" / name), weights(untouched / "checkpoints" / name))
    assert metrics(run) == metrics(untouched)


@pytest.mark.long
def test_two_processes_train_as_one_does(go: Callable[..., Path], distinct: Path, tmp_path: Path) -> None:
    sets = [f"data.root={distinct}", "freezing.epochs=1", "imu.type=TCN", "batch_size=5", "data.test_subjects=05,09"]
    alone = go(*sets, resume=None)
    (tmp_path / "two").mkdir()
    said = [argument for override in sets for argument in ("--set", override)]
    succeed("finetune", EXPERIMENT, "--devices", "2", *said, cwd=tmp_path / "two")
    shared = tmp_path / "two/runs/latest"
    assert logged(shared, "train/loss_step") == pytest.approx(logged(alone, "train/loss_step"), rel=1e-4)
    assert logged(shared, "val/loss") == pytest.approx(logged(alone, "val/loss"), rel=1e-4)
    for name, tensor in weights(alone / "checkpoints/last.ckpt").items():
        torch.testing.assert_close(weights(shared / "checkpoints/last.ckpt")[name], tensor, rtol=1e-3, atol=1e-5)
    found, expected = (read_predictions(run / "evaluation/predictions.h5") for run in (shared, alone))
    np.testing.assert_allclose(found.logits_NKA, expected.logits_NKA, atol=1e-4)
    assert found.start_N.tolist() == expected.start_N.tolist()


@pytest.mark.long
def test_a_share_of_the_labels_is_of_every_activity_and_part_of_a_larger_one(distinct: Path, trained_run: Path) -> None:
    train = build_finetune_setup(finetuning(distinct, trained_run)).train
    label_N = train.labels(0)[:, 0]
    small, large = (labelled_rows(train, fraction, seed=42) for fraction in (0.01, 0.5))
    assert small is not None
    assert large is not None
    assert set(label_N[small]) == set(label_N[large]) == set(label_N)
    assert len(small) == len(set(label_N))
    assert set(small) <= set(large)
    assert labelled_rows(train, 1.0, seed=42) is None
    parts = build_finetune_setup(finetuning(distinct, trained_run, label_fraction=0.01))
    asked = {index for _, index in parts.data.train_dataloader().sampler}
    assert asked <= set(small.tolist())
    assert parts.data.steps_per_epoch == 2


@pytest.mark.long
def test_a_checkpoint_is_all_that_an_activity_classifier_needs(distinct: Path, run: Path, tmp_path: Path) -> None:
    experiment = finetuning(distinct, run, modality="both")
    trained = train_classifier(experiment, tmp_path)
    for checkpoint in (run / "checkpoints").iterdir():
        checkpoint.unlink()
    loaded = load_classifier_checkpoint(trained / "checkpoints/best.ckpt")
    model = loaded.build_model()
    assert not model.training
    assert isinstance(experiment.data, Dataset)
    windows = experiment.data.build("test", 0)
    with torch.no_grad():
        found = model(windows[0, 0].imu_LC[None], windows[0, 0].video_THWC[None])
    assert found.logits_BKA.shape == (1, 2, 2)
    with pytest.raises(DataError, match="is the checkpoint of an activity classifier, which cannot be used here"):
        load_checkpoint(trained / "checkpoints/best.ckpt")


def test_experiments_of_another_kind_are_sent_to_their_command() -> None:
    with pytest.raises(ConfigError, match="SmallFinetuning is a FinetuneExperiment, which is run by rxclip finetune"):
        load_experiment(str(EXPERIMENT))
    with pytest.raises(ConfigError, match="Small is a PretrainExperiment, which is run by rxclip pretrain"):
        load_experiment_of(FinetuneExperiment, str(EXPERIMENT.with_name("small_experiment.py")))


@pytest.mark.long
def test_metrics_are_those_of_the_rebuilt_model(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    run = train_classifier(finetuning(distinct, trained_run), tmp_path)
    model = load_classifier_checkpoint(run / "checkpoints/best.ckpt").build_model()
    windows = finetuning(distinct, trained_run).data.labelled("test", 0)
    samples = [windows[0, index] for index in range(len(windows))]
    with torch.no_grad():
        logits_NKA = torch.cat([model(sample.imu_LC[None], sample.video_THWC[None]).logits_BKA for sample in samples])
    kept = read_predictions(run / "evaluation/predictions.h5")
    np.testing.assert_allclose(kept.logits_NKA, logits_NKA.numpy(), atol=1e-5)
    metrics = json.loads((run / "evaluation/metrics.json").read_text())
    assert metrics["seen"] == {"train": [], "val": []}
    for k, at in enumerate(metrics["horizons"]):
        true_N = np.array([int(sample.label_K[k]) for sample in samples])
        labelled_N = true_N >= 0
        found_N = logits_NKA[:, k].argmax(dim=1).numpy()[labelled_N]
        wanted = f1_score(true_N[labelled_N], found_N, average="weighted")
        assert at["all"]["weighted_f1"] == pytest.approx(wanted)
        assert at["all"]["windows"] == labelled_N.sum()
    assert (run / "evaluation/report.html").is_file()


@pytest.mark.long
def test_evaluate_measures_an_activity_classifier_by_what_it_predicts(
    distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    run = train_classifier(finetuning(distinct, trained_run), tmp_path)
    before = json.loads((run / "evaluation/metrics.json").read_text())
    shown = call("evaluate", "--ckpt", run, "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) | {"checkpoint": None} == before | {"checkpoint": None}
    table = call("evaluate", "--ckpt", run, "--set", "data.test_subjects=05", cwd=tmp_path)
    assert "5 windows of 1 clip, 1 test subject" in table.stdout
    assert (run / "evaluation/subjects-05/metrics.json").is_file()
    assert json.loads((run / "evaluation/metrics.json").read_text())["windows"] == 10
    split = ("--set", "data.train_subjects=05", "--set", "data.test_subjects=02")
    refused = call("evaluate", "--ckpt", run, *split, cwd=tmp_path)
    assert refused.returncode == 2
    assert "Test subjects Subject02 were used in training, so the results would not measure" in refused.stderr
    allowed = call("evaluate", "--ckpt", run, *split, "--allow-seen-subjects", cwd=tmp_path)
    assert "Test subject Subject02 was used in training" in allowed.stdout
    refused = call("evaluate", "--ckpt", run, "--set", "fusion=features", cwd=tmp_path)
    assert "--set fusion: an evaluation cannot change the fusion that the checkpoint was trained with" in refused.stderr
