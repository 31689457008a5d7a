"""Embedding a whole dataset, on any number of devices, as one gallery."""

from __future__ import annotations

from typing import NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.errors import DataError
from revalexo_clip.model import DualEncoder
from revalexo_clip.training.agreement import raise_together
from revalexo_clip.training.gather import gather, world_size
from revalexo_clip.types import Batch


class Gallery(NamedTuple):
    """Embeddings of N windows in the order of the dataset; the same on every process."""

    window_N: Tensor
    """[N] int64, 0 to N-1."""
    clip_N: Tensor
    """[N] int64."""
    start_N: Tensor
    """[N] float64 [s]."""
    imu_ND: Tensor
    """[N, D] float32, unit vectors."""
    video_ND: Tensor
    """[N, D] float32, unit vectors."""


class EmbeddingModule(pl.LightningModule):
    """Embeds every window that validation loads, and keeps the result as `gallery`."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model
        self.gallery: Gallery | None = None
        self._parts: list[Gallery] = []
        self._error: DataError | None = None

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read, wherever among the processes that was.

        In validation, several processes wait with it for the end: they may not have the same number of batches.
        """
        if world_size() == 1:
            return arrived(batch)
        if self.trainer.training:
            raise_together(batch if isinstance(batch, DataError) else None, self.device)
        return batch

    def validation_step(self, batch: Batch | DataError, batch_idx: int) -> None:
        """Embed one batch."""
        if isinstance(batch, DataError):
            self._error = self._error or batch
            return
        imu_BD, video_BD = self.model(batch.imu_BLC, batch.video_BTHWC)
        parts = (batch.window_B, batch.clip_B, batch.start_B, imu_BD, video_BD)
        self._parts.append(Gallery(*(part.cpu() for part in parts)))

    def on_validation_epoch_end(self) -> None:
        """Bring together what all processes have embedded."""
        raise_together(self._error, self.device)
        own = [torch.cat(parts).to(self.device) for parts in zip(*self._parts, strict=True)]
        self._parts.clear()
        everything = Gallery(*(gather(part) for part in own))
        order = everything.window_N.argsort()
        self.gallery = Gallery(*(part[order] for part in everything))
        self.on_gallery(self.gallery)

    def on_gallery(self, gallery: Gallery) -> None:
        """Called on every process with the whole gallery."""
