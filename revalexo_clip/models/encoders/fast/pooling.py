"""The pooling convolution of MViT's tokens: tokens are convolved in their own layout, channels last.

On a CPU this is `pool_tokens`; on an accelerator, with `trainer.channels_last`, `pool_channels_last`.

A kernel of K frames is computed as K depthwise 2-D convolutions, each added to the output at its time offset. Other
layouts would require copying every token before and after the convolution, in both passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, once_differentiable


class Pooling(NamedTuple):
    """Pooling of positions [T, H, W]: strides and paddings in height and width; in time, 1 and half the kernel."""

    thw: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def places(self, kernel: Sequence[int]) -> tuple[int, int, int]:
        """Return the output positions [T, H', W'] for a kernel of the given height and width."""
        frames, *size = self.thw
        height, width = (
            (side + 2 * padding - taps) // stride + 1
            for side, padding, taps, stride in zip(size, self.padding, kernel, self.stride, strict=True)
        )
        return frames, height, width


def pool_tokens(
    tokens_BNC: Tensor, conv: nn.Conv3d, heads: int, pooling: Pooling
) -> tuple[Tensor, tuple[int, int, int]]:
    """Pool a class token and T x H x W positions [B, N, C] to the same class token and T x H' x W' positions.

    Returns the tokens [B, N', C] and (T, H', W'). The channels of all heads are convolved by the same weights, without
    a bias.
    """
    taps_KCkk = conv.weight[:, 0].movedim(1, 0).repeat(1, heads, 1, 1)
    return _pool(tokens_BNC.contiguous(), taps_KCkk, pooling), pooling.places(taps_KCkk.shape[2:])


def pool_channels_last(grid_BTHWC: Tensor, conv: nn.Conv3d, heads: int) -> Tensor:
    """Pool positions [B, T, H, W, C] to [B, T', H', W', C] by the library's convolution in `channels_last_3d`.

    In this format, tokens are maps already, so that nothing is copied into another layout, as it is for [B h, d, T, H,
    W]. The channels of all heads are convolved by the same weights, without a bias.
    """
    taps = conv.weight.repeat(heads, 1, 1, 1, 1).to(memory_format=torch.channels_last_3d)
    stride, padding = (cast("tuple[int, int, int]", tuple(each)) for each in (conv.stride, conv.padding))
    maps = grid_BTHWC.permute(0, 4, 1, 2, 3)
    return nn.functional.conv3d(maps, taps, None, stride, padding, groups=len(taps)).permute(0, 2, 3, 4, 1)


def is_channels_last(weight: Tensor) -> bool:
    """Return whether a depthwise weight [C, 1, K, k, k] was put into `channels_last_3d`.

    `is_contiguous` does not tell: with a single input channel, it is true of both formats.
    """
    return weight.shape[1] == 1 and weight.stride(1) == 1 and weight[0].numel() > 1


class _PooledTokens(torch.autograd.Function):
    """Pooling sample by sample, which keeps intermediate results small. K: frames of the kernel, k: its sides."""

    @staticmethod
    def forward(ctx: _Saved, tokens_BNC: Tensor, taps_KCkk: Tensor, pooling: Pooling) -> Tensor:
        batch, _, channels = tokens_BNC.shape
        places = pooling.places(taps_KCkk.shape[2:])
        pooled_BNC = tokens_BNC.new_empty(batch, 1 + prod(places), channels)
        pooled_BNC[:, 0] = tokens_BNC[:, 0]
        for tokens_NC, pooled_NC in zip(tokens_BNC, pooled_BNC, strict=True):
            x_TCHW, y_TCHW = _maps(tokens_NC, pooling.thw), _maps(pooled_NC, places)
            for tap, of, to in _in_time(taps_KCkk, len(x_TCHW)):
                weight_C1kk = taps_KCkk[tap, :, None]
                part = nn.functional.conv2d(
                    x_TCHW[of], weight_C1kk, None, pooling.stride, pooling.padding, groups=channels
                )
                _write_or_add(y_TCHW, to, part)
        ctx.save_for_backward(tokens_BNC, taps_KCkk)
        ctx.pooling = pooling
        return pooled_BNC

    @staticmethod
    @once_differentiable
    def backward(ctx: _Saved, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tokens_BNC, taps_KCkk = cast("tuple[Tensor, Tensor]", ctx.saved_tensors)
        pooling = ctx.pooling
        places = pooling.places(taps_KCkk.shape[2:])
        grad_BNC = grads[0].contiguous()
        grad_tokens_BNC, grad_taps_KCkk = torch.empty_like(tokens_BNC), torch.zeros_like(taps_KCkk)
        grad_tokens_BNC[:, 0] = grad_BNC[:, 0]
        for tokens_NC, grad_NC, grad_tokens_NC in zip(tokens_BNC, grad_BNC, grad_tokens_BNC, strict=True):
            x_TCHW, grad_x_TCHW = (_maps(tokens, pooling.thw) for tokens in (tokens_NC, grad_tokens_NC))
            grad_TCHW = _maps(grad_NC, places)
            for tap, of, to in _in_time(taps_KCkk, len(x_TCHW)):
                part, grad_C1kk = _gradients(
                    grad_TCHW[to], x_TCHW[of], taps_KCkk[tap, :, None], pooling, ctx.needs_input_grad[:2]
                )
                if part is not None:
                    _write_or_add(grad_x_TCHW, of, part)
                if grad_C1kk is not None:
                    grad_taps_KCkk[tap] += grad_C1kk[:, 0]
        return grad_tokens_BNC, grad_taps_KCkk, None


class _Saved(BackwardCFunction):
    pooling: Pooling


def _maps(tokens_NC: Tensor, places: Sequence[int]) -> Tensor:
    """View all tokens except the first as images, without a copy."""
    return tokens_NC[1:].view(*places, -1).permute(0, 3, 1, 2)


def _in_time(taps_KCkk: Tensor, frames: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield each tap in time, the frames it reads, and those it adds to; first the tap that covers all frames."""
    middle = len(taps_KCkk) // 2
    for tap in sorted(range(len(taps_KCkk)), key=lambda tap: abs(tap - middle)):
        later, sooner = max(0, tap - middle), max(0, middle - tap)
        if later + sooner < frames:
            yield tap, slice(later, frames - sooner), slice(sooner, frames - later)


def _write_or_add(maps_TCHW: Tensor, frames: slice, part_TCHW: Tensor) -> None:
    if len(part_TCHW) == len(maps_TCHW):
        maps_TCHW.copy_(part_TCHW)
    else:
        maps_TCHW[frames] += part_TCHW


def _gradients(
    grad_TCHW: Tensor, x_TCHW: Tensor, weight_C1kk: Tensor, pooling: Pooling, needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Compute the gradients of one depthwise convolution with respect to its input and weight, if needed."""
    grad_x_TCHW, grad_C1kk, _ = torch.ops.aten.convolution_backward(
        grad_TCHW,
        x_TCHW,
        weight_C1kk,
        bias_sizes=None,
        stride=pooling.stride,
        padding=pooling.padding,
        dilation=(1, 1),
        transposed=False,
        output_padding=(0, 0),
        groups=len(weight_C1kk),
        output_mask=(*needed, False),
    )
    return grad_x_TCHW, grad_C1kk


_pool = cast("Callable[[Tensor, Tensor, Pooling], Tensor]", _PooledTokens.apply)
