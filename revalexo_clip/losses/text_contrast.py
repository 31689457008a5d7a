"""Contrast of windows with sentences: IMU or video against text.

The loss is InfoNCE (van den Oord et al., 2018, arXiv:1807.03748) in both directions, as images and text are aligned in
CLIP (Radford et al., 2021, arXiv:2103.00020) and IMU and text in IMU2CLIP (Moon et al., 2022, arXiv:2210.14395). That
windows of the same meaning are no negatives of each other, and that windows without text take no part, is needed here:
descriptions of everyday motion repeat themselves and have gaps.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from revalexo_clip.core.types import Modality
from revalexo_clip.losses.base import (
    Loss,
    LossModule,
    Temperature,
    Vector,
    WithTemperature,
    at_least_float32,
    fill_overlaps,
    in_blocks,
    row_blocks,
)
from revalexo_clip.losses.overlap import Overlap

TEXT_READS: dict[Modality, tuple[Vector, Vector]] = {"imu": ("imu", "text"), "video": ("video", "text")}

TextDirection = Literal["both", "to_text", "from_text"]

MOST_MEANINGS = 2**24
"""Numbers of meanings below this are exact in float32."""


def with_meaning(text_BD: Tensor, meaning_B: Tensor) -> Tensor:
    """Return the vectors of kind `text`, [B, D + 1]: embeddings and, as the last column, the number of the meaning.

    `meaning_B` is -1 for windows without text, whose embedding becomes zero.
    """
    has_text_B1 = (meaning_B >= 0)[:, None]
    return torch.cat([text_BD * has_text_B1, meaning_B[:, None].to(text_BD)], dim=1)


def split_meaning(text_NE: Tensor) -> tuple[Tensor, Tensor]:
    """Return embeddings [N, D] and numbers of meanings [N] of vectors of kind `text`."""
    return text_NE[:, :-1], text_NE.detach()[:, -1]


class TextContrast(Loss):
    """Find the sentence of each window among those of the batch, and the window of each sentence.

    Windows without text are left out. Windows whose sentences mean the same, and windows that overlap in time, are not
    negatives of each other.
    """

    of: Modality = "imu"
    """What is compared with text."""
    temperature: Temperature = 0.1
    """Initial temperature by which similarities are divided; it is learned and stays between 0.01 and 1."""
    direction: TextDirection = "both"
    """Direction of the search: a sentence for each window (`to_text`), a window for each sentence (`from_text`), or the
    mean of both."""
    block_rows: PositiveInt | None = None
    """Rows of the similarity matrix in memory at a time. Changes only the memory use; null for as many as fit into
    128 MiB."""

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return TextContrastLoss(self)


class TextContrastLoss(WithTemperature):
    """Mean over windows with text of the cross-entropy of the own sentence among the candidates, and vice versa."""

    def __init__(self, of: TextContrast) -> None:
        super().__init__(of.temperature)
        self.reads = TEXT_READS[of.of]
        self.direction = of.direction
        self.block_rows = of.block_rows

    def forward(self, x_ND: Tensor, text_NE: Tensor, overlap: Overlap | None = None) -> Tensor:
        """See `LossModule.forward`; `text_NE` are vectors of kind `text`, see `with_meaning`. 0 if there is no text."""
        return self.share(x_ND, text_NE, overlap, slice(0, len(x_ND)))

    def share(self, x_ND: Tensor, text_NE: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """See `LossModule.share`. The own windows search all sentences, and the own sentences all windows."""
        y_ND, meaning_N = split_meaning(text_NE)
        with torch.autocast(x_ND.device.type, enabled=False):
            scale, x_ND, y_ND = self.scale(), at_least_float32(x_ND), at_least_float32(y_ND)
            ways = {"to_text": (x_ND, y_ND), "from_text": (y_ND, x_ND)}
            selected = ways.values() if self.direction == "both" else [ways[self.direction]]
            found = [self._search(scale * query, other, meaning_N, overlap, rows) for query, other in selected]
            return torch.stack(found).mean()

    def _search(
        self, scaled_ND: Tensor, other_ND: Tensor, meaning_N: Tensor, overlap: Overlap | None, rows: slice
    ) -> Tensor:
        """Return the sum of the costs of the queries in `rows`, divided by the number of windows with text, []."""
        other_DN = other_ND.T
        has_text_N = meaning_N >= 0

        def reduce(scaled_bD: Tensor, block: slice) -> Tensor:
            excluded_bN = _excluded(meaning_N, overlap, block)
            logits_bN = (scaled_bD @ other_DN).masked_fill(excluded_bN, -math.inf)
            cost_b = logits_bN.logsumexp(dim=1) - logits_bN.diagonal(block.start)
            return torch.where(has_text_N[block], cost_b, torch.zeros_like(cost_b))

        costs = in_blocks(reduce, scaled_ND, row_blocks(len(scaled_ND), self.block_rows, rows))
        return torch.cat(costs).sum() / has_text_N.sum().clamp(min=1)

    def chance(self, overlap: Overlap) -> Tensor | None:
        """Return None: the number of candidates depends on the sentences of the batch, see `chance_of`."""
        return None

    def chance_of(self, x_ND: Tensor, text_NE: Tensor, overlap: Overlap) -> Tensor | None:
        """Return the logarithm of the number of candidates, averaged over windows with text, []; 0 without text."""
        _, meaning_N = split_meaning(text_NE)
        has_text_N = meaning_N >= 0
        blocks = row_blocks(len(meaning_N), self.block_rows)
        count_N = torch.cat([(~_excluded(meaning_N, overlap, block)).sum(dim=1) for block in blocks])
        return torch.where(has_text_N, count_N.float().log(), 0).sum() / has_text_N.sum().clamp(min=1)


def _excluded(meaning_N: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
    """Return [b, N] bool: which windows are no candidates of some rows. A window is always its own."""
    excluded_bN = (meaning_N[rows, None] == meaning_N) | (meaning_N < 0)
    excluded_bN = fill_overlaps(excluded_bN, overlap, rows, value=True)
    excluded_bN.diagonal(rows.start).fill_(False)
    return excluded_bN
