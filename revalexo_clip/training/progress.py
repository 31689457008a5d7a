"""What a person sees while a run trains: a live bar on a terminal, one line an epoch everywhere."""

from __future__ import annotations

import logging
import time

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from torch import Tensor

log = logging.getLogger("revalexo_clip")


class TrainingProgress(pl.Callback):
    """Loss, learning rate, temperature, samples a second and time left; epochs also go to the log."""

    def __init__(self, console: Console, batch_size: int) -> None:
        self.batch_size = batch_size
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
        self.begun = 0.0
        self.first_step = 0
        self.epoch_begun, self.epoch_first_step = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.begun = time.monotonic()
        self.first_step = trainer.global_step
        if trainer.is_global_zero:
            self.task = self.bar.add_task("", total=None, epoch="", status="")
            self.bar.start()
        self.on_train_epoch_start(trainer, pl_module)  # which is not called where an epoch is resumed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new bar."""
        self.epoch_begun, self.epoch_first_step = time.monotonic(), trainer.global_step
        if self.task is not None:
            epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar.reset(self.task, total=int(trainer.num_training_batches), epoch=epoch, status="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Show where the run stands."""
        if self.task is None or self.bar.disable:
            return
        metrics = trainer.callback_metrics
        steps = trainer.global_step - self.first_step
        elapsed = time.monotonic() - self.begun
        left = elapsed / steps * (float(trainer.estimated_stepping_batches) - trainer.global_step)
        status = (
            f"loss {_value(metrics, 'train/loss_step', 'train/loss'):.3f}  lr {_value(metrics, 'train/lr'):.1e}  "
            f"temperature {_value(metrics, 'train/temperature'):.3f}  "
            f"{steps * self.batch_size / elapsed:.0f} samples/s  {_clock(left)} left"
        )
        self.bar.update(self.task, completed=batch_idx + 1, status=status)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One line for the epoch."""
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        steps = trainer.global_step - self.first_step
        elapsed = time.monotonic() - self.begun
        left = elapsed / max(steps, 1) * (float(trainer.estimated_stepping_batches) - trainer.global_step)
        taken = trainer.global_step - self.epoch_first_step
        rate = taken * self.batch_size / (time.monotonic() - self.epoch_begun)
        log.info(
            "epoch %*d/%d  loss %.3f  val %.3f  R@1 %5.1f%% imu->video %5.1f%% video->imu  temperature %.3f  "
            "lr %.1e  %4.0f samples/s  %s left",
            len(str(trainer.max_epochs)),
            trainer.current_epoch + 1,
            trainer.max_epochs,
            _value(metrics, "train/loss_epoch", "train/loss"),
            _value(metrics, "val/loss"),
            100 * _value(metrics, "val/imu_to_video/r_at_1"),
            100 * _value(metrics, "val/video_to_imu/r_at_1"),
            _value(metrics, "train/temperature"),
            _value(metrics, "train/lr"),
            rate,
            _clock(left),
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away."""
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Give the terminal back before the error is printed."""
        self.bar.stop()


def _value(metrics: dict[str, Tensor], *names: str) -> float:
    """The first of the metrics that has been logged."""
    return next((float(metrics[name]) for name in names if name in metrics), float("nan"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
