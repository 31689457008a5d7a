"""Squeeze and excitation (Hu et al., 2018, arXiv:1709.01507), with a backward pass that writes no product of maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable

from revalexo_clip.models.encoders.fast.forms import suits_own_gradients


class SqueezeExcitation(nn.Module):
    """Scales every channel by a gate in (0, 1), which a small network computes from all channels' averages."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.block = gate

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same."""
        gate_BC111: Tensor = self.block(x_BCTHW.mean(dim=(2, 3, 4), keepdim=True))
        if not suits_own_gradients(x_BCTHW):
            return x_BCTHW * gate_BC111
        return _apply(x_BCTHW, gate_BC111)


class _Gated(torch.autograd.Function):
    """x * gate. The gate's gradient is a dot product for each map, where autograd would sum a product of maps."""

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
    """The dot product of every map in `x` with its counterpart in `y`, [B C].

    Group norm has the kernel: where maps are groups of mean 0 and deviation 1, it is the gradient of their weights.
    """
    maps = x_BCTHW.shape[0] * x_BCTHW.shape[1]
    rows = [each.reshape(1, maps, -1) for each in (x_BCTHW, y_BCTHW)]
    mean, deviation = rows[0].new_zeros(1, maps), rows[0].new_ones(1, maps)
    found = torch.ops.aten.native_group_norm_backward(
        *rows, mean, deviation, deviation[0], 1, maps, rows[0].shape[2], maps, (False, True, False)
    )
    return cast("Tensor", found[1])
