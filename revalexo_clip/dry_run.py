"""`rxclip pretrain --dry-run`: what a run would be, found by building it and taking one step."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.parts import build_parts, count, size_of
from revalexo_clip.training.agreement import connected
from revalexo_clip.training.draws import TrainingBatch
from revalexo_clip.training.memory import enough_memory
from revalexo_clip.training.trainer import averaging, build_trainer


@dataclass(frozen=True)
class DryRun:
    """What a run would be."""

    parameters: dict[str, int]
    """Trainable parameters of each part."""
    shapes: dict[str, tuple[int, ...]]
    """Shapes of one process's batch."""
    train: str
    """How much there is to train on."""
    val: str
    """How much there is to validate on."""
    excluded: tuple[str, ...]
    """`subject/pair id` of the clips that were left out because they are bad."""
    steps_per_epoch: int
    epochs: int
    loss: float
    """Training loss of the one step."""
    peak_memory: int
    """Most memory the process has held [bytes]: the device's where there is a GPU, else the machine's."""

    def facts(self) -> dict[str, str]:
        """The rest of the summary, as text."""
        return {
            "train": self.train,
            "val": self.val,
            **({"left out": " ".join(self.excluded)} if self.excluded else {}),
            "steps": f"{self.steps_per_epoch} x {self.epochs} epochs",
            "loss of one batch": f"{self.loss:.3f}",
            "peak memory": f"{self.peak_memory / 2**30:.2f} GiB",
        }


def dry_run(experiment: PretrainExperiment) -> DryRun:
    """Build everything, train on one batch, validate on one, write nothing."""
    parts = build_parts(experiment)
    shapes: dict[str, tuple[int, ...]] = {}
    callbacks = [*averaging(experiment.trainer), _KeepShapes(shapes)]
    trainer = build_trainer(experiment.trainer, callbacks, loggers=[], batches=1)
    with connected(), enough_memory(experiment, parts.frames):
        trainer.fit(parts.module, datamodule=parts.data)
    return DryRun(
        parameters={
            "imu encoder": count(parts.model.imu),
            "video encoder": count(parts.model.video),
            "projection heads": count(parts.model.imu_head) + count(parts.model.video_head),
            "loss": count(parts.module.loss),
        },
        shapes=shapes,
        train=size_of(parts.train),
        val=size_of(parts.val),
        excluded=(*parts.train.excluded, *parts.val.excluded),
        steps_per_epoch=parts.data.steps_per_epoch,
        epochs=experiment.trainer.max_epochs,
        loss=float(trainer.callback_metrics["train/loss"]),
        peak_memory=_peak_memory(),
    )


class _KeepShapes(Callback):
    """Notes the shapes of the first batch."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: TrainingBatch, batch_idx: int
    ) -> None:
        windows = batch.windows
        self.shapes.update({"imu": tuple(windows.imu_BLC.shape), "video": tuple(windows.video_BTHWC.shape)})


def _peak_memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
