"""Finetuning: the initial encoder, what is trained of it and when, and that interruptions change nothing."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from rich.console import Console
from sklearn.metrics import f1_score
from support.small_finetuning import EXPERIMENT, finetuning, train_classifier
from support.small_process import call, succeed
from support.small_training import logged, metrics, weights
from torch import Tensor, nn

from revalexo_clip.config.finetuning import FinetuneExperiment, Freezing
from revalexo_clip.config.loading import load_experiment, load_experiment_of
from revalexo_clip.core.errors import ConfigError, DataError, Interrupted
from revalexo_clip.data import Dataset
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.finetuning.build import build_finetune_setup, labelled_rows
from revalexo_clip.finetuning.module import ClassifierModule
from revalexo_clip.finetuning.run import Finetuning, dry_run_finetuning, finetune
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.classifier_checkpoint import load_classifier_checkpoint
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.resume import NEWEST

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

NEW: dict[str, object] = {"imu": {"type": "DeepConvLSTM", "maps": 4, "hidden": 8}, "embed_dim": 16}


def encoder_of(model: nn.Module, modality: str = "imu") -> dict[str, Tensor]:
    return dict(model.get_submodule(modality).state_dict())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="module")
def pretrained(trained_run: Path) -> nn.Module:
    return load_checkpoint(trained_run / "checkpoints/best.ckpt").build_model()


@pytest.mark.parametrize("modality", ["imu", "video", "both"])
@pytest.mark.parametrize("of", ["run", "checkpoint"])
def test_an_activity_classifier_begins_with_the_encoders_of_a_run(
    distinct: Path, trained_run: Path, pretrained: nn.Module, modality: str, of: str
) -> None:
    source = trained_run if of == "run" else trained_run / "checkpoints/last.ckpt"
    parts = build_finetune_setup(finetuning(distinct, source, modality=modality))
    for tower in ("imu", "video") if modality == "both" else (modality,):
        assert same(encoder_of(parts.model, tower), encoder_of(pretrained, tower))
    assert set(parts.model.towers()) == set(parts.experiment.modalities)
    assert parts.description.pretrained_on == {"train": ("Subject01", "Subject02"), "val": ("Subject08",)}


def test_an_activity_classifier_begins_with_an_exported_encoder(
    distinct: Path, run: Path, pretrained: nn.Module, tmp_path: Path
) -> None:
    folder = export_encoder("imu", run, out=tmp_path / "encoder").files[0].parent
    parts = build_finetune_setup(finetuning(distinct, folder))
    assert same(encoder_of(parts.model), encoder_of(pretrained))
    with pytest.raises(ConfigError, match="only an encoder of imu, and modality is both; name a pretraining run"):
        build_finetune_setup(finetuning(distinct, folder, modality="both"))


def test_from_scratch_is_the_same_encoder_with_other_weights(
    distinct: Path, trained_run: Path, pretrained: nn.Module
) -> None:
    parts = build_finetune_setup(finetuning(distinct, trained_run, from_scratch=True))
    mine, theirs = encoder_of(parts.model), encoder_of(pretrained)
    assert {name: tensor.shape for name, tensor in mine.items()} == {name: t.shape for name, t in theirs.items()}
    assert not same(mine, theirs)
    assert parts.description.pretrained_on == {}


def test_standardisation_comes_with_the_encoder_or_from_the_training_subjects(
    distinct: Path, trained_run: Path
) -> None:
    new = build_finetune_setup(finetuning(distinct, None, standardize=True, **NEW))
    assert new.description.imu_spec is not None
    assert (new.description.imu_spec.mean, new.description.imu_spec.std) == new.train.imu_statistics()
    assert new.model.samples is not None
    assert new.model.samples.mean is not None
    taken = build_finetune_setup(finetuning(distinct, trained_run))
    assert taken.model.samples is not None
    assert taken.model.samples.mean is None, "it was pretrained without"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"encoder": None}, "imu: without `encoder`, a new encoder is needed for each modality"),
        ({"imu": {"type": "DeepConvLSTM"}}, "imu: the encoder comes from somewhere, with its architecture"),
        ({"standardize": True}, "standardize: standardisation comes with the encoder"),
        ({"encoder": None, "from_scratch": True, **NEW}, "from_scratch: without `encoder` every encoder is new"),
        (
            {"encoder": None, "video": {"type": "X3D"}, **NEW},
            "video: not used with modality=imu",
        ),
        (
            {"video_augment": [{"type": "Grayscale"}]},
            "video_augment: not used with modality=imu",
        ),
        ({"label_fraction": 0}, "label_fraction"),
        ({"micro_batch": 9}, "micro_batch: 9 is more than batch_size, 8"),
        ({"freezing": {"epochs": "some"}}, "freezing"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        finetuning(Path("nowhere"), **({"encoder": Path("somewhere")} | fields))  # type: ignore[arg-type]
    assert says in str(refused.value)


def test_an_encoder_that_is_not_there_is_an_error(distinct: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone: no such checkpoint or run folder"):
        train_classifier(finetuning(distinct, tmp_path / "gone"), tmp_path)
    assert not (tmp_path / "runs").exists()


def test_an_encoder_of_other_channels_is_refused(distinct: Path, trained_run: Path) -> None:
    experiment = finetuning(distinct, trained_run)
    fewer = experiment.data.model_copy(update={"channels": ("acc_*",)})
    with pytest.raises(DataError, match=r"IMU channels: gyro_Pelvis_x, gyro_Pelvis_y missing here"):
        build_finetune_setup(experiment.model_copy(update={"data": fewer}))


def test_an_encoder_that_has_seen_test_subjects_is_refused(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    experiment = finetuning(distinct, trained_run)
    data = experiment.data.split(("05",), ("09",), ("01", "08"))
    experiment = experiment.model_copy(update={"data": data})
    with pytest.raises(ConfigError, match=r"(?s)Subject01.*Subject08.*--allow-seen-subjects"):
        train_classifier(experiment, tmp_path)
    assert not (tmp_path / "runs").exists()
    build_finetune_setup(experiment, allow_seen_subjects=True)
    build_finetune_setup(experiment.model_copy(update={"from_scratch": True}))


def test_a_frozen_encoder_keeps_weights_and_statistics(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    fields = {"modality": "both", "freezing": {"epochs": "all"}, "fusion": "features"}
    experiment = finetuning(distinct, trained_run, **fields)
    before = build_finetune_setup(experiment).model.state_dict()
    after = weights(train_classifier(experiment, tmp_path) / "checkpoints/last.ckpt")
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[f"model.{name}"])}
    assert changed == {f"{layer}.{kind}" for layer in ("norm", "heads.0.shared.0", "heads.0.heads") for kind in KINDS}


KINDS = ("weight", "bias")


@pytest.mark.parametrize(
    ("freezing", "num_frozen_blocks"),
    [
        (Freezing(), [0, 0, 0, 0, 0, 0]),
        (Freezing(epochs="all"), [3, 3, 3, 3, 3, 3]),
        (Freezing(epochs=2), [3, 3, 0, 0, 0, 0]),
        (Freezing(epochs=1, every=2), [3, 2, 2, 1, 1, 0]),
        (Freezing(every=1), [2, 1, 0, 0, 0, 0]),
    ],
)
def test_blocks_are_set_free_from_the_output_on(freezing: Freezing, num_frozen_blocks: list[int]) -> None:
    assert [freezing.num_frozen_blocks(epoch, 3) for epoch in range(6)] == num_frozen_blocks


class Snapshots(pl.Callback):
    """Keeps the weights that a training begins with, and those of each epoch's end."""

    def __init__(self, seen: list[dict[str, Tensor]]) -> None:
        self.seen = seen

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, ClassifierModule)
        self.seen.append({name: tensor.clone() for name, tensor in pl_module.model.state_dict().items()})


@dataclass(frozen=True)
class Watched(Finetuning):
    seen: list[dict[str, Tensor]] = field(default_factory=list)

    def callbacks(self) -> list[pl.Callback]:
        return [Snapshots(self.seen)]


def test_layers_change_from_the_epoch_on_in_which_they_are_set_free(
    distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    """DeepConvLSTM has six blocks: one epoch of heads alone, then one block more in every epoch."""
    experiment = finetuning(
        distinct,
        trained_run,
        freezing={"epochs": 1, "every": 1},
        trainer={"max_epochs": 8, "accelerator": "cpu"},
        optim={"type": "Adam", "lr": 0.01},
    )
    seen: list[dict[str, Tensor]] = []
    with chdir(tmp_path):
        Watched(experiment, None, Console(stderr=True), seen=seen).run()
    names = ["conv1", "conv2", "conv3", "conv4", "lstm", "feature_projector"]
    for epoch in range(8):
        before, after = seen[epoch], seen[epoch + 1]
        moved = [
            name
            for name in names
            if any(key.startswith(f"imu.{name}.") and not torch.equal(before[key], after[key]) for key in before)
        ]
        assert moved == names[max(6 - epoch, 0) :]


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
    assert re.search(r"last\.ckpt: \d+ steps done, now epoch [23]$", resumes_from)
    run = go(*overrides)
    for name in ("last.ckpt", "best.ckpt"):
        assert same(weights(run / "checkpoints" / name), weights(untouched / "checkpoints" / name))
    assert metrics(run) == metrics(untouched)


@pytest.mark.slow
@pytest.mark.parametrize("freezing", ["freezing.epochs=0", "freezing.epochs=1"])
def test_two_processes_train_as_one_does(
    go: Callable[..., Path], distinct: Path, tmp_path: Path, freezing: str
) -> None:
    sets = [f"data.root={distinct}", freezing, "imu.type=TCN", "batch_size=5", "data.test_subjects=05,09"]
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
    with pytest.raises(DataError, match="is a finetuned activity classifier, and not what was asked for here"):
        load_checkpoint(trained / "checkpoints/best.ckpt")


def test_experiments_of_another_kind_are_sent_to_their_command() -> None:
    with pytest.raises(ConfigError, match="SmallFinetuning is a FinetuneExperiment, which is run by rxclip finetune"):
        load_experiment(str(EXPERIMENT))
    with pytest.raises(ConfigError, match="Small is a PretrainExperiment, which is run by rxclip pretrain"):
        load_experiment_of(FinetuneExperiment, str(EXPERIMENT.with_name("small_experiment.py")))


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


def test_a_teacher_guides_a_student_and_stays_as_it_is(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    """The teacher has both modalities, the student IMU alone: its loss falls, and the teacher never changes."""
    (tmp_path / "teacher").mkdir()
    teacher = train_classifier(finetuning(distinct, trained_run, modality="both"), tmp_path / "teacher")
    for by in ("logits", "features"):
        experiment = finetuning(
            distinct,
            trained_run,
            loss={"type": "Distillation", "teacher": str(teacher), "by": by, "weight": 0.7},
            trainer={"max_epochs": 12, "accelerator": "cpu"},
            optim={"type": "Adam", "lr": 0.01},
            imu_augment=[],
        )
        watched = Taught(experiment, None, Console(stderr=True))
        with chdir(tmp_path):
            run = tmp_path / watched.run().folder
        losses = logged(run, "train/loss_epoch")
        assert losses[-1] < 0.9 * losses[0]
        names = set(weights(run / "checkpoints/last.ckpt"))
        assert not [name for name in names if name.startswith("model.video") or "teacher" in name]
    other = finetuning(distinct, trained_run, loss={"type": "Distillation", "teacher": str(teacher)})
    data = other.data.split(("05",), ("09",), ("02",))
    with pytest.raises(ConfigError, match=r"(?s)runs/classifier.*best.ckpt.*Subject02.*--allow-seen-subjects"):
        build_finetune_setup(other.model_copy(update={"data": data, "from_scratch": True}))
    fewer = other.data.model_copy(update={"horizons": (0.0,)})
    with pytest.raises(ConfigError, match=r"loss\.teacher: the horizons of .* \(0\.0, 0\.5\) differ from .* \(0\.0\)"):
        build_finetune_setup(other.model_copy(update={"data": fewer}))


class WatchTeacher(pl.Callback):
    """Asserts after every step that the teacher is in eval mode, has no gradients and its first weights."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, ClassifierModule)
        (self.teacher,) = pl_module._teacher
        self.before = {name: tensor.clone() for name, tensor in self.teacher.state_dict().items()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert not any(module.training for module in self.teacher.modules())
        assert all(parameter.grad is None for parameter in self.teacher.parameters())
        assert same(self.before, dict(self.teacher.state_dict()))
        assert pl_module.training
        trained = set(pl_module.parameters())
        assert trained.isdisjoint(self.teacher.parameters())


@dataclass(frozen=True)
class Taught(Finetuning):
    def callbacks(self) -> list[pl.Callback]:
        return [WatchTeacher()]


def test_evaluate_measures_an_activity_classifier_by_what_it_predicts(
    distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    run = train_classifier(finetuning(distinct, trained_run), tmp_path)
    before = json.loads((run / "evaluation/metrics.json").read_text())
    shown = call("evaluate", "--ckpt", run, "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) | {"checkpoint": None} == before | {"checkpoint": None}
    (run / "evaluation/metrics.json").unlink()
    table = call("evaluate", "--ckpt", run, "--set", "data.test_subjects=05", cwd=tmp_path)
    assert "ClassifierEvaluation: 5 windows of 1 clip, 1 test subject" in table.stdout
    assert (run / "evaluation/metrics.json").is_file()
    split = ("--set", "data.train_subjects=05", "--set", "data.test_subjects=02")
    refused = call("evaluate", "--ckpt", run, *split, cwd=tmp_path)
    assert refused.returncode == 2
    assert "was trained on Subject02, so figures on them would say nothing of new people" in refused.stderr
    allowed = call("evaluate", "--ckpt", run, *split, "--allow-seen-subjects", cwd=tmp_path)
    assert "these figures flatter it" in allowed.stdout
    refused = call("evaluate", "--ckpt", run, "--set", "fusion=features", cwd=tmp_path)
    assert "--set fusion: a checkpoint's fusion is what it was trained with" in refused.stderr
