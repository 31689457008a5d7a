"""A moving average of the weights, which is what validation, checkpoints and everything after them take.

Averages of weights generalise better than where the last step happened to end (Polyak & Juditsky, 1992,
doi:10.1137/0330046; of networks, with a fixed decay: Tarvainen & Valpola, 2017, arXiv:1703.01780).

Lightning's own `EMAWeightAveraging` hands the weights back before a module's `on_validation_epoch_end`, where the
losses of this one are computed, and would average from the very first weights on: over a short run, mostly those.
"""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from revalexo_clip.config.base import TrainerConfig

TRAINING_WEIGHTS = "training_weights"
"""Where a checkpoint keeps the weights that training goes on from; its `state_dict` holds the average."""


class Averaging(pl.Callback):
    """Averages weights and running statistics with a fixed decay; training does not notice.

    At first the decay is lower, n / (n + 9) after n steps, so that the average follows as long as it knows little.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._averages: dict[str, Tensor] = {}
        self._exchanged = False  # whether the module holds the averages, and `_averages` the module's weights

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin with the weights as they are, unless a checkpoint had averages."""
        for name, weight in _weights(pl_module).items():
            self._averages[name] = self._averages.get(name, weight).to(weight.device, copy=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, trainer.global_step / (trainer.global_step + 9))
        for name, weight in _weights(pl_module).items():
            self._averages[name].lerp_(weight, 1 - decay)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate with the averages."""
        self._exchange(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give training its weights back."""
        self._exchange(pl_module)

    def _exchange(self, pl_module: pl.LightningModule) -> None:
        if self._averages:  # there are none before training
            for name, weight in _weights(pl_module).items():
                kept = weight.clone()
                weight.copy_(self._averages[name])
                self._averages[name].copy_(kept)
            self._exchanged = not self._exchanged

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Put the averages where whoever reads the checkpoint looks for weights, and the weights beside them."""
        held = pl_module.state_dict()
        kept = held | self._averages
        averages, weights = (held, kept) if self._exchanged else (kept, held)
        checkpoint["state_dict"], checkpoint[TRAINING_WEIGHTS] = averages, weights

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, dict[str, Tensor]]
    ) -> None:
        """Go on with both, as they were saved."""
        if TRAINING_WEIGHTS in checkpoint:
            pl_module.load_state_dict(checkpoint[TRAINING_WEIGHTS])
            self._averages = {name: checkpoint["state_dict"][name] for name in _weights(pl_module)}


def _weights(module: pl.LightningModule) -> dict[str, Tensor]:
    """What can be averaged: all but counts, such as batch norm's of its batches."""
    return {name: tensor for name, tensor in module.state_dict().items() if torch.is_floating_point(tensor)}


def averaging(config: TrainerConfig) -> list[Callback]:
    """What averages the weights: nothing, unless the experiment asks for it."""
    return [] if config.average is None else [Averaging(config.average)]
