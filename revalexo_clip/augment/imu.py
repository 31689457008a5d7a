"""Augmentation of IMU windows.

Scaling, magnitude warping and time warping of wearable sensor data follow Um et al., 2017 (arXiv:1706.00527).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from revalexo_clip.augment.base import Draw, ImuAugmentation, Probability, Range
from revalexo_clip.core.types import ImuSpec

SLOWEST = 0.1
"""Minimum speed of a time-warped window, so that time never stops, even for a large `sigma`."""


class Scale(ImuAugmentation):
    """Multiply the whole window by one factor."""

    range: Range = (0.8, 1.2)
    """Range of the factor; drawn uniformly."""
    p: Probability = 0.5
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the factor, []."""
        return np.array(rng.uniform(*self.range) if rng.random() < self.p else 1.0, dtype=np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return imu_BLC * drawn[:, None, None]


class MagnitudeWarp(ImuAugmentation):
    """Multiply each channel by its own random curve, which is linear between knots evenly spaced over the window."""

    sigma: NonNegativeFloat = 0.2
    """Standard deviation of a knot around 1."""
    knots: PositiveInt = 4
    """Number of knots between the two ends; the ends are knots as well."""
    p: Probability = 0.3
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the curves at their knots, [knots + 2, C]."""
        shape = (self.knots + 2, len(spec.channels))
        return (rng.normal(1.0, self.sigma, shape) if rng.random() < self.p else np.ones(shape)).astype(np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        place_L = torch.linspace(0, self.knots + 1, imu_BLC.shape[1], device=imu_BLC.device)
        return imu_BLC * _between(drawn, place_L.expand(len(drawn), -1))


class TimeWarp(ImuAugmentation):
    """Play the window at a varying speed. All channels are warped alike; the first and last sample do not change.

    The speed is linear between knots evenly spaced over the window, and scaled so that the window keeps its length.
    """

    retimes: ClassVar[bool] = True

    sigma: NonNegativeFloat = 0.2
    """Standard deviation of the speed at a knot around 1."""
    knots: PositiveInt = 4
    """Number of knots between the two ends; the ends are knots as well."""
    p: Probability = 0.3
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the fractional sample index for each time, [L], ascending from 0 to L - 1."""
        last = spec.samples - 1
        if rng.random() >= self.p or last < 1:
            return np.arange(spec.samples, dtype=np.float32)
        speed_K = np.maximum(rng.normal(1.0, self.sigma, self.knots + 2), SLOWEST)
        speed_L = np.interp(np.linspace(0, self.knots + 1, spec.samples), np.arange(self.knots + 2), speed_K)
        place_L = np.concatenate([[0.0], np.cumsum((speed_L[1:] + speed_L[:-1]) / 2)])
        return np.asarray(np.minimum(place_L * (last / place_L[-1]), last), dtype=np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`. Interpolates linearly between two samples."""
        return _between(imu_BLC, drawn)


class ChannelDropout(ImuAugmentation):
    """Set random channels to zero, in some of the windows."""

    rate: Probability = 0.1
    """Probability per channel in such a window."""
    p: Probability = 0.2
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw 0 for each dropped channel and 1 for the others, [C]."""
        count = len(spec.channels)
        return (rng.random(count) >= self.rate if rng.random() < self.p else np.ones(count)).astype(np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return imu_BLC * drawn[:, None]


class GaussianNoise(ImuAugmentation):
    """Add white noise to every channel.

    The noise itself is drawn in `sample`, so that it is the same on every device.
    """

    std: NonNegativeFloat = 0.02
    """Standard deviation, in the channels' units."""
    p: Probability = 0.5
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the noise, [L, C]."""
        shape = (spec.samples, len(spec.channels))
        if rng.random() >= self.p:
            return np.zeros(shape, dtype=np.float32)
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(self.std)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return imu_BLC + drawn


def _between(x_BKC: Tensor, place_BL: Tensor) -> Tensor:
    """Interpolate linearly between the rows of x at positions from 0 to K - 1: [B, L, C]. Exact at the rows."""
    last = x_BKC.shape[1] - 1
    row_BL = place_BL.floor().long().clamp(0, max(last - 1, 0))
    share_BL1 = (place_BL - row_BL).unsqueeze(-1)
    before_BLC, after_BLC = (
        x_BKC.gather(1, rows_BL.unsqueeze(-1).expand(-1, -1, x_BKC.shape[2]))
        for rows_BL in (row_BL, (row_BL + 1).clamp(max=last))
    )
    # At a share of 1 the sum equals the next row except for rounding; the last row must be exact.
    return torch.where(share_BL1 == 1, after_BLC, before_BLC + share_BL1 * (after_BLC - before_BLC))
