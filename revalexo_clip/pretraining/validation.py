"""Embedding a whole dataset, on any number of devices, as one gallery.

How much of an embedding tells who it is rather than what happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
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


class BetweenSubjects:
    """The share of the variance of embeddings that lies between subjects, over all windows that were added.

    0 where subjects cannot be told apart by their means, 1 where all windows of a subject are alike: the correlation
    ratio eta squared (Pearson, 1905) of embeddings with subjects. A contrastive loss over batches of many subjects can
    fall by telling people apart alone, which helps with nobody new.
    """

    def __init__(self, clip_subjects: Sequence[str]) -> None:
        """`clip_subjects` says whose each clip is."""
        self.names = sorted(set(clip_subjects))
        place = {name: index for index, name in enumerate(self.names)}
        self._subject_of_clip = torch.tensor([place[name] for name in clip_subjects])
        self.reset()

    def reset(self) -> None:
        """Forget all windows."""
        self._count_S: Tensor | None = None
        self._sum_SD = self._squares = torch.zeros(())

    def of(self, clip_N: Tensor) -> Tensor:
        """[N] int64, the place of the subject in `names`, of windows of these clips."""
        self._subject_of_clip = self._subject_of_clip.to(clip_N.device)
        return self._subject_of_clip[clip_N]

    def add(self, x_ND: Tensor, clip_N: Tensor) -> None:
        """Add the embeddings [N, D] of windows of these clips."""
        x_ND = x_ND.detach().to(torch.float32 if x_ND.device.type == "mps" else torch.float64)
        if self._count_S is None:
            self._count_S = x_ND.new_zeros(len(self.names))
            self._sum_SD = x_ND.new_zeros(len(self.names), x_ND.shape[1])
            self._squares = x_ND.new_zeros(())
        subject_N = self.of(clip_N)
        self._count_S = self._count_S.to(x_ND).index_add(0, subject_N, x_ND.new_ones(len(x_ND)))
        self._sum_SD = self._sum_SD.to(x_ND).index_add(0, subject_N, x_ND)
        self._squares = self._squares.to(x_ND) + x_ND.square().sum()

    def state_dict(self) -> dict[str, Tensor]:
        """The windows so far, for the checkpoint of an epoch that is under way."""
        if self._count_S is None:
            return {}
        return {"count": self._count_S.cpu(), "sum": self._sum_SD.cpu(), "squares": self._squares.cpu()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Go on with them."""
        if state_dict:
            self._count_S, self._sum_SD = state_dict["count"], state_dict["sum"]
            self._squares = state_dict["squares"]

    def share(self) -> float | None:
        """From 0 to 1; None with windows of one subject only, or with embeddings that are all alike."""
        if self._count_S is None or (self._count_S > 0).sum() < 2:
            return None
        seen_S = self._count_S > 0
        count_S, sum_SD = self._count_S[seen_S], self._sum_SD[seen_S]
        center = sum_SD.sum(0).square().sum() / count_S.sum()
        between = (sum_SD.square().sum(1) / count_S).sum() - center
        total = self._squares - center
        return (between / total).item() if total > 1e-12 * self._squares else None
