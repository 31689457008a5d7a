"""A warning for a training that memorises its windows: what it learns does not hold for other subjects."""

from __future__ import annotations

import logging

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from revalexo_clip.runs.resume_state import MEMORISING_WARNING

log = logging.getLogger("revalexo_clip")

EPOCHS = 3
"""Number of epochs in a row with a higher validation loss than the first after which the warning is given."""
RISE = 0.01
"""Rise of the validation loss, relative to that of the first epoch, that counts."""


class MemorisingWarning(Callback):
    """Warns once if the validation loss has risen from the first epoch on, while the training loss fell."""

    state_key = MEMORISING_WARNING

    def __init__(self) -> None:
        self.first: tuple[float, float] | None = None
        """Training and validation loss of the first epoch."""
        self.epochs = 0
        self.done = False
        """Whether the warning was given, or the validation loss has fallen."""

    def state_dict(self) -> dict[str, object]:
        """Return the state for the checkpoint."""
        return {"first": self.first, "epochs": self.epochs, "done": self.done}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Restore the state of the checkpoint."""
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the losses of the epoch with those of the first, if there is a validation loss."""
        if "val/loss" not in trainer.callback_metrics:
            return
        train, val = (trainer.callback_metrics[name].item() for name in ("train/loss_epoch", "val/loss"))
        if self.first is None:
            self.first = train, val
            return
        first_train, first_val = self.first
        self.done |= val < first_val
        self.epochs = self.epochs + 1 if val > first_val + RISE * abs(first_val) and train < first_train else 0
        if self.epochs >= EPOCHS and not self.done:
            self.done = True
            log.warning(
                "the model memorises the training windows: in %d epochs, the training loss fell from %.3f to %.3f, and "
                "the validation loss rose from %.3f to %.3f; train on more subjects, add augmentations (imu_augment, "
                "video_augment, joint_augment), or use smaller encoders",
                trainer.current_epoch + 1,
                *(first_train, train),
                *(first_val, val),
            )
