"""Augmentation of IMU windows.

Scaling, magnitude warping and time warping of wearable sensor data are Um et al., 2017 (arXiv:1706.00527).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from revalexo_clip.augment.base import Draw, ImuAugmentation, Probability, Range
from revalexo_clip.core.types import ImuSpec

SLOWEST = 0.1
"""Least speed of a re-timed window: time goes on, however wide `sigma` is."""


class Scale(ImuAugmentation):
    """Multiplies the whole window by one factor."""

    range: Range = (0.8, 1.2)
    """The factor, uniform."""
    p: Probability = 0.5
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """The factor, []."""
        return np.array(rng.uniform(*self.range) if rng.random() < self.p else 1.0, dtype=np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return imu_BLC * drawn[:, None, None]


class MagnitudeWarp(ImuAugmentation):
    """Multiplies each channel by a smooth curve of its own: straight between knots spread evenly over the window."""

    sigma: NonNegativeFloat = 0.2
    """Deviation of a knot from 1."""
    knots: PositiveInt = 4
    """Knots between the two ends, which are knots as well."""
    p: Probability = 0.3
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """The curves at their knots, [knots + 2, C]."""
        shape = (self.knots + 2, len(spec.channels))
        return (rng.normal(1.0, self.sigma, shape) if rng.random() < self.p else np.ones(shape)).astype(np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        place_L = torch.linspace(0, self.knots + 1, imu_BLC.shape[1], device=imu_BLC.device)
        return imu_BLC * _between(drawn, place_L.expand(len(drawn), -1))


class TimeWarp(ImuAugmentation):
    """Runs through the window at a changing speed; all channels together, its first and last sample kept.

    The speed is straight between knots spread evenly over the window, and scaled so that the ends meet.
    """

    sigma: NonNegativeFloat = 0.2
    """Deviation of the speed at a knot from 1."""
    knots: PositiveInt = 4
    """Knots between the two ends, which are knots as well."""
    p: Probability = 0.3
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Which sample is shown at each time, [L], from 0 to L - 1 and ascending."""
        last = spec.samples - 1
        if rng.random() >= self.p or last < 1:
            return np.arange(spec.samples, dtype=np.float32)
        speed_K = np.maximum(rng.normal(1.0, self.sigma, self.knots + 2), SLOWEST)
        speed_L = np.interp(np.linspace(0, self.knots + 1, spec.samples), np.arange(self.knots + 2), speed_K)
        place_L = np.concatenate([[0.0], np.cumsum((speed_L[1:] + speed_L[:-1]) / 2)])
        return np.asarray(np.minimum(place_L * (last / place_L[-1]), last), dtype=np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`. Between two samples the window is straight."""
        return _between(imu_BLC, drawn)


class ChannelDropout(ImuAugmentation):
    """Sets whole channels to zero, each by chance, in some of the windows."""

    rate: Probability = 0.1
    """How many of the channels of such a window."""
    p: Probability = 0.2
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """1 for a channel that stays, else 0, [C]."""
        count = len(spec.channels)
        return (rng.random(count) >= self.rate if rng.random() < self.p else np.ones(count)).astype(np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return imu_BLC * drawn[:, None]


class GaussianNoise(ImuAugmentation):
    """Adds white noise to every channel.

    The noise itself is what is drawn, so that it is the same on every device.
    """

    std: NonNegativeFloat = 0.02
    """Standard deviation, in the channels' units."""
    p: Probability = 0.5
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """The noise, [L, C]."""
        shape = (spec.samples, len(spec.channels))
        if rng.random() >= self.p:
            return np.zeros(shape, dtype=np.float32)
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(self.std)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return imu_BLC + drawn


def _between(x_BKC: Tensor, place_BL: Tensor) -> Tensor:
    """[B, L, C]: x at places between its rows, 0 to K - 1, straight from row to row; exactly a row where on it."""
    last = x_BKC.shape[1] - 1
    row_BL = place_BL.floor().long().clamp(0, max(last - 1, 0))
    share_BL1 = (place_BL - row_BL).unsqueeze(-1)
    before_BLC, after_BLC = (
        x_BKC.gather(1, rows_BL.unsqueeze(-1).expand(-1, -1, x_BKC.shape[2]))
        for rows_BL in (row_BL, (row_BL + 1).clamp(max=last))
    )
    # At a share of 1 this is x's next row but for rounding; the last row must be met exactly.
    return torch.where(share_BL1 == 1, after_BLC, before_BLC + share_BL1 * (after_BLC - before_BLC))
