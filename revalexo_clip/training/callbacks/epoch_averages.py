"""Averages over an epoch in which a run is resumed: Lightning would start them from zero again."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultMetric
from torch import Tensor

from revalexo_clip.runs.resume_state import EPOCH_AVERAGES


class EpochAverages(pl.Callback):
    """Saves and restores the sums that Lightning keeps for metrics averaged over an epoch."""

    def __init__(self) -> None:
        self.before: dict[str, dict[str, Tensor]] = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Add the sums so far; at the end of an epoch there are none."""
        if self.before:  # no step was taken since they were loaded
            checkpoint[EPOCH_AVERAGES] = self.before
            return
        loop = trainer.fit_loop.epoch_loop
        within = 0 < loop.batch_progress.current.completed < trainer.num_training_batches
        found = {name: metric for name, metric in loop._results.items() if within and metric.meta.on_epoch}
        checkpoint[EPOCH_AVERAGES] = {
            name: {state: getattr(metric, state).cpu() for state in metric._defaults} for name, metric in found.items()
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, dict[str, dict[str, Tensor]]]
    ) -> None:
        """Keep the sums until the metrics exist again."""
        self.before = checkpoint[EPOCH_AVERAGES]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Add the sums of the checkpoint to those of the first step."""
        for name, sums in self.before.items():
            if name in (results := trainer.fit_loop.epoch_loop._results):
                _add(results[name], sums)
        self.before = {}


def _add(metric: _ResultMetric, sums: dict[str, Tensor]) -> None:
    largest_or_smallest = metric.meta.is_max_reduction or metric.meta.is_min_reduction
    for state, value in sums.items():
        now = getattr(metric, state)
        join = metric.meta.reduce_fx if largest_or_smallest else torch.add
        setattr(metric, state, join(now, value.to(now.device)))
