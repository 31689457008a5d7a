"""How much of a training's time goes by while it waits for the next batch."""

from __future__ import annotations

import logging
import time

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

log = logging.getLogger("revalexo_clip")

MUCH = 0.1
"""Share of an epoch's time."""


class DataWaitMonitor(Callback):
    """Logs, as `train/waiting`, the share of an epoch's training time in which the next batch was not there yet.

    Says so once where that is much. Epochs shorter than `brief` [s] are left out of that, and the first one, in which
    workers have to start.
    """

    def __init__(self, brief: float = 30.0) -> None:
        self.brief = brief
        self.since = self.begun = self.waited = 0.0
        self.epochs = 0
        self.said = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock also where an epoch is resumed in its middle."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.begun = self.since = time.monotonic()
        self.waited = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """The batch is there."""
        self.waited += time.monotonic() - self.since

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """The next one is waited for, unless this was the last: validation follows."""
        self.since = time.monotonic()
        if trainer.is_last_batch:
            elapsed = self.since - self.begun
            share = self.waited / max(elapsed, 1e-9)
            pl_module.log("train/waiting", share)
            self.epochs += 1
            if share > MUCH and elapsed > self.brief and self.epochs > 1 and not self.said:
                self.said = True
                log.info(
                    "%.0f%% of the time of this epoch went by waiting for data; raise data.workers, or see what "
                    "loading costs in README.md",
                    100 * share,
                )
