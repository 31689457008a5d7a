"""AttentionPooled: one convolution and attention over time, after an encoder of IMU2CLIP (arXiv:2210.14395)."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.encoders.channel_norm import ChannelNorm
from revalexo_clip.models.layers import initialize
from revalexo_clip.models.sequence import Encoded, SequenceNet


class AttentionPooled(ImuEncoder):
    """Group norm, one convolution along time over all channels, a mean over time with learned weights, a projection.

    A very small network: 1,500 parameters before the projection. Its sequence has the maps of the convolution.
    """

    width: PositiveInt = 24
    """Number of feature maps."""
    kernel: PositiveInt = 10
    """Kernel length of the convolution [samples]."""
    dilation: PositiveInt = 2
    """Distance between the taps of the kernel [samples]."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`. Raises `ConfigError` if the window is too short."""
        spread = (self.kernel - 1) * self.dilation
        if spec.samples <= spread:
            raise ConfigError(
                f"AttentionPooled: a kernel of {self.kernel} with dilation {self.dilation} needs {spread + 1} samples, "
                f"but a window of {spec.window:g} s at {spec.rate:g} Hz has {spec.samples}; use a longer window, or a "
                "smaller imu.kernel or imu.dilation"
            )
        return AttentionPooledNet(self, spec, embed_dim)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the convolution, and pooling with projection."""
        assert isinstance(module, AttentionPooledNet)
        return [
            nn.ModuleList([module.norm, module.convolution]),
            nn.ModuleList([module.score, module.projection]),
        ]


class AttentionPooledNet(SequenceNet):
    """[B, L, C] -> [B, D] and maps [B, T, W]."""

    def __init__(self, of: AttentionPooled, spec: ImuSpec, embed_dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(spec.channels)
        self.convolution = nn.Conv1d(len(spec.channels), of.width, of.kernel, dilation=of.dilation)
        self.score = nn.Conv1d(of.width, 1, 1)
        self.projection = nn.Linear(of.width, embed_dim)
        self.apply(initialize)
        nn.init.zeros_(self.score.weight)  # all moments start with the same weight
        self.sequence_dim = of.width
        spread = (of.kernel - 1) * of.dilation
        time_T = (torch.arange(spec.samples - spread, dtype=torch.float64) + spread / 2) / spec.rate
        self.register_buffer("time_T", time_T.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        (imu_BLC,) = inputs
        maps_BWT = functional.leaky_relu(self.convolution(self.norm(imu_BLC.transpose(1, 2))))
        weight_B1T = self.score(maps_BWT).softmax(dim=-1)
        pooled_BW = functional.leaky_relu((weight_B1T * maps_BWT).sum(dim=-1))
        return Encoded(self.projection(pooled_BW), maps_BWT.transpose(1, 2))
