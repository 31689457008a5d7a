"""Says so when a training that runs without an error learns nothing: embeddings that collapsed, or never moved."""

from __future__ import annotations

import logging

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from revalexo_clip.pretraining.module import ContrastiveModule

log = logging.getLogger("revalexo_clip")

ALIKE = 0.99
"""Mean cosine between windows above which embeddings are taken to be all alike."""
EPOCHS, STEPS = 3, 200
"""A training that has learned nothing for so many of both is stuck."""


class CollapseWarning(Callback):
    """Warns, once, where for some epochs the loss has been that of chance.

    Where the objective has no such loss, it is embeddings that are all alike that are warned of; where it has one, they
    may be alike for all that the loss falls, for what little differs can be told apart.
    """

    def __init__(self) -> None:
        self.epochs = 0
        self.steps = 0
        self.warned = False

    def state_dict(self) -> dict[str, int]:
        """For the checkpoint."""
        return {"epochs": self.epochs, "steps": self.steps, "warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """From the checkpoint."""
        self.epochs, self.steps, self.warned = state_dict["epochs"], state_dict["steps"], bool(state_dict["warned"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the epoch's loss, and at the embeddings of the validation windows."""
        assert isinstance(pl_module, ContrastiveModule)
        metrics, alike = trainer.callback_metrics, _alike(pl_module)
        loss, chance = metrics["train/loss_epoch"].item(), metrics.get("train/chance")
        if loss > 0.99 * chance if chance is not None else alike:
            self.epochs, self.steps = self.epochs + 1, self.steps + int(trainer.num_training_batches)
        else:
            self.epochs, self.steps = 0, 0
        if self.epochs >= EPOCHS and self.steps >= STEPS and not self.warned:
            self.warned = True
            at_chance = "" if chance is None else f", and the loss is that of chance ({loss:.3f}; {chance:.3f})"
            log.warning(
                "nothing is learned: after %d epochs %s%s; change optim.lr, raise batch_size, and see with rxclip "
                "check-data whether IMU and video belong together",
                trainer.current_epoch + 1,
                " and ".join(alike) or "embeddings differ but tell nothing",
                at_chance,
            )


def _alike(module: ContrastiveModule) -> list[str]:
    """Which modalities' embeddings of all validation windows are alike, in words."""
    if module.gallery is None:
        return []
    cosines = {"IMU": mean_cosine(module.gallery.imu_ND), "video": mean_cosine(module.gallery.video_ND)}
    return [
        f"the {modality} embeddings are all alike (mean cosine {cosine:.4f})"
        for modality, cosine in cosines.items()
        if cosine > ALIKE
    ]


def mean_cosine(x_ND: Tensor) -> float:
    """Mean cosine between two different ones of N unit vectors; nan for a single one."""
    count = len(x_ND)
    total = x_ND.to(torch.float32 if x_ND.device.type == "mps" else torch.float64).sum(0).square().sum().item()
    return (total - count) / (count * (count - 1)) if count > 1 else float("nan")
