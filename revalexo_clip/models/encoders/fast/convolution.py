"""Depthwise and pointwise 3-D convolutions that are fast on a CPU, and the conditions under which fast forms are used.

PyTorch's depthwise `Conv3d` takes most of an X3D training step on a CPU. `DepthwiseConv3d` computes the same result
from the same weights several times as fast, in one of three forms, depending on the kernel and the size of the maps:

- one grouped 2-D convolution over (channel x time): a channel's T input frames are the input channels of its group, its
  T output frames the output channels. The kernel between frame t and frame u contains the taps of time offset t - u, or
  zeros if there are none. For few frames, a group contains several channels, with zeros between them, until its
  vectors are full;
- if the kernel extends along time only, one matrix per channel, from all frames to all frames;
- for maps so small that a kernel covers most of them, one matrix per channel, from all positions to all positions.

`PointwiseConv3d` is a matrix product, which copies nothing into another layout.

`suits_cpu_forms`, `suits_own_gradients` and `are_plain` decide when the encoders use these and other fast forms instead
of PyTorch's modules.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast.depthwise_forms import ON_ACCELERATOR


def suits_cpu_forms(x: Tensor) -> bool:
    """Return whether `x` is on a CPU and is not being traced for export.

    Accelerators have fast kernels for PyTorch's modules, and an exported model may run on any device with batches of
    any size.
    """
    return x.device.type == "cpu" and not torch.compiler.is_exporting()


def suits_own_gradients(x: Tensor) -> bool:
    """Return whether, in addition, a custom backward pass may replace that of autograd.

    A compiler generates its own loops, so compiled code uses PyTorch's operations, as do tracing and mixed precision.
    """
    eager = not (torch.compiler.is_compiling() or torch._C._get_tracing_state())
    return suits_cpu_forms(x) and eager and not torch.is_autocast_enabled("cpu")


def are_plain(*maps: nn.Module) -> bool:
    """Return whether linear maps are only their weights and biases: no adapters, no quantisation, no hooks."""
    return all(type(each) is nn.Linear and not (each._forward_hooks or each._forward_pre_hooks) for each in maps)


SMALL = 64
"""Input positions (T x H x W) up to which matrices are faster: 2 to 10 times up to here, slower from about 70 on."""

GROUP = 8
"""Channels x frames up to which channels share a group: 8 x 8 takes half the time of 4 x 4 in the backward pass."""

LARGE = 2**23
"""Numbers in a batch above which its samples are convolved one by one, in half the time. The allocator returns blocks
above 32 MB to the system, which clears such memory again for each copy that a convolution makes of its input."""


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise `Conv3d` of temporal stride 1 and odd temporal kernel, with the same names and shapes of weights.

    On an accelerator, it uses `depthwise_forms.ON_ACCELERATOR`; in a model that is exported, PyTorch's convolution.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Convolve: [B, C, T, H, W] -> [B, C, T, H', W']."""
        if not suits_cpu_forms(x_BCTHW):
            return super().forward(x_BCTHW) if x_BCTHW.device.type == "cpu" else ON_ACCELERATOR(self, x_BCTHW)
        if x_BCTHW[0, 0].numel() <= SMALL:
            y_BCTHW = self._as_matrices(x_BCTHW)
        elif self.weight[0, 0, 0].numel() == 1 and max(self.stride) == 1 and not any(self.padding[1:]):
            y_BCTHW = self._along_time(x_BCTHW)
        else:
            y_BCTHW = self.in_2d(x_BCTHW, cast("tuple[int, int]", self.stride[1:]))
        return y_BCTHW if self.bias is None else y_BCTHW + self.bias[:, None, None, None]

    def in_2d(self, x_BCTHW: Tensor, stride: tuple[int, int]) -> Tensor:
        """Convolve without bias, with the given stride, as one 2-D convolution."""
        batch, channels, frames, height, width = x_BCTHW.shape
        side = max(n for n in range(1, GROUP + 1) if channels % n == 0 and (n == 1 or n * frames <= GROUP))
        kernel = banded(self.weight[:, 0].movedim(1, -1), frames, 1, int(self.padding[0]))  # [C, 3, 3, T', T]
        kernel = kernel.permute(0, 3, 4, 1, 2).view(-1, side, frames, 1, frames, *self.weight.shape[3:])
        apart = torch.eye(side, dtype=kernel.dtype).view(1, side, 1, side, 1, 1, 1)
        convolved = partial(
            nn.functional.conv2d,
            weight=(kernel * apart).flatten(3, 4).flatten(0, 2),
            stride=stride,
            padding=cast("tuple[int, int]", self.padding[1:]),
            groups=channels // side,
        )
        x_BCHW = x_BCTHW.reshape(batch, channels * frames, height, width)
        large = batch > 1 and x_BCHW.numel() > LARGE
        y_BCHW = torch.cat([convolved(x) for x in torch.chunk(x_BCHW, batch)]) if large else convolved(x_BCHW)
        return y_BCHW.view(batch, channels, frames, *y_BCHW.shape[2:])

    def _along_time(self, x_BCTHW: Tensor) -> Tensor:
        matrix_COI = banded(self.weight.flatten(1), x_BCTHW.shape[2], 1, int(self.padding[0]))
        matrices = matrix_COI.repeat(x_BCTHW.shape[0], 1, 1)  # [B C, T', T]
        return torch.bmm(matrices, x_BCTHW.flatten(0, 1).flatten(2)).view(x_BCTHW.shape)

    def _as_matrices(self, x_BCTHW: Tensor) -> Tensor:
        """Convolve by matrices. The kernel is expanded axis by axis to all positions: [C, T', T, H', H, W', W]."""
        matrix = self.weight[:, 0]
        for axis, size in enumerate(x_BCTHW.shape[2:]):
            matrix = banded(matrix.movedim(1, -1), size, self.stride[axis], int(self.padding[axis]))
        to = matrix.shape[1::2]
        matrix_COI = matrix.permute(0, 1, 3, 5, 2, 4, 6).reshape(len(matrix), to.numel(), -1)
        y_CBO = x_BCTHW.flatten(2).transpose(0, 1) @ matrix_COI.transpose(1, 2)
        return y_CBO.transpose(0, 1).reshape(*x_BCTHW.shape[:2], *to)


def banded(taps: Tensor, size: int, stride: int, padding: int) -> Tensor:
    """Expand taps [..., K] to the matrix [..., output size, `size`] that convolves along an axis of `size` positions.

    Its rows are windows of the zero-padded taps, each further to the left.
    """
    out = (size + 2 * padding - taps.shape[-1]) // stride + 1
    last = (out - 1) * stride  # the first position of the last window, ignoring the padding
    before = last - padding
    between_zeros = nn.functional.pad(taps, (before, size + last - before - taps.shape[-1]))
    return between_zeros.unfold(-1, size, stride).flip(-2)


def fits(conv: nn.Conv3d) -> bool:
    """Return whether a convolution can be replaced by this class."""
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.stride[0] == 1
        and conv.kernel_size[0] % 2 == 1
        and conv.padding != "same"
        and conv.padding[0] == conv.kernel_size[0] // 2
        and conv.padding_mode == "zeros"
        and tuple(conv.dilation) == (1, 1, 1)
    )


class PointwiseConv3d(nn.Conv3d):
    """A `Conv3d` of kernel 1 without padding, with the same names and shapes of weights.

    On an accelerator, it uses PyTorch's convolution.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Convolve: [B, C, T, H, W] -> [B, C', T', H', W'], with the stride."""
        if not suits_cpu_forms(x_BCTHW):
            return super().forward(x_BCTHW)
        t, h, w = self.stride
        return self.at_every_place(x_BCTHW[:, :, ::t, ::h, ::w])

    def at_every_place(self, x_BCTHW: Tensor) -> Tensor:
        """Convolve without stride: [B, C, T, H, W] -> [B, C', T, H, W]."""
        if not suits_cpu_forms(x_BCTHW):
            return nn.functional.conv3d(x_BCTHW, self.weight, self.bias)
        matrices = self.weight.flatten(1).expand(x_BCTHW.shape[0], -1, -1)
        y_BCP = torch.bmm(matrices, x_BCTHW.flatten(2))  # P: all positions
        if self.bias is not None:
            y_BCP = y_BCP + self.bias[:, None]
        return y_BCP.view(*y_BCP.shape[:2], *x_BCTHW.shape[2:])


def fits_pointwise(conv: nn.Conv3d) -> bool:
    """Return whether a convolution can be replaced by this class."""
    return conv.groups == 1 == max(conv.kernel_size) and conv.padding != "same" and not any(conv.padding)
