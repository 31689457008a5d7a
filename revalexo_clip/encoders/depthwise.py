"""Depthwise 3-D convolution, fast on a CPU.

PyTorch's depthwise `Conv3d` takes most of an X3D training step there. The same weights give the same result several
times as fast in one of two other forms, whichever suits the size of the maps:

- one grouped 2-D convolution over (channel x time): a channel's T input frames are the group's input channels, its T
  output frames the output channels, and the kernel between frame t and frame u holds the taps of time offset u - t,
  zero where there are none;
- on maps so small that a kernel covers most of one, one matrix for each channel, from all places to all places.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

SMALL = 64
"""Input places (T x H x W) up to which the matrices are faster: 2 to 10 times there, slower from about 70 on."""


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise `Conv3d` of temporal stride 1 and odd temporal kernel; names and shapes of its weights unchanged.

    On an accelerator it is the library's own convolution.
    """

    @classmethod
    def like(cls, conv: nn.Conv3d) -> DepthwiseConv3d:
        """The same convolution, sharing `conv`'s weights."""
        assert fits(conv)
        fast = cls(
            conv.in_channels,
            conv.out_channels,
            cast("tuple[int, int, int]", conv.kernel_size),
            stride=cast("tuple[int, int, int]", conv.stride),
            padding=cast("tuple[int, int, int]", conv.padding),
            groups=conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        fast.weight, fast.bias = conv.weight, conv.bias
        return fast

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C, T, H', W']."""
        if x_BCTHW.device.type != "cpu":
            return super().forward(x_BCTHW)
        return self._as_matrices(x_BCTHW) if x_BCTHW[0, 0].numel() <= SMALL else self._in_2d(x_BCTHW)

    def _in_2d(self, x_BCTHW: Tensor) -> Tensor:
        batch, channels, frames, height, width = x_BCTHW.shape
        along_time = _along(frames, 1, self.weight.shape[2], int(self.padding[0]))
        kernel = torch.einsum("cthw,out->couhw", self.weight[:, 0], along_time.to(self.weight))
        y = nn.functional.conv2d(
            x_BCTHW.reshape(batch, channels * frames, height, width),
            kernel.flatten(0, 1),
            None if self.bias is None else self.bias.repeat_interleave(frames),
            stride=cast("tuple[int, int]", self.stride[1:]),
            padding=cast("tuple[int, int]", self.padding[1:]),
            groups=channels,
        )
        return y.view(batch, channels, frames, *y.shape[2:])

    def _as_matrices(self, x_BCTHW: Tensor) -> Tensor:
        sizes, strides, paddings = tuple(x_BCTHW.shape[2:]), tuple(self.stride), tuple(map(int, self.padding))
        places = _from_place_to_place(sizes, strides, tuple(self.weight.shape[2:]), paddings).to(self.weight)
        to = places.shape[:3]
        matrix_CP = self.weight.flatten(1) @ places.reshape(-1, places.shape[-1]).T  # P: pairs of places
        matrix_COI = matrix_CP.view(len(matrix_CP), to.numel(), -1)
        y_CBO = x_BCTHW.flatten(2).transpose(0, 1) @ matrix_COI.transpose(1, 2)
        if self.bias is not None:
            y_CBO = y_CBO + self.bias[:, None, None]
        return y_CBO.transpose(0, 1).reshape(*x_BCTHW.shape[:2], *to)


@lru_cache(maxsize=64)
def _along(size: int, stride: int, kernel: int, padding: int) -> Tensor:
    """[places out, places in, taps] along one axis: 1 where a tap carries one place to the other, else 0."""
    out = (size + 2 * padding - kernel) // stride + 1
    tap_OI = torch.arange(size)[None, :] - torch.arange(out)[:, None] * stride + padding
    return (tap_OI[:, :, None] == torch.arange(kernel)).float()


@lru_cache(maxsize=64)
def _from_place_to_place(
    sizes: Sequence[int], strides: Sequence[int], kernel: Sequence[int], paddings: Sequence[int]
) -> Tensor:
    """[T', H', W', T, H, W, taps]: `_along` over all three axes, with the taps of the kernel in one row."""
    axes = [_along(*axis) for axis in zip(sizes, strides, kernel, paddings, strict=True)]
    return torch.einsum("tua,hxb,wyc->thwuxyabc", *axes).flatten(6)


def fits(conv: nn.Conv3d) -> bool:
    """Whether a convolution can take this form."""
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.stride[0] == 1
        and conv.kernel_size[0] % 2 == 1
        and conv.padding != "same"
        and conv.padding[0] == conv.kernel_size[0] // 2
        and conv.padding_mode == "zeros"
        and tuple(conv.dilation) == (1, 1, 1)
    )


def speed_up(model: nn.Module) -> None:
    """Give every depthwise 3-D convolution in `model` its fast form; state dicts stay what they are."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv3d) and fits(child):
                parent.register_module(name, DepthwiseConv3d.like(child))
