"""GRUOverMaps: IMU2CLIP's encoder as it was published, whose GRU takes feature maps as steps and time as features.

The published modules of IMU2CLIP (arXiv:2210.14395) and PRIMUS (arXiv:2411.15127) feed the maps [B, W, T] to a GRU that
expects [B, steps, features]. Weights that were trained in this form are of use in it only. `StackedConvGRU` is the same
encoder with a GRU along time.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.encoders.stacked_conv_gru import shortest_window
from revalexo_clip.models.layers import initialize

POOL = 3
"""Length and stride of max pooling [samples]."""


class GRUOverMaps(ImuEncoder):
    """The encoder of imported IMU2CLIP and PRIMUS weights. Its features have no order in time, and it has no sequence.

    Use `StackedConvGRU` to train one.
    """

    width: PositiveInt = 32
    """Number of feature maps of each convolution; the GRU's steps."""
    kernels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (10, 5, 5)
    """Kernel length of each convolution [samples of its input]."""
    dilation: PositiveInt = 2
    """Distance between the taps of a kernel [samples of its input]."""
    channel_groups: PositiveInt = 2
    """Number of groups of neighbouring channels that are normalised separately."""
    groups: PositiveInt = 4
    """Number of groups of feature maps that are normalised separately before the GRU."""
    length: PositiveInt = 32
    """Length of the maps before the GRU; its number of inputs."""
    last_pooling: Literal["max", "mean"] = "max"
    """Pooling after the last convolution: `max`, as after the others (IMU2CLIP; only windows of one length then fit
    `length`), or the `mean` of `length` equal parts (PRIMUS; any window)."""
    hidden: PositiveInt = 512
    """Number of GRU units."""
    head: bool = False
    """Whether a linear layer maps the GRU's last state to the features, which are then as many as the embedding has
    values."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.width % self.groups:
            raise ValueError(f"width ({self.width}) must be divisible by groups ({self.groups})")
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: without a head, the number of GRU units."""
        return embed_dim if self.head else self.hidden

    def map_length(self, samples: int) -> int:
        """Return the length of the maps before the GRU of a window of `samples`, 0 or less if it is too short."""
        last = self.unpooled_length(samples)
        if self.last_pooling == "mean":
            return self.length if last > 0 else 0
        return last // POOL

    def unpooled_length(self, samples: int) -> int:
        """Return the length of the maps before the last pooling, 0 or less if the window is too short."""
        for kernel in self.kernels[:-1]:
            samples = (samples - (kernel - 1) * self.dilation) // POOL
        return samples - (self.kernels[-1] - 1) * self.dilation

    def fitting_samples(self) -> tuple[int, int | None]:
        """Return the shortest and the longest window that fits [samples]; None if any longer one fits, too."""
        pools = [POOL] * len(self.kernels)
        if self.last_pooling == "mean":
            return shortest_window(self.kernels, self.dilation, [*pools[:-1], 1]), None
        first = longest = self.length
        for kernel in reversed(self.kernels):
            spread = (kernel - 1) * self.dilation
            first, longest = first * POOL + spread, longest * POOL + POOL - 1 + spread
        return first, longest

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`. Raises `ConfigError` if the window or the number of channels does not fit."""
        shortest, longest = self.fitting_samples()
        if self.map_length(spec.samples) != self.length:
            fitting = f"of {shortest} to {longest} samples" if longest else f"of {shortest} samples or more"
            raise ConfigError(
                f"GRUOverMaps: a window of {spec.window:g} s at {spec.rate:g} Hz has {spec.samples} samples, but only "
                f"windows {fitting} fit a GRU of {self.length} inputs"
            )
        if len(spec.channels) % self.channel_groups:
            raise ConfigError(
                f"GRUOverMaps: {len(spec.channels)} channels cannot be divided into {self.channel_groups} groups"
            )
        return GRUOverMapsNet(self, spec, embed_dim)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the convolutions, the GRU, and the head if there is one."""
        assert isinstance(module, GRUOverMapsNet)
        first, *others = module.convolutions
        head = [] if module.head is None else [module.head]
        return [nn.ModuleList([module.norm, first]), *others, nn.ModuleList([module.map_norm, module.gru]), *head]


class MeanOfParts(nn.Module):
    """The means of nearly equal parts of a sequence, [B, W, L] -> [B, W, T]; parts overlap if they do not divide L.

    It is `nn.AdaptiveAvgPool1d` as a product of matrices, which ONNX can express for all lengths.
    """

    weight_LT: Tensor

    def __init__(self, length: int, parts: int) -> None:
        """Build it for sequences of a `length`."""
        super().__init__()
        place_L1, part_T = torch.arange(length)[:, None], torch.arange(parts)
        first_T, end_T = part_T * length // parts, -(-(part_T + 1) * length // parts)
        inside_LT = ((place_L1 >= first_T) & (place_L1 < end_T)).float()
        self.register_buffer("weight_LT", inside_LT / inside_LT.sum(dim=0), persistent=False)

    def forward(self, x_BWL: Tensor) -> Tensor:
        """Compute the means of sequences."""
        return x_BWL @ self.weight_LT.to(x_BWL.dtype)


class GRUOverMapsNet(nn.Module):
    """[B, L, C] -> [B, F]."""

    def __init__(self, of: GRUOverMaps, spec: ImuSpec, embed_dim: int) -> None:
        super().__init__()
        channels = len(spec.channels)
        inputs = [channels, *[of.width] * (len(of.kernels) - 1)]
        self.norm = nn.GroupNorm(of.channel_groups, channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, of.width, kernel, dilation=of.dilation, bias=False)
            for size, kernel in zip(inputs, of.kernels, strict=True)
        )
        self.pooling = nn.MaxPool1d(POOL)
        last = of.unpooled_length(spec.samples)
        self.last_pooling = self.pooling if of.last_pooling == "max" else MeanOfParts(last, of.length)
        self.map_norm = nn.GroupNorm(of.groups, of.width)
        self.gru = nn.GRU(of.length, of.hidden, batch_first=True)
        self.head = nn.Linear(of.hidden, embed_dim) if of.head else None
        self.apply(initialize)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Compute features [B, F] of windows [B, L, C]."""
        x_BWT: Tensor = self.norm(imu_BLC.transpose(1, 2))
        *others, last = self.convolutions
        for convolution in others:
            x_BWT = self.pooling(convolution(x_BWT))
        x_BWT = self.last_pooling(last(x_BWT))
        output_BWH, _ = self.gru(self.map_norm(x_BWT))  # steps are maps
        last_BH: Tensor = output_BWH[:, -1]
        return last_BH if self.head is None else self.head(last_BH)
