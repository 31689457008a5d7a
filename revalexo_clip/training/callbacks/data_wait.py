"""The share of a training's time that is spent waiting for data."""

from __future__ import annotations

import logging
import time

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

log = logging.getLogger("revalexo_clip")

MUCH = 0.1
"""Share of an epoch's time above which a message is logged."""


class DataWaitMonitor(Callback):
    """Logs the share of an epoch's training time in which the next batch was not ready, as `train/waiting`.

    A message is logged once if the share is large, except for epochs shorter than `brief` [s] and for the first epoch,
    in which workers have to start.
    """

    def __init__(self, brief: float = 30.0) -> None:
        self.brief = brief
        self.wait_start = self.start_time = self.waited = 0.0
        self.epochs = 0
        self.reported = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, also if the run is resumed within an epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.start_time = self.wait_start = time.monotonic()
        self.waited = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Add the time since the last step."""
        self.waited += time.monotonic() - self.wait_start

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Start waiting for the next batch, or log the share after the last."""
        self.wait_start = time.monotonic()
        if trainer.is_last_batch:
            elapsed = self.wait_start - self.start_time
            share = self.waited / max(elapsed, 1e-9)
            pl_module.log("train/waiting", share, on_step=False, on_epoch=True, batch_size=1)
            self.epochs += 1
            if share > MUCH and elapsed > self.brief and self.epochs > 1 and not self.reported:
                self.reported = True
                log.info(
                    "%.0f%% of this epoch's training time was spent waiting for data; raise data.workers, or see "
                    "docs/performance.md",
                    100 * share,
                )
