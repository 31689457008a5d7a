"""InfoNCE between two kinds of vectors of each window, with a learnable temperature.

The loss follows van den Oord et al., 2018 (arXiv:1807.03748); its use in both directions Radford et al., 2021
(arXiv:2103.00020); IMU against video Moon et al., 2022 (arXiv:2210.14395); label smoothing Szegedy et al., 2016
(arXiv:1512.00567).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from revalexo_clip.losses.base import (
    READS,
    Loss,
    LossModule,
    On,
    Temperature,
    Vector,
    WithTemperature,
    at_least_float32,
    fill_overlaps,
    in_blocks,
    is_all,
    row_blocks,
)
from revalexo_clip.losses.overlap import Overlap

Direction = Literal["both", "imu_to_video", "video_to_imu"]


class InfoNCE(Loss):
    """Classify the partner of each window among all windows of the batch."""

    temperature: Temperature = 0.1
    """Initial temperature by which similarities are divided; it is learned and stays between 0.01 and 1."""
    direction: Direction = "both"
    """Direction of the search: video for each IMU window, IMU for each video window, or the mean of both."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target that is spread evenly over the partner and all negatives."""
    on: On = "pooled"
    """What is compared: `pooled` embeddings of the whole window, or the `tokens` of all of its moments."""
    block_rows: PositiveInt | None = None
    """Rows of the similarity matrix in memory at a time. Changes only the memory use; null for as many as fit into
    128 MiB."""

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return InfoNCELoss(
            self.temperature,
            reads=READS[self.on],
            direction=self.direction,
            label_smoothing=self.label_smoothing,
            block_rows=self.block_rows,
        )


class InfoNCELoss(WithTemperature):
    """Cross-entropy of <x, y> / temperature, averaged over windows and directions. x is IMU, y is video, as a rule."""

    def __init__(
        self,
        temperature: float,
        *,
        reads: tuple[Vector, Vector] = READS["pooled"],
        direction: Direction = "both",
        label_smoothing: float = 0.0,
        block_rows: int | None = None,
    ) -> None:
        super().__init__(temperature)
        self.reads = reads
        self.direction = direction
        self.label_smoothing = label_smoothing
        self.block_rows = block_rows

    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """See `LossModule.forward`. Computed in at least float32, also under autocast."""
        return self.share(imu_ND, video_ND, overlap, slice(0, len(imu_ND)))

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """See `LossModule.share`. The own IMU windows search all of video, and those of video all of IMU.

        If all windows are the process's own, one product of similarities serves both directions.
        """
        with torch.autocast(imu_ND.device.type, enabled=False):
            scale, x_ND, y_ND = self.scale(), at_least_float32(imu_ND), at_least_float32(video_ND)
            if is_all(rows, len(x_ND)):
                return self._both_ways(scale * x_ND, y_ND, overlap)
            ways = {"imu_to_video": (x_ND, y_ND), "video_to_imu": (y_ND, x_ND)}
            selected = ways.values() if self.direction == "both" else [ways[self.direction]]
            costs = [self.search(scale * query_ND, other_ND, overlap, rows) for query_ND, other_ND in selected]
            return torch.stack(costs).mean()

    def search(self, scaled_ND: Tensor, other_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """Return the sum of the costs of some queries that search all N windows, divided by N, [].

        Queries are divided by the temperature. Only those of `rows` are used.
        """
        other_DN = other_ND.T

        def reduce(scaled_bD: Tensor, block: slice) -> Tensor:
            logits_bN = fill_overlaps(scaled_bD @ other_DN, overlap, block, -math.inf)
            return torch.stack([logits_bN.diagonal(block.start), *self._reduce(logits_bN, dim=1)])

        parts = in_blocks(reduce, scaled_ND, row_blocks(len(scaled_ND), self.block_rows, rows))
        return self._cross_entropy(*torch.cat(parts, dim=1)).sum() / len(scaled_ND)

    def _both_ways(self, scaled_ND: Tensor, video_ND: Tensor, overlap: Overlap | None) -> Tensor:
        video_DN = video_ND.T

        def reduce(scaled_bD: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            logits_bN = fill_overlaps(scaled_bD @ video_DN, overlap, rows, -math.inf)
            of_rows_3b, of_columns_3N = self._reduce(logits_bN, dim=1), self._reduce(logits_bN, dim=0)
            return torch.stack([logits_bN.diagonal(rows.start), *of_rows_3b]), of_columns_3N

        parts = in_blocks(reduce, scaled_ND, row_blocks(len(scaled_ND), self.block_rows))
        partner_N, *of_rows = torch.cat([of_rows_4b for of_rows_4b, _ in parts], dim=1)
        lse_kN, sum_kN, count_kN = torch.stack([of_columns_3N for _, of_columns_3N in parts], dim=1)
        of_columns = [lse_kN.logsumexp(0), sum_kN.sum(0), count_kN.sum(0)]
        directions = {"imu_to_video": of_rows, "video_to_imu": of_columns}
        selected = directions.values() if self.direction == "both" else [directions[self.direction]]
        return torch.stack([self._cross_entropy(partner_N, *statistics).mean() for statistics in selected]).mean()

    def _reduce(self, logits_bN: Tensor, dim: int) -> Tensor:
        """Return [3, N or b]: logsumexp, sum and number of the candidates along `dim`."""
        lse = logits_bN.logsumexp(dim)
        if not self.label_smoothing:
            return torch.stack([lse, torch.zeros_like(lse), torch.ones_like(lse)])
        candidates_bN = logits_bN.isfinite()
        total = logits_bN.where(candidates_bN, logits_bN.new_zeros(())).sum(dim)
        return torch.stack([lse, total, candidates_bN.sum(dim).to(lse)])

    def _cross_entropy(self, partner_N: Tensor, lse_N: Tensor, sum_N: Tensor, count_N: Tensor) -> Tensor:
        target_N = (1 - self.label_smoothing) * partner_N + self.label_smoothing * sum_N / count_N
        return lse_N - target_N

    def chance(self, overlap: Overlap) -> Tensor | None:
        """Return the logarithm of the number of candidates, averaged over windows, []."""
        return overlap.candidates().float().log().mean()
