"""X3D's bottleneck (Feichtenhofer, 2020, arXiv:2004.04730): to many channels, depthwise, back to few."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast.batch_norm import FastBatchNorm3d
from revalexo_clip.models.encoders.fast.pointwise_norm_relu import NARROW, normed_pointwise


class Bottleneck(nn.Module):
    """Takes the place of PyTorchVideo's `BottleneckBlock`, with its submodules under their names."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.conv_a, self.norm_a, self.act_a = (plain.get_submodule(f"{part}_a") for part in ("conv", "norm", "act"))
        self.conv_b, self.norm_b, self.act_b = (plain.get_submodule(f"{part}_b") for part in ("conv", "norm", "act"))
        self.conv_c, self.norm_c = (plain.get_submodule(f"{part}_c") for part in ("conv", "norm"))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T, H', W']."""
        wide = self.act_b(self.norm_b(self.conv_b(self._widened(x_BCTHW))))
        narrow: Tensor = self.norm_c(self.conv_c(wide))
        return narrow

    def _widened(self, x_BCTHW: Tensor) -> Tensor:
        conv, norm = cast("nn.Conv3d", self.conv_a), cast("FastBatchNorm3d", self.norm_a)
        if conv.in_channels > NARROW or not norm.is_told_statistics(x_BCTHW):
            wide: Tensor = self.act_a(norm(conv(x_BCTHW)))
            return wide
        affine_2O = torch.stack((norm.weight, norm.bias))
        y_BOP, statistics_2O = normed_pointwise(x_BCTHW.flatten(2), conv.weight.flatten(1), affine_2O, norm.eps)
        norm.track(statistics_2O[0], statistics_2O[1], x_BCTHW.numel() // conv.in_channels)
        return y_BOP.view(*y_BOP.shape[:2], *x_BCTHW.shape[2:])
