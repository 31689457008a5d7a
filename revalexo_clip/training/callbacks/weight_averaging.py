"""A moving average of the weights, used by validation, checkpoints and everything that reads them.

Averages of weights generalise better than the weights of the last step (Polyak & Juditsky, 1992,
doi:10.1137/0330046; for networks, with a fixed decay: Tarvainen & Valpola, 2017, arXiv:1703.01780).

Lightning's own `EMAWeightAveraging` is not used for two reasons. It restores the weights before a module's
`on_validation_epoch_end`, where our modules compute their losses. It also averages from the first weights on, which
dominate the average of a short run.
"""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.runs.resume_state import TRAINING_WEIGHTS


class Averaging(pl.Callback):
    """Averages weights and running statistics with a fixed decay; the training itself is not affected.

    The decay starts lower, at n / (n + 9) after n steps, so that the first weights are soon forgotten.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._averages: dict[str, Tensor] = {}
        self._exchanged = False  # whether the module holds the averages, and `_averages` the module's weights

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start with the present weights, unless a checkpoint had averages."""
        for name, weight in _weights(pl_module).items():
            self._averages[name] = self._averages.get(name, weight).to(weight.device, copy=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Add the weights after a step."""
        decay = min(self.decay, trainer.global_step / (trainer.global_step + 9))
        weights = _weights(pl_module)
        torch._foreach_lerp_([self._averages[name] for name in weights], list(weights.values()), 1 - decay)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate with the averages."""
        self._exchange(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the weights for training."""
        self._exchange(pl_module)

    def _exchange(self, pl_module: pl.LightningModule) -> None:
        if self._averages:  # there are none before training
            weights = _weights(pl_module)
            kept = {name: weight.clone() for name, weight in weights.items()}  # all first: names may share a weight
            for name, weight in weights.items():
                weight.copy_(self._averages[name])
            self._averages, self._exchanged = kept, not self._exchanged

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Save the averages as the weights of the checkpoint, and the training weights in an entry of their own."""
        held = pl_module.state_dict()
        kept = held | self._averages
        averages, weights = (held, kept) if self._exchanged else (kept, held)
        checkpoint["state_dict"], checkpoint[TRAINING_WEIGHTS] = averages, weights

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, dict[str, Tensor]]
    ) -> None:
        """Restore both."""
        if TRAINING_WEIGHTS in checkpoint:  # not if averaging begins when a run is resumed
            pl_module.load_state_dict(checkpoint[TRAINING_WEIGHTS])
            self._averages = {name: checkpoint["state_dict"][name] for name in _weights(pl_module)}


def _weights(module: pl.LightningModule) -> dict[str, Tensor]:
    """Return what can be averaged: all tensors except counts, such as batch norm's number of batches."""
    return {name: tensor for name, tensor in module.state_dict().items() if torch.is_floating_point(tensor)}


def averaging(config: TrainerConfig) -> list[Callback]:
    """Return the callback that averages weights, if the experiment asks for it."""
    return [] if config.average is None else [Averaging(config.average)]
