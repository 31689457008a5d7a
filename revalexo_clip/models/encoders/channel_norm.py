"""Group norm of IMU channels, with accelerometers and gyroscopes in groups of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from revalexo_clip.core.types import parse


class ChannelNorm(nn.Module):
    """Normalise all channels of a kind together over the window: [B, C, L] -> [B, C, L].

    Kinds are accelerometers, gyroscopes and other channels, in any order. For three axes of acceleration followed by
    three of angular velocity this is `nn.GroupNorm(2, 6)`, and its weights have the same names and shapes.
    """

    order: Tensor
    place: Tensor

    def __init__(self, channels: Sequence[str]) -> None:
        """Build it for channels of these names."""
        super().__init__()
        kinds = [channel.kind if (channel := parse(name)) else "" for name in channels]
        order = sorted(range(len(kinds)), key=lambda place: kinds.index(kinds[place]))
        self.sizes = [kinds.count(kind) for kind in dict.fromkeys(kinds)]
        self.sorted = order == list(range(len(order)))
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("place", torch.tensor(order).argsort(), persistent=False)
        self.weight = nn.Parameter(torch.ones(len(kinds)))
        self.bias = nn.Parameter(torch.zeros(len(kinds)))

    def forward(self, x_BCL: Tensor) -> Tensor:
        """Normalise windows [B, C, L]."""
        grouped_BCL = x_BCL if self.sorted else x_BCL[:, self.order]
        parts = [nn.functional.group_norm(part, 1) for part in torch.split_with_sizes(grouped_BCL, self.sizes, dim=1)]
        normal_BCL = torch.cat(parts, dim=1)
        if not self.sorted:
            normal_BCL = normal_BCL[:, self.place]
        return normal_BCL * self.weight[:, None] + self.bias[:, None]
