"""Faster parts of X3D (Feichtenhofer, 2020, arXiv:2004.04730) with the outputs and weight names of PyTorchVideo's X3D.

`SqueezeExcitation` (Hu et al., 2018, arXiv:1709.01507) has a backward pass that stores no product of maps. `Bottleneck`
expands to many channels, convolves depthwise and reduces the channels again. `speed_up` replaces all parts of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable

from revalexo_clip.models.encoders.fast import batch_norm
from revalexo_clip.models.encoders.fast import convolution as depthwise
from revalexo_clip.models.encoders.fast.batch_norm import FastBatchNorm3d
from revalexo_clip.models.encoders.fast.convolution import PointwiseConv3d, fits_pointwise, suits_own_gradients
from revalexo_clip.models.encoders.fast.pointwise_norm_relu import NARROW, normed_pointwise


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate in (0, 1), which a small network computes from the averages of all channels."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.block = gate

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Apply the gates: [B, C, T, H, W] -> the same."""
        gate_BC111: Tensor = self.block(x_BCTHW.mean(dim=(2, 3, 4), keepdim=True))
        if not suits_own_gradients(x_BCTHW):
            return x_BCTHW * gate_BC111
        return _apply(x_BCTHW, gate_BC111)


class _Gated(torch.autograd.Function):
    """x * gate. The gate's gradient is one dot product per map; autograd would store and sum a product of maps."""

    @staticmethod
    def forward(ctx: FunctionCtx, x_BCTHW: Tensor, gate_BC111: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCTHW, gate_BC111)
        return x_BCTHW * gate_BC111

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x_BCTHW, gate_BC111 = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        return grads[0] * gate_BC111, dots(grads[0], x_BCTHW).view_as(gate_BC111)


_apply = cast("Callable[[Tensor, Tensor], Tensor]", _Gated.apply)


def dots(x_BCTHW: Tensor, y_BCTHW: Tensor) -> Tensor:
    """Compute the dot product of every map in `x` with its counterpart in `y`, [B C].

    This uses a kernel of group norm: if maps are groups of mean 0 and standard deviation 1, the dot products are the
    gradients of its weights.
    """
    maps = x_BCTHW.shape[0] * x_BCTHW.shape[1]
    rows = [each.reshape(1, maps, -1) for each in (x_BCTHW, y_BCTHW)]
    mean, deviation = rows[0].new_zeros(1, maps), rows[0].new_ones(1, maps)
    found = torch.ops.aten.native_group_norm_backward(
        *rows, mean, deviation, deviation[0], 1, maps, rows[0].shape[2], maps, (False, True, False)
    )
    return cast("Tensor", found[1])


class Bottleneck(nn.Module):
    """Replacement of PyTorchVideo's `BottleneckBlock`, with the same submodules under the same names."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.conv_a, self.norm_a, self.act_a = (plain.get_submodule(f"{part}_a") for part in ("conv", "norm", "act"))
        self.conv_b, self.norm_b, self.act_b = (plain.get_submodule(f"{part}_b") for part in ("conv", "norm", "act"))
        self.conv_c, self.norm_c = (plain.get_submodule(f"{part}_c") for part in ("conv", "norm"))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Apply the block: [B, C, T, H, W] -> [B, C', T, H', W']."""
        wide = self.act_b(self.norm_b(self.conv_b(self._widened(x_BCTHW))))
        narrow: Tensor = self.norm_c(self.conv_c(wide))
        return narrow

    def _widened(self, x_BCTHW: Tensor) -> Tensor:
        conv, norm = cast("nn.Conv3d", self.conv_a), self.norm_a
        narrow = conv.in_channels <= NARROW
        # `trainer.sync_batchnorm` replaces the fast norm.
        if not (narrow and isinstance(norm, FastBatchNorm3d) and norm.computes_statistics(x_BCTHW)):
            wide: Tensor = self.act_a(norm(conv(x_BCTHW)))
            return wide
        affine_2O = torch.stack((norm.weight, norm.bias))
        y_BOP, statistics_2O = normed_pointwise(x_BCTHW.flatten(2), conv.weight.flatten(1), affine_2O, norm.eps)
        norm.track(statistics_2O[0], statistics_2O[1], x_BCTHW.numel() // conv.in_channels)
        return y_BOP.view(*y_BOP.shape[:2], *x_BCTHW.shape[2:])


def speed_up(model: nn.Module) -> None:
    """Replace every part of `model` by its fast form. State dicts do not change."""
    for module in list(model.modules()):
        if type(module) is nn.Conv3d:
            _speed_up_convolution(module)
        elif batch_norm.fits(module):
            module.__class__ = batch_norm.FastBatchNorm3d
        elif isinstance(module, nn.ReLU):
            module.inplace = True  # X3D applies ReLU to norms and sums, whose backward passes do not need it
        elif hasattr(module, "act_b"):
            _speed_up_bottleneck(module)
    for module in list(model.modules()):
        if hasattr(module, "branch2"):
            module.register_module("branch2", Bottleneck(module.get_submodule("branch2")))


def _speed_up_convolution(conv: nn.Conv3d) -> None:
    if depthwise.fits(conv):
        conv.__class__ = depthwise.DepthwiseConv3d
    elif fits_pointwise(conv):
        conv.__class__ = PointwiseConv3d


def _speed_up_bottleneck(block: nn.Module) -> None:
    """Replace Swish and, in every second block, squeeze and excitation after the depthwise convolution."""
    block.register_module("act_b", nn.SiLU())  # one pass in each direction instead of the seven of PyTorchVideo's Swish
    norm_b = block.get_submodule("norm_b")
    assert isinstance(norm_b, nn.Sequential)
    if not isinstance(norm_b[1], nn.Identity):
        norm_b[1] = SqueezeExcitation(norm_b[1].get_submodule("block"))
