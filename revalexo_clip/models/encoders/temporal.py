"""A 1-D residual network along time, the body of `ResNet1D` and `MotionTower`.

It has group norm instead of batch norm, so that a window's features do not depend on the other windows of its batch.
The sum of the blocks is not normalised at the end: how strongly somebody moves stays in the features.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.models.encoders.base import Encoder
from revalexo_clip.models.encoders.readout import HEADS, ReadoutKind, readout_dim
from revalexo_clip.models.layers import Dropout, initialize


class TemporalEncoder(Encoder):
    """Base class of encoders with this body: its sizes, and the readout that gives the features."""

    width: PositiveInt = 64
    """Number of feature maps."""
    depth: NonNegativeInt = 3
    """Number of residual blocks after the strided convolutions; their dilations are 1, 2, 1, 2, ..."""
    kernel: PositiveInt = 5
    """Kernel length of the convolutions of residual blocks; odd."""
    step: PositiveFloat = 0.067
    """Approximate time between moments of the maps [s]; it is rounded to a whole number of input samples."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout probability of the maps after the strided convolutions."""
    readout: ReadoutKind = "statistics"
    """Features of the window: mean, standard deviation, maximum and mean over the last quarter of each map
    (`statistics`), or mean and standard deviation with learned weights of the moments (`attention`)."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd, so that moments stay where they are")
        if self.readout == "attention" and self.width % HEADS:
            raise ValueError(f"width ({self.width}) must be divisible by {HEADS}, the heads of the attention readout")
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """Return F, see `Encoder.feature_dim`: the size of the readout, whatever the embedding size."""
        return readout_dim(self.readout, self.width)

    def body(self, channels: int, width: int, *, rate: float, samples: int, first: float) -> TemporalBody:
        """Build a body of `width` maps for `samples` samples at `rate` [Hz], the first of them at time `first` [s].

        Raises `ConfigError` if fewer than two moments fit into the window.
        """
        strides = factors(max(round(self.step * rate), 1))
        if math.ceil(math.ceil(samples / strides[0]) / strides[1]) < 2:
            raise ConfigError(
                f"{type(self).__name__}: a window of {samples} samples at {rate:g} Hz is shorter than two moments, "
                f"{self.step:g} s apart; use a longer window or a smaller step"
            )
        return TemporalBody(self, channels, width, strides, samples=samples, rate=rate, first=first)


def factors(stride: int) -> tuple[int, int]:
    """Divide a stride into two factors as equal as possible, the smaller one first."""
    first = next(factor for factor in range(math.isqrt(stride), 0, -1) if stride % factor == 0)
    return first, stride // first


class TemporalBody(nn.Module):
    """Signals [B, C, L] -> feature maps [B, W, T].

    All convolutions are centred, so that a map's value belongs to the moment in the middle of the input it depends on.
    """

    def __init__(
        self,
        of: TemporalEncoder,
        channels: int,
        width: int,
        strides: tuple[int, int],
        *,
        samples: int,
        rate: float,
        first: float,
    ) -> None:
        """Build it; `samples` is L at `rate` [Hz], the first of them at time `first` [s]."""
        super().__init__()
        self.stem: nn.Module = nn.Conv1d(channels, width, 7, stride=strides[0], padding=3)
        self.fine = FineBlock(width, of.kernel)
        reach = max(strides[1], 2)
        self.down = nn.Conv1d(width, width, 2 * reach + 1, stride=strides[1], padding=reach)
        self.dropout = Dropout(of.dropout)
        self.residual = nn.ModuleList(ResidualBlock(width, of.kernel, 1 + place % 2) for place in range(of.depth))
        self.apply(initialize)
        with torch.no_grad():  # so that all blocks together add as much as one, whatever their number
            for block in self.residual:
                block.get_parameter("output.weight").div_(math.sqrt(of.depth))
        moments = math.ceil(math.ceil(samples / strides[0]) / strides[1])
        self.time_T = first + torch.arange(moments, dtype=torch.float64) * (strides[0] * strides[1] / rate)
        """[T] moments of the maps [s]."""

    def forward(self, x_BCL: Tensor) -> Tensor:
        """Compute feature maps [B, W, T] of signals."""
        x_BWT: Tensor = self.dropout(self.down(self.fine(self.stem(x_BCL))))
        for block in self.residual:
            x_BWT = block(x_BWT)
        return x_BWT

    def blocks(self) -> list[nn.Module]:
        """Return its parts from input to output, see `Encoder.blocks`."""
        return [self.stem, nn.ModuleList([self.fine, self.down, self.dropout]), *self.residual]


class FineBlock(nn.Module):
    """A residual block for the longer maps before the last stride, [B, W, T] -> [B, W, T]: a convolution only.

    A non-linearity at this rate lets the maps tell how much a signal vibrates, not only where it goes.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Apply the block: [B, W, T] -> [B, W, T]."""
        added_BWT: Tensor = self.convolution(nn.functional.gelu(self.norm(x_BWT)))
        return x_BWT + added_BWT


class ResidualBlock(nn.Module):
    """A pre-activation residual block with one convolution along time, [B, W, T] -> [B, W, T]."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.output = nn.Conv1d(width, width, 1)

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Apply the block: [B, W, T] -> [B, W, T]."""
        added_BWT: Tensor = self.output(nn.functional.gelu(self.convolution(self.norm(x_BWT))))
        return x_BWT + added_BWT
