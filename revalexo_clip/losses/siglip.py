"""The sigmoid loss of SigLIP (Zhai et al., 2023, arXiv:2303.15343): a binary classification of each pair."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

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
    row_blocks,
)
from revalexo_clip.losses.overlap import Overlap


class SigLIP(Loss):
    """Classify each pair of the batch as partners or not, independently of all other pairs."""

    temperature: Temperature = 0.1
    """Initial temperature by which similarities are divided; it is learned and stays between 0.01 and 1."""
    bias: float = -10.0
    """Initial bias of the logits; it is learned. The default is low because almost all pairs are not partners."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing s: the target of partners is 1 - s / 2, that of all other pairs s / 2."""
    on: On = "pooled"
    """What is compared: `pooled` embeddings of the whole window, or the `tokens` of all of its moments."""
    block_rows: PositiveInt | None = None
    """Rows of the similarity matrix in memory at a time. Changes only the memory use; null for as many as fit into
    128 MiB."""

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return SigLIPLoss(
            self.temperature,
            reads=READS[self.on],
            bias=self.bias,
            label_smoothing=self.label_smoothing,
            block_rows=self.block_rows,
        )


class SigLIPLoss(WithTemperature):
    """Binary cross-entropy of <imu, video> / temperature + bias: sum over a window's pairs, mean over windows."""

    def __init__(
        self,
        temperature: float,
        *,
        bias: float,
        reads: tuple[Vector, Vector] = READS["pooled"],
        label_smoothing: float = 0.0,
        block_rows: int | None = None,
    ) -> None:
        super().__init__(temperature)
        self.reads = reads
        self.bias = nn.Parameter(torch.tensor(bias))
        self.label_smoothing = label_smoothing
        self.block_rows = block_rows

    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """See `LossModule.forward`. Computed in at least float32, also under autocast."""
        return self.share(imu_ND, video_ND, overlap, slice(0, len(imu_ND)))

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """See `LossModule.share`. The own IMU windows are compared with all of video."""
        with torch.autocast(imu_ND.device.type, enabled=False):
            scaled_ND, video_DN = self.scale() * at_least_float32(imu_ND), at_least_float32(video_ND).T

            def reduce(scaled_bD: Tensor, block: slice) -> Tensor:
                logits_bN = scaled_bD @ video_DN + self.bias
                # The cross-entropy of a logit x with a target t is softplus(x) - t x.
                cost_bN = -logsigmoid(-logits_bN)  # softplus, also exact for large logits
                if self.label_smoothing:
                    cost_bN = cost_bN - self.label_smoothing / 2 * logits_bN
                cost = fill_overlaps(cost_bN, overlap, block, 0).sum()
                return cost - (1 - self.label_smoothing) * logits_bN.diagonal(block.start).sum()

            costs = in_blocks(reduce, scaled_ND, row_blocks(len(imu_ND), self.block_rows, rows))
            return torch.stack(costs).sum() / len(imu_ND)
