"""The progress of a training: a live bar on a terminal, and one log line per epoch."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from torch import Tensor

log = logging.getLogger("revalexo_clip")

Metrics = Mapping[str, Tensor]


class ProgressText(ABC):
    """Text shown during a training besides its losses, learning rate and speed."""

    @abstractmethod
    def of_step(self, metrics: Metrics) -> str:
        """Return the text on the bar, after a step."""

    @abstractmethod
    def of_epoch(self, metrics: Metrics) -> str:
        """Return the text in the line of an epoch, after its validation."""


class RetrievalScores(ProgressText):
    """Text for a contrastive training: the temperature, and R@1 in both directions."""

    def of_step(self, metrics: Metrics) -> str:
        """See `ProgressText.of_step`."""
        return _temperatures(metrics)

    def of_epoch(self, metrics: Metrics) -> str:
        """See `ProgressText.of_epoch`."""
        found, back = (value_of(metrics, f"val/{way}/r_at_1") for way in ("imu_to_video", "video_to_imu"))
        return f"R@1 {100 * found:5.1f}% imu->video {100 * back:5.1f}% video->imu  {_temperatures(metrics)}"


def _temperatures(metrics: Metrics) -> str:
    """Return the temperature of the loss, or of each of its terms."""
    found = [float(value) for name, value in metrics.items() if name.startswith("train/temperature")]
    return f"temperature {' '.join(f'{value:.3f}' for value in found)}"


class NeighbourScores(ProgressText):
    """Text for a contrastive training of IMU alone: what chooses its checkpoints, and the rank of features."""

    def of_step(self, metrics: Metrics) -> str:
        """See `ProgressText.of_step`."""
        return _temperatures(metrics)

    def of_epoch(self, metrics: Metrics) -> str:
        """See `ProgressText.of_epoch`."""
        name, value = "neighbours' F1", value_of(metrics, "val/knn_macro_f1")
        if "val/knn_macro_f1" not in metrics:
            name, value = "next window MRR", value_of(metrics, "val/next_window/mrr")
        rank = value_of(metrics, "val/effective_rank")
        return f"{name} {100 * value:5.1f}%  rank {rank:4.1f}  {_temperatures(metrics)}"


class ClassifierScores(ProgressText):
    """Text for an activity classifier: accuracy and F1 at the first horizon."""

    def of_step(self, metrics: Metrics) -> str:
        """See `ProgressText.of_step`."""
        return ""

    def of_epoch(self, metrics: Metrics) -> str:
        """See `ProgressText.of_epoch`."""
        accuracy, macro, weighted = (
            100 * value_of(metrics, f"val/{name}") for name in ("accuracy", "macro_f1", "weighted_f1")
        )
        return f"accuracy {accuracy:5.1f}%  F1 {weighted:5.1f}% weighted {macro:5.1f}% macro"


class TrainingProgress(pl.Callback):
    """Shows losses, learning rate, samples per second, time left and the text of `shown`; logs one line per epoch."""

    def __init__(self, console: Console, batch_size: int, shown: ProgressText) -> None:
        self.batch_size = batch_size
        self.shown = shown
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None
        self.start_time = 0.0
        self.first_step = 0
        self.epoch_start_time, self.epoch_first_step = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.start_time = time.monotonic()
        self.first_step = trainer.global_step
        if trainer.is_global_zero:
            self.task = self.bar.add_task("", total=None, epoch="", status="")
            self.bar.start()
        self.on_train_epoch_start(trainer, pl_module)  # Lightning does not call it if an epoch is resumed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start a new bar."""
        self.epoch_start_time, self.epoch_first_step = time.monotonic(), trainer.global_step
        if self.task is not None:
            epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar.reset(self.task, total=int(trainer.num_training_batches), epoch=epoch, status="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Update the bar."""
        if self.task is None or self.bar.disable:
            return
        metrics = _metrics(trainer)
        steps = trainer.global_step - self.first_step
        elapsed = time.monotonic() - self.start_time
        left = elapsed / steps * (float(trainer.estimated_stepping_batches) - trainer.global_step)
        status = f"{steps * self.batch_size / elapsed:.0f} samples/s  {_clock(left)} left"
        if "train/loss_step" in metrics:  # not before the first row of `metrics.csv`
            loss, rate = value_of(metrics, "train/loss_step"), value_of(metrics, "train/lr")
            status = f"loss {loss:.3f}  lr {rate:.1e}  {self.shown.of_step(metrics)}  {status}"
        self.bar.update(self.task, completed=batch_idx + 1, status=status)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log a line for the epoch."""
        if not trainer.is_global_zero:
            return
        metrics = _metrics(trainer)
        steps = trainer.global_step - self.first_step
        elapsed = time.monotonic() - self.start_time
        left = elapsed / max(steps, 1) * (float(trainer.estimated_stepping_batches) - trainer.global_step)
        taken = trainer.global_step - self.epoch_first_step
        rate = taken * self.batch_size / (time.monotonic() - self.epoch_start_time)
        log.info(
            "epoch %*d/%d  loss %.3f  %s%s  lr %.1e  %4.0f samples/s  %s left",
            len(str(trainer.max_epochs)),
            trainer.current_epoch + 1,
            trainer.max_epochs,
            value_of(metrics, "train/loss_epoch"),
            _validation_loss(metrics),
            self.shown.of_epoch(metrics),
            value_of(metrics, "train/lr"),
            rate,
            _clock(left),
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the terminal before the error is printed."""
        self.bar.stop()


def _metrics(trainer: pl.Trainer) -> Metrics:
    """Return all metrics that are logged; those of steps are as of the last row of `metrics.csv`."""
    return {**trainer.logged_metrics, **trainer.callback_metrics}


def value_of(metrics: Metrics, *names: str) -> float:
    """Return the first of the metrics that has been logged, or nan."""
    return next((float(metrics[name]) for name in names if name in metrics), float("nan"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _validation_loss(metrics: Mapping[str, Tensor]) -> str:
    """Return the validation loss and that of chance; nothing if there is none."""
    if "val/loss" not in metrics:
        return ""
    chance = f" (chance {metrics['val/chance']:.3f})" if "val/chance" in metrics else ""
    return f"val {value_of(metrics, 'val/loss'):.3f}{chance}  "
