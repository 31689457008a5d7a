"""Exact forms of a depthwise 3-D convolution on an accelerator, and the one that is used there.

All of them compute `Conv3d` from the same weights; which is the fastest depends on the GPU, the precision and the size
of the maps. `python -m benchmarks.gpu` measures them on the sizes of X3D and MViT. Names of axes: K frames of the
kernel, T frames of the maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

Form: TypeAlias = Callable[[nn.Conv3d, Tensor], Tensor]
"""Convolves maps: [B, C, T, H, W] -> [B, C, T, H', W']."""


def library(conv: nn.Conv3d, x_BCTHW: Tensor) -> Tensor:
    """Call torch. On CUDA it takes a kernel of its own, or cuDNN's if maps or weights are in `channels_last_3d`."""
    return _convolved(conv, x_BCTHW, conv.weight)


def channels_last(conv: nn.Conv3d, x_BCTHW: Tensor) -> Tensor:
    """Call torch with maps and weights in `channels_last_3d`, for which it always takes cuDNN."""
    x_BCTHW = x_BCTHW.contiguous(memory_format=torch.channels_last_3d)
    weight = conv.weight.to(memory_format=torch.channels_last_3d)
    return _convolved(conv, x_BCTHW, weight)


def by_frame(conv: nn.Conv3d, x_BCTHW: Tensor) -> Tensor:
    """Compute K depthwise 2-D convolutions of all frames, and add each at its offset in time (a 2+1-D form)."""
    batch, channels, frames = x_BCTHW.shape[:3]
    stride, padding = (cast("tuple[int, int]", tuple(each)[1:]) for each in (conv.stride, conv.padding))
    x_RCHW = x_BCTHW.transpose(1, 2).flatten(0, 1)  # R: all frames of all samples
    taps = [
        nn.functional.conv2d(x_RCHW, weight_C1kk, None, stride, padding, groups=channels)
        for weight_C1kk in conv.weight.unbind(2)
    ]
    y_BTCHW = _added_in_time([tap.view(batch, frames, *tap.shape[1:]) for tap in taps], dim=1)
    return _with_bias(conv, y_BTCHW.transpose(1, 2))


def by_shifts(conv: nn.Conv3d, x_BCTHW: Tensor) -> Tensor:
    """Add the shifted maps, each times its weight: for torch.compile, which makes one kernel of it."""
    _, pad_h, pad_w = cast("tuple[int, int, int]", conv.padding)
    _, stride_h, stride_w = conv.stride
    x_BCTHW = nn.functional.pad(x_BCTHW, (pad_w, pad_w, pad_h, pad_h))
    kernel_h, kernel_w = conv.kernel_size[1:]
    rows, columns = ((x_BCTHW.shape[axis] - size) for axis, size in ((3, kernel_h), (4, kernel_w)))

    def tap(weight_Ckk: Tensor) -> Tensor:
        parts = (
            weight_Ckk[:, i, j, None, None, None]
            * x_BCTHW[..., i : i + rows + 1 : stride_h, j : j + columns + 1 : stride_w]
            for i, j in product(range(kernel_h), range(kernel_w))
        )
        total = next(parts)
        for part in parts:
            total = total + part
        return total

    return _with_bias(conv, _added_in_time([tap(weight_Ckk) for weight_Ckk in conv.weight[:, 0].unbind(1)], dim=2))


FORMS: Mapping[str, Form] = {
    "library": library,
    "channels_last": channels_last,
    "by_frame": by_frame,
    "by_shifts": by_shifts,
}

ON_ACCELERATOR: Form = library
"""The form that `DepthwiseConv3d` uses on an accelerator. No form has been measured on a GPU yet."""


def _convolved(conv: nn.Conv3d, x_BCTHW: Tensor, weight: Tensor) -> Tensor:
    stride, padding = (cast("tuple[int, int, int]", tuple(each)) for each in (conv.stride, conv.padding))
    return nn.functional.conv3d(x_BCTHW, weight, conv.bias, stride, padding, groups=conv.groups)


def _added_in_time(taps: list[Tensor], dim: int) -> Tensor:
    """Add the K maps that the frames of a kernel give: frame t of the output reads frames t - K // 2 to t + K // 2."""
    middle, frames = len(taps) // 2, taps[0].shape[dim]
    total = taps[middle]
    for offset, tap in _others(taps, middle):
        if abs(offset) >= frames:
            continue
        kept = tap.narrow(dim, max(offset, 0), frames - abs(offset))
        shape = list(tap.shape)
        shape[dim] = abs(offset)
        zeros = kept.new_zeros(shape)
        total = total + torch.cat((kept, zeros) if offset > 0 else (zeros, kept), dim=dim)
    return total


def _others(taps: list[Tensor], middle: int) -> Iterator[tuple[int, Tensor]]:
    return ((place - middle, tap) for place, tap in enumerate(taps) if place != middle)


def _with_bias(conv: nn.Conv3d, y_BCTHW: Tensor) -> Tensor:
    return y_BCTHW if conv.bias is None else y_BCTHW + conv.bias[:, None, None, None]
