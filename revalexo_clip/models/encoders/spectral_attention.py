"""SpectralAttention: how strong an IMU window is in each band of frequencies at each moment, and attention over those.

For little labelled data. The filters of the first layers are given instead of learned: Morlet wavelets (Torrence &
Compo, 1998, doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2), whose power is taken as a logarithm, so that typing
and reading differ as much as walking and running do, though all of it is a thousand times weaker. Pooling by attention,
with deviations, is Okabe et al., 2018 (arXiv:1803.10963); residual blocks that begin with their norm, He et al., 2016
(arXiv:1603.05027).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.encoders.sensor_streams import LEAST, SensorStreams
from revalexo_clip.models.layers import Dropout, initialize

CYCLES = 3.0
"""How many times the deviation of a wavelet's Gaussian is that of one radian of its oscillation."""
FLOOR = 1e-4
"""Power below which nothing is told apart, in the channels' units squared: what such sensors' own noise comes to."""
TYPICAL, SPREAD = -5.0, 3.0
"""About the mean and the deviation of the logarithm of a band's power; layers begin best on numbers around 0."""


class SpectralAttention(ImuEncoder):
    """Wavelet power of all sensors, in their own axes and apart from them; small convolutions; attention over time."""

    bands: PositiveInt = 12
    """Wavelets, their frequencies in equal ratios."""
    lowest: PositiveFloat = 0.5
    """Frequency of the first wavelet [Hz]."""
    highest: PositiveFloat = 25.0
    """Frequency of the last wavelet [Hz]."""
    step: PositiveFloat = 0.13
    """Time from one moment to the next [s], about: a moment is an even number of samples."""
    width: PositiveInt = 128
    """Feature maps."""
    depth: NonNegativeInt = 2
    """Residual blocks."""
    kernel: PositiveInt = 3
    """Length of their convolutions [moments]; odd."""
    heads: PositiveInt = 4
    """Parts of the feature maps that attend to moments of their own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of each block's features that is dropped in training."""
    pooled_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the pooled features that is dropped in training."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"bands go from low to high, not from {self.lowest:g} to {self.highest:g} Hz")
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} feature maps cannot be divided among {self.heads} heads")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: {self.kernel} is even, and a convolution that keeps its moments needs a middle")
        return self

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`. Raises `ConfigError` for a rate too low for the bands and for too short a window."""
        if 2 * self.highest > spec.rate:
            raise ConfigError(
                f"SpectralAttention: {spec.rate:g} Hz cannot hold a band at {self.highest:g} Hz; lower imu.highest to "
                f"{spec.rate / 2:g} or less"
            )
        stride = max(round(self.step * spec.rate / 2), 1)
        if spec.samples < 4 * stride:
            raise ConfigError(
                f"SpectralAttention: a window of {spec.window:g} s is shorter than two moments; lower imu.step, "
                f"{self.step:g} s"
            )
        return SpectralAttentionNet(self, spec, embed_dim, stride)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the mixing of all bands, the residual blocks, and what pools and projects."""
        assert isinstance(module, SpectralAttentionNet)
        return [
            nn.ModuleList([module.streams, module.wavelets, module.mixing]),
            *module.residual,
            nn.ModuleList([module.norm, module.pooling, module.dropout, module.projection]),
        ]


class SpectralAttentionNet(nn.Module):
    """[B, L, C] -> [B, D]. M: streams, F: bands, T: moments, W: feature maps."""

    def __init__(self, of: SpectralAttention, spec: ImuSpec, embed_dim: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.streams = SensorStreams(spec)
        frequencies = np.geomspace(of.lowest, of.highest, of.bands).tolist()
        self.wavelets = Wavelets(frequencies, spec.rate, spec.samples, stride)
        self.mixing = nn.Conv1d(self.streams.count * of.bands + len(spec.channels), of.width, 1)
        self.residual = nn.ModuleList(Residual(of.width, of.kernel, of.dropout) for _ in range(of.depth))
        self.norm = nn.GroupNorm(1, of.width)
        self.pooling = AttentionPooling(of.width, of.heads)
        self.dropout = Dropout(of.pooled_dropout)
        self.projection = nn.Linear(2 * of.width, embed_dim)
        self.apply(initialize)
        nn.init.zeros_(self.pooling.score.weight)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Features [B, D] of IMU windows."""
        x_BWT: Tensor = self.mixing(self.spectra(imu_BLC))
        for block in self.residual:
            x_BWT = block(x_BWT)
        pooled_BP = self.pooling(functional.relu(self.norm(x_BWT)))
        features_BD: Tensor = self.projection(self.dropout(pooled_BP))
        return features_BD

    def spectra(self, imu_BLC: Tensor) -> Tensor:
        """[B, M F + C, T]: every stream's power in every band, and every channel's mean, which is where it was held."""
        posture_BCT = functional.avg_pool1d(imu_BLC.transpose(1, 2), 2 * self.stride)
        power_BMFT = self.wavelets(self.streams(imu_BLC))[..., : posture_BCT.shape[-1]]
        loudness_BMFT = ((power_BMFT + FLOOR).log() - TYPICAL) / SPREAD
        return torch.cat((loudness_BMFT.flatten(1, 2), posture_BCT), dim=1)


class Wavelets(nn.Module):
    """Streams [B, M, L] that vary around 0 -> their power [B, M, F, T].

    It is A^2 in the band of an oscillation of amplitude A. It is taken every `stride` samples and averaged over two of
    them. The window's ends are mirrored, and no wavelet is longer than the window.
    """

    filters: Tensor

    def __init__(self, frequencies: Sequence[float], rate: float, samples: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.reach = (samples - 1) // 2
        pairs = [morlet(frequency / rate, self.reach) for frequency in frequencies]
        filters = torch.tensor(np.concatenate(pairs), dtype=torch.float32)
        self.register_buffer("filters", filters[:, None], persistent=False)

    def forward(self, streams_BML: Tensor) -> Tensor:
        """[B, M, L] -> [B, M, F, T]."""
        batch, streams, samples = streams_BML.shape
        mirrored = functional.pad(streams_BML.reshape(-1, 1, samples), (self.reach, self.reach), mode="reflect")
        parts = functional.conv1d(mirrored, self.filters, stride=self.stride)
        parts_BMF2P = parts.view(batch, streams, -1, 2, parts.shape[-1])  # P: places, two of them a moment
        power_BMFP = parts_BMF2P.square().sum(dim=3)
        return functional.avg_pool1d(power_BMFP.flatten(1, 2), 2).view(batch, streams, -1, parts.shape[-1] // 2)


def morlet(frequency: float, reach: int) -> npt.NDArray[np.float64]:
    """Real and imaginary part of a wavelet, [2, 2 reach + 1]; `frequency` in periods a sample."""
    time = np.arange(-reach, reach + 1)
    deviation = min(CYCLES / (2 * math.pi * frequency), reach / 2)
    envelope = np.exp(-0.5 * (time / deviation) ** 2)
    cosine, sine = (envelope * wave(2 * math.pi * frequency * time) for wave in (np.cos, np.sin))
    cosine -= envelope * cosine.sum() / envelope.sum()  # what does not vary has no power
    return np.asarray(np.stack((cosine, sine)) * 2 / envelope.sum())


class Residual(nn.Module):
    """Maps [B, W, T] plus what a convolution along time makes of them."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.dropout = Dropout(dropout)

    def forward(self, x_BWT: Tensor) -> Tensor:
        """[B, W, T] -> [B, W, T]."""
        added_BWT: Tensor = self.dropout(functional.relu(self.convolution(self.norm(x_BWT))))
        return x_BWT + added_BWT


class AttentionPooling(nn.Module):
    """Maps [B, W, T] -> [B, 2 W]: their mean and deviation over moments, each weighed by how much it tells.

    Every head weighs the moments for its part of the maps; at first, all are worth the same.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(width, heads, 1)

    def forward(self, x_BWT: Tensor) -> Tensor:
        """[B, W, T] -> [B, 2 W]."""
        weight_Bh1T = self.score(x_BWT).softmax(dim=-1).unsqueeze(2)
        batch, heads, _, moments = weight_Bh1T.shape
        x_BhVT = x_BWT.view(batch, heads, -1, moments)  # V: the feature maps of a head
        mean_BhV1 = (weight_Bh1T * x_BhVT).sum(dim=-1, keepdim=True)
        variance_BhV1 = (weight_Bh1T * (x_BhVT - mean_BhV1).square()).sum(dim=-1, keepdim=True)
        return torch.cat((mean_BhV1, (variance_BhV1 + LEAST).sqrt()), dim=1).flatten(1)
