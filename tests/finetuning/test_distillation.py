"""Distillation: a student learns from a teacher, whose weights do not change."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import pytest
from rich.console import Console
from support.small_finetuning import finetuning, same, train_classifier
from support.small_training import logged, weights

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.finetuning.build import build_finetune_setup
from revalexo_clip.finetuning.module import ClassifierModule
from revalexo_clip.finetuning.run import Finetuning

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.mark.long
def test_a_teacher_guides_a_student_and_stays_as_it_is(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    """The teacher has both modalities, the student only IMU: its loss falls, and the teacher never changes."""
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
