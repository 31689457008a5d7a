"""SpectralAttention: the power of an IMU window in frequency bands over time, with attention over time.

It suits small labelled datasets. The filters of the first layer are fixed instead of learned: Morlet wavelets (Torrence
& Compo, 1998, doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2). The logarithm of their power is used, so that
typing and reading differ as much as walking and running, although their movements are a thousand times weaker. Pooling
by attention, with standard deviations, follows Okabe et al., 2018 (arXiv:1803.10963); residual blocks that start with a
norm follow He et al., 2016 (arXiv:1603.05027).
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
from revalexo_clip.models.encoders.readout import AttentionPooling
from revalexo_clip.models.encoders.sensor_streams import SensorStreams
from revalexo_clip.models.layers import Dropout, initialize
from revalexo_clip.models.sequence import Encoded, SequenceNet

CYCLES = 3.0
"""Standard deviation of a wavelet's Gaussian envelope [radians of its oscillation]."""
FLOOR = 1e-4
"""Power added before the logarithm, in the channels' units squared: about the noise of such sensors."""
TYPICAL, SPREAD = -5.0, 3.0
"""Approximate mean and standard deviation of the logarithm of a band's power, used to standardise it."""


class SpectralAttention(ImuEncoder):
    """Wavelet power of sensor channels and orientation-free signals; small convolutions; attention over time."""

    bands: PositiveInt = 12
    """Number of wavelets; their frequencies are evenly spaced on a logarithmic scale."""
    lowest: PositiveFloat = 0.5
    """Frequency of the first wavelet [Hz]."""
    highest: PositiveFloat = 25.0
    """Frequency of the last wavelet [Hz]."""
    step: PositiveFloat = 0.13
    """Approximate time between moments [s]; it is rounded to an even number of samples."""
    width: PositiveInt = 128
    """Number of feature maps."""
    depth: NonNegativeInt = 2
    """Number of residual blocks."""
    kernel: PositiveInt = 3
    """Kernel length of the residual blocks' convolutions [moments]; odd."""
    heads: PositiveInt = 4
    """Number of attention heads; each pools its own part of the feature maps."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout probability of each block's features."""
    pooled_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout probability of the pooled features."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest ({self.lowest:g} Hz) must be below highest ({self.highest:g} Hz)")
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be divisible by heads ({self.heads})")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd, so that convolutions keep the number of moments")
        return self

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`. Raises `ConfigError` if the rate is too low or the window is too short."""
        if 2 * self.highest > spec.rate:
            raise ConfigError(
                f"SpectralAttention: a sampling rate of {spec.rate:g} Hz is too low for a band at {self.highest:g} Hz; "
                f"reduce imu.highest to {spec.rate / 2:g} or less"
            )
        stride = max(round(self.step * spec.rate / 2), 1)
        if spec.samples < 4 * stride:
            raise ConfigError(
                f"SpectralAttention: a window of {spec.window:g} s is shorter than two moments; reduce imu.step "
                f"({self.step:g} s)"
            )
        return SpectralAttentionNet(self, spec, embed_dim, stride)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the mixing of all bands, the residual blocks, and pooling with projection."""
        assert isinstance(module, SpectralAttentionNet)
        return [
            nn.ModuleList([module.streams, module.wavelets, module.mixing]),
            *module.residual,
            nn.ModuleList([module.norm, module.pooling, module.dropout, module.projection]),
        ]


class SpectralAttentionNet(SequenceNet):
    """[B, L, C] -> [B, D] and maps [B, T, W]. M: streams, F: bands, T: moments, W: feature maps."""

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
        self.sequence_dim = of.width
        self.register_buffer("time_T", moment_times(spec, stride), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        (imu_BLC,) = inputs
        x_BWT: Tensor = self.mixing(self.spectra(imu_BLC))
        for block in self.residual:
            x_BWT = block(x_BWT)
        maps_BWT = functional.relu(self.norm(x_BWT))
        features_BD: Tensor = self.projection(self.dropout(self.pooling(maps_BWT)))
        return Encoded(features_BD, maps_BWT.transpose(1, 2))

    def spectra(self, imu_BLC: Tensor) -> Tensor:
        """Compute [B, M F + C, T]: the log power of each stream in each band, and each channel's mean (the posture)."""
        posture_BCT = functional.avg_pool1d(imu_BLC.transpose(1, 2), 2 * self.stride)
        power_BMFT = self.wavelets(self.streams(imu_BLC))[..., : posture_BCT.shape[-1]]
        loudness_BMFT = ((power_BMFT + FLOOR).log() - TYPICAL) / SPREAD
        return torch.cat((loudness_BMFT.flatten(1, 2), posture_BCT), dim=1)


def moment_times(spec: ImuSpec, stride: int) -> Tensor:
    """Return [T] the times of the moments [s]: the middle of the two positions over which power is averaged."""
    moments = min(spec.samples // (2 * stride), -(-spec.samples // stride) // 2)
    return ((2 * torch.arange(moments, dtype=torch.float64) + 0.5) * (stride / spec.rate)).float()


class Wavelets(nn.Module):
    """Zero-mean streams [B, M, L] -> their power [B, M, F, T].

    An oscillation of amplitude A has the power A^2 in its band. Power is computed every `stride` samples and averaged
    over two such positions. The window is mirrored at its ends, and no wavelet is longer than the window.
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
        """Compute the power: [B, M, L] -> [B, M, F, T]."""
        batch, streams, samples = streams_BML.shape
        mirrored = functional.pad(streams_BML.reshape(-1, 1, samples), (self.reach, self.reach), mode="reflect")
        parts = functional.conv1d(mirrored, self.filters, stride=self.stride)
        parts_BMF2P = parts.view(batch, streams, -1, 2, parts.shape[-1])  # P: positions, two per moment
        power_BMFP = parts_BMF2P.square().sum(dim=3)
        return functional.avg_pool1d(power_BMFP.flatten(1, 2), 2).view(batch, streams, -1, parts.shape[-1] // 2)


def morlet(frequency: float, reach: int) -> npt.NDArray[np.float64]:
    """Return the real and imaginary part of a wavelet, [2, 2 reach + 1]; `frequency` in periods per sample."""
    time = np.arange(-reach, reach + 1)
    deviation = min(CYCLES / (2 * math.pi * frequency), reach / 2)
    envelope = np.exp(-0.5 * (time / deviation) ** 2)
    cosine, sine = (envelope * wave(2 * math.pi * frequency * time) for wave in (np.cos, np.sin))
    cosine -= envelope * cosine.sum() / envelope.sum()  # a constant signal has no power
    return np.asarray(np.stack((cosine, sine)) * 2 / envelope.sum())


class Residual(nn.Module):
    """A residual block with one convolution along time, [B, W, T] -> [B, W, T]."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.dropout = Dropout(dropout)

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Apply the block: [B, W, T] -> [B, W, T]."""
        added_BWT: Tensor = self.dropout(functional.relu(self.convolution(self.norm(x_BWT))))
        return x_BWT + added_BWT
