"""Depthwise 3-D convolution, fast on a CPU.

PyTorch's depthwise `Conv3d` takes most of an X3D training step there. The same weights give the same result several
times as fast in one of three other forms, whichever suits the kernel and the size of the maps:

- one grouped 2-D convolution over (channel x time): a channel's T input frames are input channels of its group, its T
  output frames the output channels, and the kernel between frame t and frame u holds the taps of time offset t - u,
  zero where there are none. Of few frames, a group takes several channels, with zeros between them, until its
  vectors are full;
- where the kernel reaches along time only, a matrix for each channel, from all frames to all frames;
- on maps so small that a kernel covers most of one, one matrix for each channel, from all places to all places.

Pointwise 3-D convolution, fast on a CPU: a matrix product, for which nothing is copied into another layout.

Where the encoders compute in forms of their own, and where in the library's.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn


def suits_cpu_forms(x: Tensor) -> bool:
    """Whether `x` is computed with here and now on a CPU.

    Accelerators have kernels for the library's own forms, and what is traced for export may run anywhere, with batches
    of any size.
    """
    return x.device.type == "cpu" and not torch.compiler.is_exporting()


def suits_own_gradients(x: Tensor) -> bool:
    """Whether, beyond that, a backward pass of our own may take the place of autograd's.

    What is compiled is left to the compiler, which writes loops of its own; what is traced, and mixed precision, to the
    library.
    """
    eager = not (torch.compiler.is_compiling() or torch._C._get_tracing_state())
    return suits_cpu_forms(x) and eager and not torch.is_autocast_enabled("cpu")


def are_plain(*maps: nn.Module) -> bool:
    """Whether linear maps are no more than their weights and biases: not adapted, not quantised, not hooked into."""
    return all(type(each) is nn.Linear and not (each._forward_hooks or each._forward_pre_hooks) for each in maps)


SMALL = 64
"""Input places (T x H x W) up to which the matrices are faster: 2 to 10 times there, slower from about 70 on."""


GROUP = 8
"""Channels x frames up to which channels share a group: 8 x 8 takes half the time of 4 x 4 in the backward pass."""

LARGE = 2**23
"""Numbers in a batch from which on its samples are convolved one by one, in half the time: the allocator hands back
what is above 32 MB, and the system clears such memory anew for every copy that a convolution makes of its input."""


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise `Conv3d` of temporal stride 1 and odd temporal kernel; names and shapes of its weights unchanged.

    On an accelerator it is the library's own convolution.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C, T, H', W']."""
        if not suits_cpu_forms(x_BCTHW):
            return super().forward(x_BCTHW)
        if x_BCTHW[0, 0].numel() <= SMALL:
            y_BCTHW = self._as_matrices(x_BCTHW)
        elif self.weight[0, 0, 0].numel() == 1 and max(self.stride) == 1 and not any(self.padding[1:]):
            y_BCTHW = self._along_time(x_BCTHW)
        else:
            y_BCTHW = self.in_2d(x_BCTHW, cast("tuple[int, int]", self.stride[1:]))
        return y_BCTHW if self.bias is None else y_BCTHW + self.bias[:, None, None, None]

    def in_2d(self, x_BCTHW: Tensor, stride: tuple[int, int]) -> Tensor:
        """The convolution without its bias, at whatever stride, as one in two dimensions."""
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
        """One axis of the kernel after the other is widened to all its places: [C, T', T, H', H, W', W]."""
        matrix = self.weight[:, 0]
        for axis, size in enumerate(x_BCTHW.shape[2:]):
            matrix = banded(matrix.movedim(1, -1), size, self.stride[axis], int(self.padding[axis]))
        to = matrix.shape[1::2]
        matrix_COI = matrix.permute(0, 1, 3, 5, 2, 4, 6).reshape(len(matrix), to.numel(), -1)
        y_CBO = x_BCTHW.flatten(2).transpose(0, 1) @ matrix_COI.transpose(1, 2)
        return y_CBO.transpose(0, 1).reshape(*x_BCTHW.shape[:2], *to)


def banded(taps: Tensor, size: int, stride: int, padding: int) -> Tensor:
    """Taps [..., K] -> the matrix [..., places out, places in] that convolves along an axis of `size` places.

    Its rows are windows of the taps between zeros, each further to the left.
    """
    out = (size + 2 * padding - taps.shape[-1]) // stride + 1
    last = (out - 1) * stride  # the first place of the last window, but for the padding
    before = last - padding
    between_zeros = nn.functional.pad(taps, (before, size + last - before - taps.shape[-1]))
    return between_zeros.unfold(-1, size, stride).flip(-2)


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


class PointwiseConv3d(nn.Conv3d):
    """A `Conv3d` of kernel 1 without padding; names and shapes of its weights unchanged.

    On an accelerator it is the library's own convolution.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T', H', W'], at every stride-th place."""
        if not suits_cpu_forms(x_BCTHW):
            return super().forward(x_BCTHW)
        t, h, w = self.stride
        return self.at_every_place(x_BCTHW[:, :, ::t, ::h, ::w])

    def at_every_place(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T, H, W], whatever the stride."""
        if not suits_cpu_forms(x_BCTHW):
            return nn.functional.conv3d(x_BCTHW, self.weight, self.bias)
        matrices = self.weight.flatten(1).expand(x_BCTHW.shape[0], -1, -1)
        y_BCP = torch.bmm(matrices, x_BCTHW.flatten(2))  # P: all places
        if self.bias is not None:
            y_BCP = y_BCP + self.bias[:, None]
        return y_BCP.view(*y_BCP.shape[:2], *x_BCTHW.shape[2:])


def fits_pointwise(conv: nn.Conv3d) -> bool:
    """Whether a convolution can take this form."""
    return conv.groups == 1 == max(conv.kernel_size) and conv.padding != "same" and not any(conv.padding)
