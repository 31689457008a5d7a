"""Which checkpoints a run keeps: the best three by validation loss, the best of them as `best.ckpt`, and the last.

All are written when an epoch ends, after its validation.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class KeepBest(ModelCheckpoint):
    """Lightning's checkpoints, with `best.ckpt` always being the best so far."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            dirpath=folder,
            filename="epoch={epoch:03d}-loss={val/loss:.4f}",
            auto_insert_metric_name=False,
            monitor="val/loss",
            save_top_k=3,
            save_on_train_epoch_end=True,
        )
        self._linked = ""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save as Lightning does, then let `best.ckpt` follow."""
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.is_global_zero and self.best_model_path and self.best_model_path != self._linked:
            _replace_with_link(Path(self.best_model_path), Path(self.best_model_path).with_name("best.ckpt"))
            self._linked = self.best_model_path


class KeepLast(ModelCheckpoint):
    """`last.ckpt`, where the run stands. It comes after `KeepBest`, so that it holds what that one knows.

    Lightning's own `save_last` will not do: it passes over epochs that are not among the best.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            dirpath=folder, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True
        )


def _replace_with_link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source` in one step (a copy where the file system has no hard links)."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
