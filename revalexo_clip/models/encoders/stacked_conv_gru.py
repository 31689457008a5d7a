"""StackedConvGRU: strided convolutions, then a GRU, as the IMU encoder of IMU2CLIP (Moon et al., arXiv:2210.14395)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.encoders.channel_norm import ChannelNorm
from revalexo_clip.models.layers import initialize, remember
from revalexo_clip.models.sequence import Encoded, SequenceNet

STEP = 0.135
"""Time between two steps of IMU2CLIP's GRU [s]: three max pools of 3 at 200 Hz."""


class StackedConvGRU(ImuEncoder):
    """Group norm, three convolutions along time over all channels with max pooling, and a GRU; features are its state.

    The defaults are IMU2CLIP's for 5 s at 200 Hz, but the GRU runs along time, so that windows can have any rate and
    length. Its sequence has the GRU's outputs, which see the past.
    """

    width: PositiveInt = 32
    """Number of feature maps of each convolution."""
    kernels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (10, 5, 5)
    """Kernel length of each convolution [samples of its input]."""
    dilation: PositiveInt = 2
    """Distance between the taps of a kernel [samples of its input]."""
    pool: PositiveInt | None = None
    """Length and stride of the max pooling after each convolution [samples]. If not set: such that the GRU has a step
    about every 0.135 s, which is 3 at 200 Hz and 2 at 60 Hz."""
    groups: PositiveInt = 4
    """Number of groups of feature maps that are normalised separately before the GRU."""
    hidden: PositiveInt = 512
    """Number of GRU units, and of features."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.width % self.groups:
            raise ValueError(f"width ({self.width}) must be divisible by groups ({self.groups})")
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: the number of GRU units, whatever the embedding size."""
        return self.hidden

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`; `embed_dim` has no effect. Raises `ConfigError` if the window is too short."""
        pool = self.pool or max(round((STEP * spec.rate) ** (1 / len(self.kernels))), 1)
        shortest = shortest_window(self.kernels, self.dilation, [pool] * len(self.kernels))
        if spec.samples < shortest:
            kernels = ", ".join(map(str, self.kernels))
            raise ConfigError(
                f"StackedConvGRU: kernels {kernels} with dilation {self.dilation} and pooling of {pool} need "
                f"{shortest} samples, but a window of {spec.window:g} s at {spec.rate:g} Hz has {spec.samples}; use a "
                "longer window, or smaller imu.kernels, imu.dilation or imu.pool"
            )
        return StackedConvGRUNet(self, spec, pool)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the convolutions, and the GRU."""
        assert isinstance(module, StackedConvGRUNet)
        first, *others = module.convolutions
        return [nn.ModuleList([module.norm, first]), *others, nn.ModuleList([module.map_norm, module.gru])]


def shortest_window(kernels: Sequence[int], dilation: int, pools: Sequence[int]) -> int:
    """Return the least number of samples from which convolutions with pooling make one step."""
    samples = 1
    for kernel, pool in zip(reversed(kernels), reversed(pools), strict=True):
        samples = samples * pool + (kernel - 1) * dilation
    return samples


class StackedConvGRUNet(SequenceNet):
    """[B, L, C] -> the GRU's last output [B, H], and all of them [B, T, H]."""

    def __init__(self, of: StackedConvGRU, spec: ImuSpec, pool: int) -> None:
        """Build the layers; `pool` is the length of the max pooling after each convolution."""
        super().__init__()
        inputs = [len(spec.channels), *[of.width] * (len(of.kernels) - 1)]
        self.norm = ChannelNorm(spec.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, of.width, kernel, dilation=of.dilation, bias=False)
            for size, kernel in zip(inputs, of.kernels, strict=True)
        )
        self.pooling = nn.MaxPool1d(pool)
        self.map_norm = nn.GroupNorm(of.groups, of.width)
        self.gru = nn.GRU(of.width, of.hidden, batch_first=True)
        self.apply(initialize)
        self.sequence_dim = of.hidden
        time_T = step_times(spec, of.kernels, of.dilation, pool)
        self.register_buffer("time_T", time_T.float(), persistent=False)
        remember(self.gru, len(time_T))

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        (imu_BLC,) = inputs
        x_BWT: Tensor = self.norm(imu_BLC.transpose(1, 2))
        for convolution in self.convolutions:
            x_BWT = self.pooling(convolution(x_BWT))
        output_BTH, _ = self.gru(self.map_norm(x_BWT).transpose(1, 2))
        return Encoded(output_BTH[:, -1], output_BTH)


def step_times(spec: ImuSpec, kernels: Sequence[int], dilation: int, pool: int) -> Tensor:
    """Return [T] float64, the centre of the samples that each step of the GRU takes in [s]."""
    centre_T = torch.arange(spec.samples, dtype=torch.float64)
    for kernel in kernels:
        spread = (kernel - 1) * dilation
        centre_T = (centre_T[: len(centre_T) - spread] + centre_T[spread:]) / 2
        steps = len(centre_T) // pool
        centre_T = centre_T[: steps * pool].view(steps, pool).mean(dim=1)
    return centre_T / spec.rate
