"""`--dry-run` of pretrain and finetune: a summary of the run, made by building it and taking one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from revalexo_clip.config.base import Experiment
from revalexo_clip.core import platform
from revalexo_clip.data import LabelledWindows
from revalexo_clip.runs.resume import Resumed
from revalexo_clip.training.callbacks.component_outputs import ComponentOutputs
from revalexo_clip.training.callbacks.weight_averaging import averaging
from revalexo_clip.training.distributed import connected
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import enough_memory, own_code_named
from revalexo_clip.training.run import Trainable
from revalexo_clip.training.summary import size_of
from revalexo_clip.training.trainer import build_trainer


@dataclass(frozen=True)
class DryRun:
    """Summary of a run that was not started."""

    parameters: dict[str, int]
    """Number of trainable parameters of each part."""
    shapes: dict[str, tuple[int, ...]]
    """Shapes of one process's batch."""
    sizes: dict[str, str]
    """Size of each split, as text."""
    excluded: tuple[str, ...]
    """`subject/pair id` of the bad clips that were excluded."""
    steps_per_epoch: int
    epochs: int
    loss: float
    """Training loss of the one step."""
    peak_memory: int | None
    """Peak memory of the process [bytes]: GPU memory if there is a GPU, else main memory; None if not known."""
    resumes_from: str | None
    """The run that would be resumed, and its progress; None if a new run would start."""

    def facts(self) -> dict[str, str]:
        """Return the rest of the summary, as text."""
        return {
            **self.sizes,
            **({"left out": " ".join(self.excluded)} if self.excluded else {}),
            "steps": f"{self.steps_per_epoch} x {self.epochs} epochs",
            "loss of one batch": f"{self.loss:.3f}",
            **({} if self.peak_memory is None else {"peak memory": f"{self.peak_memory / 2**30:.2f} GiB"}),
        }


def try_one_batch(
    experiment: Experiment,
    setup: Trainable,
    parameters: dict[str, int],
    splits: Mapping[str, LabelledWindows],
    resumed: Resumed | None,
) -> DryRun:
    """Train on one batch and validate on one. Nothing is written."""
    if resumed:
        resumed.refuse_other_data(setup.description)
        if (steps := resumed.progress.pending_steps) is not None:
            setup.data.refuse_other_epoch(steps)
    shapes: dict[str, tuple[int, ...]] = {}
    callbacks = [*averaging(experiment.trainer), ComponentOutputs(experiment), _KeepShapes(shapes)]
    trainer = build_trainer(experiment.trainer, callbacks, loggers=[], batches=1)
    with connected(), own_code_named(), enough_memory(experiment, setup.frames):
        trainer.fit(setup.module, datamodule=setup.data)
    return DryRun(
        parameters=parameters,
        shapes=shapes,
        sizes={split: size_of(windows) for split, windows in splits.items()},
        excluded=tuple(clip for windows in splits.values() for clip in windows.excluded),
        steps_per_epoch=setup.data.steps_per_epoch,
        epochs=experiment.trainer.max_epochs,
        loss=float(trainer.callback_metrics["train/loss_epoch"]),
        peak_memory=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else platform.peak_memory(),
        resumes_from=resumed.describe_progress(experiment) if resumed else None,
    )


class _KeepShapes(Callback):
    """Records the shapes of the first batch."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: TrainingBatch, batch_idx: int
    ) -> None:
        windows = batch.windows
        inputs = {"imu": windows.imu_BLC, "video": windows.video_BTHWC, "motion": windows.motion_BMYX3}
        self.shapes.update({name: tuple(x_B.shape) for name, x_B in inputs.items() if x_B.numel()})
