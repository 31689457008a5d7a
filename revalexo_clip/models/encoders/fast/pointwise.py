"""Pointwise 3-D convolution, fast on a CPU: a matrix product, for which nothing is copied into another layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast.forms import suits_cpu_forms


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


def fits(conv: nn.Conv3d) -> bool:
    """Whether a convolution can take this form."""
    return conv.groups == 1 == max(conv.kernel_size) and conv.padding != "same" and not any(conv.padding)
