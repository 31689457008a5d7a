"""Batch norm of 3-D maps (Ioffe & Szegedy, 2015, arXiv:1502.03167), fast on a CPU in training.

On a CPU, PyTorch sums number by number in double precision, once for the mean and once for the variance, which takes
three quarters of its forward pass. Here, each map is summed with vector instructions, and the sums of all maps are
combined in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable

from revalexo_clip.models.encoders.fast.convolution import suits_own_gradients

CANCELS = 1e-3
"""Share of a map's mean square below which its variance, a difference of squares, would lose too many digits."""


class FastBatchNorm3d(nn.BatchNorm3d):
    """A faster `BatchNorm3d` with the same weights and running statistics under the same names.

    On an accelerator, in mixed precision and in eval mode, it uses PyTorch's implementation.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Normalise maps: [B, C, T, H, W] -> the same."""
        if not self.computes_statistics(x_BCTHW):
            return super().forward(x_BCTHW)
        mean_C, variance_C = moments(x_BCTHW.detach())
        self.track(mean_C, variance_C, x_BCTHW.numel() // self.num_features)
        statistics_2C = torch.stack((mean_C, variance_C + self.eps)).to(x_BCTHW.dtype)
        return _apply(x_BCTHW, self.weight, self.bias, statistics_2C)

    def computes_statistics(self, x_BCTHW: Tensor) -> bool:
        """Return whether the statistics of `x` are computed here instead of by PyTorch.

        A single number per channel is left to PyTorch, which raises an error.
        """
        several = x_BCTHW.numel() > x_BCTHW.shape[1]
        return self.training and several and x_BCTHW.dtype == self.weight.dtype and suits_own_gradients(x_BCTHW)

    @torch.no_grad()
    def track(self, mean_C: Tensor, variance_C: Tensor, count: int) -> None:
        """Update the running statistics with those of `count` numbers."""
        running = ((self.running_mean, mean_C), (self.running_var, variance_C * (count / (count - 1))))
        for kept, seen in running:
            assert kept is not None
            kept.lerp_(seen.to(kept.dtype), cast("float", self.momentum))
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)


def moments(x_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and (biased) variance [C] over all axes except the channels, in double precision."""
    maps_BCP = x_BCTHW.flatten(2)
    mean_BC = maps_BCP.mean(2).double()
    square_BC = torch.linalg.vector_norm(maps_BCP, dim=2).double().square() / maps_BCP.shape[2]
    variance_BC = square_BC - mean_BC.square()
    doubtful_BC = variance_BC < CANCELS * square_BC
    if doubtful_BC.any():
        variance_BC[doubtful_BC] = maps_BCP[doubtful_BC].var(1, correction=0).double()
    mean_C = mean_BC.mean(0)
    return mean_C, variance_BC.mean(0) + (mean_BC - mean_C).square().mean(0)


def fits(norm: nn.Module) -> bool:
    """Return whether a module can be replaced by this class."""
    if type(norm) is not nn.BatchNorm3d:
        return False
    return norm.affine and norm.track_running_stats and norm.momentum is not None


class _Normalized(torch.autograd.Function):
    """PyTorch's two kernels; the forward kernel is given the batch's statistics instead of computing them."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight_C: Tensor, bias_C: Tensor, statistics_2C: Tensor) -> Tensor:
        mean_C, variance_C = statistics_2C
        ctx.save_for_backward(x, weight_C, mean_C, variance_C.rsqrt())
        return nn.functional.batch_norm(x, mean_C, variance_C, weight_C, bias_C, eps=0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_C, mean_C, inverse_C = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        found = torch.ops.aten.native_batch_norm_backward(
            grads[0], x, weight_C, None, None, mean_C, inverse_C, True, 0.0, ctx.needs_input_grad[:3]
        )
        return *found, None


_apply = cast("Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]", _Normalized.apply)
