"""Contrast of the windows of a recording: those that are close in time are partners, those further apart negatives.

What stays the same for some seconds is, above all, the activity. That neighbours in time are partners follows temporal
neighbourhood coding (Tonekaboni et al., 2021, arXiv:2106.00750); the loss with several partners is that of Khosla et
al., 2020 (arXiv:2004.11362). Negatives of the same recording only are this project's choice: against other recordings,
person, place and mounting of the sensors would identify the partners.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import Modality
from revalexo_clip.losses.base import (
    Loss,
    LossModule,
    Temperature,
    Vector,
    WithTemperature,
    at_least_float32,
    in_blocks,
    row_blocks,
)
from revalexo_clip.losses.overlap import MICROSECOND, Overlap

TEMPORAL_READS: dict[Modality, tuple[Vector, Vector]] = {"imu": ("imu", "imu"), "video": ("video", "video")}


class TemporalContrast(Loss):
    """Find the windows of a recording that are close in time among those that are further apart.

    Batches must have several windows of a clip: `GroupedBatches(by="clip", windows=12)`. Validation windows are in
    batches of another composition, so that the term is left out of the validation loss.
    """

    modality: Modality = "imu"
    """Whose embeddings are compared with each other."""
    near: PositiveFloat = 2.0
    """Windows of a recording that start at most this far apart are partners [s]."""
    far: PositiveFloat = 3.0
    """Windows of a recording that start at least this far apart are negatives [s]; those between are ignored."""
    temperature: Temperature = 0.1
    """Initial temperature by which similarities are divided; it is learned and stays between 0.01 and 1."""
    block_rows: PositiveInt | None = None
    """Rows of the similarity matrix in memory at a time. Changes only the memory use; null for as many as fit into
    128 MiB."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.far <= self.near:
            raise ValueError(f"far ({self.far:g} s) must be greater than near ({self.near:g} s)")
        return self

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return TemporalContrastLoss(self)


class TemporalContrastLoss(WithTemperature):
    """Mean over partners of the cross-entropy of a partner among all partners and negatives, averaged over windows.

    Windows without a partner or without a negative are left out of the average.
    """

    validated = False

    def __init__(self, of: TemporalContrast) -> None:
        super().__init__(of.temperature)
        self.near, self.far, self.block_rows = of.near, of.far, of.block_rows
        self.reads = TEMPORAL_READS[of.modality]
        self._checked = False

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Count the first batch as checked: it came before the checkpoint of which a training resumes."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._checked = True

    def forward(self, x_ND: Tensor, again_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """See `LossModule.forward`; both arguments are the same vectors, of one modality.

        Raises `ValueError` without an overlap, which has the times of the windows, and `ConfigError` if no window of
        the first batch has a partner and a negative. The loss of a later batch without such windows is 0.
        """
        return self.share(x_ND, again_ND, overlap, slice(0, len(x_ND)))

    def share(self, x_ND: Tensor, again_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """See `LossModule.share`."""
        counted = self._counted(overlap)
        with torch.autocast(x_ND.device.type, enabled=False):
            scale, x_ND, x_DN = self.scale(), at_least_float32(x_ND), at_least_float32(again_ND).T

            def reduce(scaled_bD: Tensor, block: slice) -> Tensor:
                return self._costs(scaled_bD @ x_DN, *self._relations(overlap, block))

            costs = in_blocks(reduce, scale * x_ND, row_blocks(len(x_ND), self.block_rows, rows))
            return torch.cat(costs).sum() / counted

    def _costs(self, logits_bN: Tensor, near_bN: Tensor, far_bN: Tensor) -> Tensor:
        """Return the cost of each row [b]; 0 of those that are left out."""
        used_b = near_bN.any(dim=1) & far_bN.any(dim=1)
        # Rows that are left out keep all candidates: the gradient of an empty logsumexp would not be finite.
        ignored_bN = ~(near_bN | far_bN) & used_b[:, None]
        lse_b = logits_bN.masked_fill(ignored_bN, -torch.inf).logsumexp(dim=1)
        partners_b = near_bN.sum(dim=1).clamp(min=1)
        mean_b = (logits_bN * near_bN).sum(dim=1) / partners_b
        return torch.where(used_b, lse_b - mean_b, torch.zeros_like(lse_b))

    def _relations(self, overlap: Overlap | None, rows: slice) -> tuple[Tensor, Tensor]:
        """Return which of all windows are partners and negatives of some rows, [b, N] bool each."""
        if overlap is None:
            raise ValueError("TemporalContrast needs to know the times of the windows, see Overlap")
        recording_N, time_N = overlap.recording_N, overlap.time_N
        same_bN = recording_N[rows, None] == recording_N
        apart_bN = (time_N[rows, None] - time_N).abs()
        near_bN = same_bN & (apart_bN <= self.near + MICROSECOND)
        near_bN.diagonal(rows.start).fill_(False)
        return near_bN, same_bN & (apart_bN >= self.far - MICROSECOND)

    def _counted(self, overlap: Overlap | None) -> Tensor:
        """Return the number of windows that have a partner and a negative, [], at least 1.

        Raises `ConfigError` if it is 0 in the first batch. The host would have to wait for the answer in every step.
        """
        _, used_N = self._candidates(overlap)
        if not self._checked and not used_N.any():
            raise ConfigError(
                f"TemporalContrast: no window of a batch has another one of its recording within {self.near:g} s and "
                f"one that is {self.far:g} s away; use batches=GroupedBatches(by='clip', windows=12), with seconds=10 "
                "if clips last minutes, more data.windows_per_clip, or longer clips"
            )
        self._checked = True
        return used_N.sum().clamp(min=1).to(self.log_scale)

    def _candidates(self, overlap: Overlap | None) -> tuple[Tensor, Tensor]:
        """Return [N], the number of partners and negatives of each window, and [N] bool, whether it has both."""
        if overlap is None:
            raise ValueError("TemporalContrast needs to know the times of the windows, see Overlap")
        counts, used = [], []
        for block in row_blocks(len(overlap.recording_N), self.block_rows):
            near_bN, far_bN = (found.sum(dim=1) for found in self._relations(overlap, block))
            counts.append(near_bN + far_bN)
            used.append((near_bN > 0) & (far_bN > 0))
        return torch.cat(counts), torch.cat(used)

    def chance(self, overlap: Overlap) -> Tensor | None:
        """Return the logarithm of the number of partners and negatives, averaged over windows, []."""
        count_N, used_N = self._candidates(overlap)
        return count_N.clamp(min=1).float().log().where(used_N, 0).sum() / used_N.sum().clamp(min=1)
