"""Readouts: from the features of all moments of a window to features of the window."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from revalexo_clip.models.layers import initialize

LEAST = 1e-6
"""Added to the argument of square roots, because their gradient at 0 is infinite."""

ReadoutKind = Literal["statistics", "attention"]
HEADS = 4
"""Attention heads of the readout; each pools its own part of the maps."""


def readout_dim(kind: ReadoutKind, width: int) -> int:
    """Return F, the number of features that a readout makes of `width` maps."""
    return 4 * width if kind == "statistics" else 2 * width


class Readout(nn.Module):
    """Feature maps [B, W, T] -> [B, 4 W]: mean, standard deviation, maximum, and mean over the last quarter.

    It has no weights, so that features are those of the maps themselves. The last quarter tells where the window ends:
    in activity classification, the label belongs to its end.
    """

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Compute features of maps, in at least float32."""
        x_BWT = x_BWT.to(torch.promote_types(x_BWT.dtype, torch.float32))
        mean_BW1 = x_BWT.mean(dim=2, keepdim=True)
        deviation_BW = ((x_BWT - mean_BW1).square().mean(dim=2) + LEAST).sqrt()
        quarter = -(-x_BWT.shape[2] // 4)
        last_BW = x_BWT[:, :, -quarter:].mean(dim=2)
        return torch.cat((mean_BW1.squeeze(2), deviation_BW, x_BWT.amax(dim=2), last_BW), dim=1)


class AttentionPooling(nn.Module):
    """Feature maps [B, W, T] -> [B, 2 W]: their mean and standard deviation over moments, with attention weights.

    Each head computes weights of the moments for its part of the maps. Initially, all weights are equal.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(width, heads, 1)
        initialize(self.score)
        nn.init.zeros_(self.score.weight)

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Pool feature maps: [B, W, T] -> [B, 2 W]."""
        weight_Bh1T = self.score(x_BWT).softmax(dim=-1).unsqueeze(2)
        batch, heads, _, moments = weight_Bh1T.shape
        x_BhVT = x_BWT.view(batch, heads, -1, moments)  # V: the feature maps of a head
        mean_BhV1 = (weight_Bh1T * x_BhVT).sum(dim=-1, keepdim=True)
        variance_BhV1 = (weight_Bh1T * (x_BhVT - mean_BhV1).square()).sum(dim=-1, keepdim=True)
        return torch.cat((mean_BhV1, (variance_BhV1 + LEAST).sqrt()), dim=1).flatten(1)


def build_readout(kind: ReadoutKind, width: int) -> nn.Module:
    """Build a readout of `width` maps."""
    return Readout() if kind == "statistics" else AttentionPooling(width, HEADS)
