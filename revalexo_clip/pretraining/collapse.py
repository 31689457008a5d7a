"""A warning for a training that runs without an error and learns nothing, because its embeddings have collapsed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from revalexo_clip.losses import Vector
from revalexo_clip.losses.terms import kinds_read
from revalexo_clip.pretraining.module import ContrastiveModule
from revalexo_clip.runs.resume_state import COLLAPSE_WARNING

log = logging.getLogger("revalexo_clip")

SIMILAR = 0.99
"""Mean cosine between windows above which embeddings count as almost the same."""
EPOCHS, STEPS = 3, 200
"""Number of epochs, and of steps, without learning after which the warning is given."""


class CollapseWarning(Callback):
    """Warns once if the loss has stayed at chance for some epochs.

    If the objective defines no loss of chance, the criterion is that the embeddings of a modality are almost the same.
    Otherwise it is not: the loss can fall with such embeddings, because the small differences suffice.
    """

    state_key = COLLAPSE_WARNING

    def __init__(self) -> None:
        self.epochs = 0
        self.steps = 0
        self.warned = False

    def state_dict(self) -> dict[str, int]:
        """Return the state for the checkpoint."""
        return {"epochs": self.epochs, "steps": self.steps, "warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the state of the checkpoint."""
        self.epochs, self.steps, self.warned = state_dict["epochs"], state_dict["steps"], bool(state_dict["warned"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the epoch's loss, and the embeddings of the validation windows."""
        assert isinstance(pl_module, ContrastiveModule)
        metrics, collapsed = trainer.callback_metrics, _collapsed(pl_module)
        loss, chance = metrics["train/loss_epoch"].item(), metrics.get("train/chance")
        if loss > 0.99 * chance if chance is not None else collapsed:
            self.epochs, self.steps = self.epochs + 1, self.steps + int(trainer.num_training_batches)
        else:
            self.epochs, self.steps = 0, 0
        if self.epochs >= EPOCHS and self.steps >= STEPS and not self.warned:
            self.warned = True
            at_chance = "" if chance is None else f"; the loss is at chance ({loss:.3f}, chance {chance:.3f})"
            alone = pl_module.model.video is None
            partners = _partners(kinds_read(pl_module.loss), alone=alone)
            check = "use weaker augmentations" if alone else "check with rxclip check-data that IMU and video match"
            log.warning(
                "the model is not learning: after %d epochs, %s%s; change optim.lr, raise batch_size, and %s",
                trainer.current_epoch + 1,
                " and ".join(collapsed) or f"the embeddings of {partners} do not match",
                at_chance,
                check,
            )


def _partners(read: Sequence[Vector], *, alone: bool) -> str:
    """Return what the loss makes similar, as text."""
    if not alone:
        return "IMU and video"
    if "text" in read:
        return "IMU and text"
    return "two augmentations of a window" if "imu_second" in read else "windows that are close in time"


def _collapsed(module: ContrastiveModule) -> list[str]:
    """Return a text for each modality whose embeddings of all validation windows are almost the same."""
    if module.gallery is None:
        return []
    cosines = {"IMU": mean_cosine(module.gallery.imu_ND), "video": mean_cosine(module.gallery.video_ND)}
    return [
        f"the {modality} embeddings are almost the same for all windows (mean cosine {cosine:.4f})"
        for modality, cosine in cosines.items()
        if cosine > SIMILAR
    ]


def mean_cosine(x_ND: Tensor) -> float:
    """Return the mean cosine over all pairs of N unit vectors; nan if N is 1."""
    count = len(x_ND)
    total = x_ND.to(torch.float32 if x_ND.device.type == "mps" else torch.float64).sum(0).square().sum().item()
    return (total - count) / (count * (count - 1)) if count > 1 else float("nan")
