"""Squeeze and excitation (Hu et al., 2018, arXiv:1709.01507), with a backward pass that writes no product of maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from revalexo_clip.encoders.forms import suits_cpu_forms


class SqueezeExcitation(nn.Module):
    """Scales every channel by a gate in (0, 1), which a small network computes from all channels' averages.

    The scaling is a matrix product with a 1 x 1 matrix: the gradient of the gate is then a dot product, where that of a
    broadcast product is a map as large as the input, written and summed up.
    """

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.block = gate

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same."""
        gate_BC: Tensor = self.block(x_BCTHW.mean(dim=(2, 3, 4), keepdim=True)).flatten()
        if not suits_cpu_forms(x_BCTHW):
            return x_BCTHW * gate_BC.view(*x_BCTHW.shape[:2], 1, 1, 1)
        maps = x_BCTHW.flatten(0, 1).flatten(1)  # [B C, T H W]
        return torch.bmm(gate_BC[:, None, None], maps[:, None]).view(x_BCTHW.shape)
