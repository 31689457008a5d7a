"""Embedding a whole dataset, on any number of devices, as one gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from revalexo_clip.core.types import Batch
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.training.base_module import CollectingModule


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


class EmbeddingModule(CollectingModule):
    """Embeds every window that validation loads, and keeps the result as `gallery`."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model
        self.gallery: Gallery | None = None

    def collect(self, batch: Batch) -> Gallery:
        """Embed one batch."""
        imu_BD, video_BD = self.model(batch.imu_BLC, batch.video_BTHWC)
        return Gallery(batch.window_B, batch.clip_B, batch.start_B, imu_BD, video_BD)

    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Keep the whole gallery."""
        self.gallery = Gallery(*parts)
        self.on_gallery(self.gallery)

    def on_gallery(self, gallery: Gallery) -> None:
        """Called on every process with the whole gallery."""
