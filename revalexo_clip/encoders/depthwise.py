"""Depthwise 3-D convolution, fast on a CPU.

PyTorch's depthwise `Conv3d` takes most of an X3D training step there. The same weights, applied as one grouped 2-D
convolution over (channel x time), give the same result several times as fast: a channel's T input frames are the
group's input channels, its T output frames the output channels, and the kernel between frame t and frame u holds the
taps of time offset u - t, zero where there are none.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


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
        batch, channels, frames, height, width = x_BCTHW.shape
        y = nn.functional.conv2d(
            x_BCTHW.reshape(batch, channels * frames, height, width),
            self._band(frames),
            None if self.bias is None else self.bias.repeat_interleave(frames),
            stride=cast("tuple[int, int]", self.stride[1:]),
            padding=cast("tuple[int, int]", self.padding[1:]),
            groups=channels,
        )
        return y.view(batch, channels, frames, *y.shape[2:])

    def _band(self, frames: int) -> Tensor:
        """The kernel between all pairs of frames, [C * T, T, kernel height, kernel width]."""
        taps = self.kernel_size[0]
        time_T = torch.arange(frames)
        tap_TT = time_T[None, :] - time_T[:, None] + taps // 2
        inside_TT = (tap_TT >= 0) & (tap_TT < taps)
        band = self.weight[:, 0][:, tap_TT.clamp(0, taps - 1)] * inside_TT[:, :, None, None]
        return band.flatten(0, 1)


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
