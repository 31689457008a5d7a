"""Power of IMU sensors in frequency bands, along gravity and across it, for any set of sensors.

The result does not depend on how a sensor is turned on its place: gravity gives one axis, and across it only the sum of
both directions is used. As in `SensorStreams`, gravity is the mean acceleration of a window (Mizell, 2003,
doi:10.1109/ISWC.2003.1241424).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, whole_triads
from revalexo_clip.models.encoders.spectral_attention import Wavelets

LEAST = 1e-6
"""Added to the argument of square roots, because their gradient at 0 is infinite."""
FLOOR = (1e-3, 1e-3, 1e-5, 1e-5)
"""Power added before the logarithm, for the signals of `GravityFrame` [(m/s^2)^2, (rad/s)^2]."""
TYPICAL, SPREAD = (-2.5, -1.5, -6.0, -5.0), 3.0
"""Approximate mean of the logarithm of a band's power for these signals, and its standard deviation."""
USABLE = 0.45
"""Highest usable frequency, relative to the sampling rate."""
GRAVITY = 9.81


class SensorSet(NamedTuple):
    """Which channels belong to which sensor; an IMU is one sensor."""

    segments: list[str]
    """Places on the body, as channels name them; S of them."""
    channels_S6: list[list[int]]
    """Index of x, y, z of the accelerometer and of the gyroscope; the number of channels where there is none."""
    has_S2: list[list[bool]]
    """Whether a sensor has an accelerometer, and a gyroscope."""


def sensor_set(channels: Sequence[str]) -> SensorSet:
    """Group channels by sensor, in the order in which they appear.

    Raises `ValueError` with the name of a channel that is not part of an accelerometer or a gyroscope with three axes.
    """
    triads = {kind: whole_triads(channels, kind) for kind in ("acc", "gyro")}
    used = {place for of in triads.values() for triad in of.values() for place in triad}
    if lone := [name for place, name in enumerate(channels) if place not in used]:
        raise ValueError(lone[0])
    first = {
        segment: min(min(of[segment]) for of in triads.values() if segment in of)
        for of in triads.values()
        for segment in of
    }
    segments = sorted(first, key=first.__getitem__)
    absent = [len(channels)] * 3
    return SensorSet(
        segments,
        [triads["acc"].get(segment, absent) + triads["gyro"].get(segment, absent) for segment in segments],
        [[segment in triads["acc"], segment in triads["gyro"]] for segment in segments],
    )


class GravityFrame(nn.Module):
    """IMU windows [B, L, C] in m/s^2 and rad/s -> what each sensor measures, [B, S, `features`, T].

    Its features are the log power in each band of four signals, acceleration along gravity and across it, angular
    velocity around gravity and around horizontal axes; their means over each moment; and whether there are an
    accelerometer and a gyroscope. Those of an absent sensor are 0. A sensor counts as absent in a window in which it is
    exactly 0 throughout, which is how `SensorDropout` silences it. Bands above the highest usable frequency are 0, too.
    Without accelerometer nothing is known of gravity, and the power of a gyroscope is divided as if it were the same
    about all axes.
    """

    order: Tensor
    has: Tensor
    usable: Tensor
    floor: Tensor
    typical: Tensor

    def __init__(self, spec: ImuSpec, sensors: SensorSet, frequencies: Sequence[float], stride: int) -> None:
        """Build it for windows of `spec`; bands are at `frequencies` [Hz], and moments are 2 `stride` samples apart."""
        super().__init__()
        self.sensors = len(sensors.segments)
        self.stride = stride
        self.wavelets = Wavelets(np.minimum(frequencies, USABLE * spec.rate).tolist(), spec.rate, spec.samples, stride)
        derived = {
            "order": torch.tensor(sensors.channels_S6).flatten(),
            "has": torch.tensor(sensors.has_S2),
            "usable": torch.tensor([frequency <= USABLE * spec.rate for frequency in frequencies]),
            "floor": torch.tensor(FLOOR)[:, None, None],
            "typical": torch.tensor(TYPICAL)[:, None, None],
        }
        for name, value in derived.items():  # derived from the spec, so not saved with the weights
            self.register_buffer(name, value, persistent=False)
        self.features = 4 * len(frequencies) + 6

    def forward(self, imu_BLC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features [B, S, features, T], and which sensors there are in each window, [B, S] bool."""
        batch, length, _ = imu_BLC.shape
        padded_BLC = torch.nn.functional.pad(imu_BLC, (0, 1))  # absent channels are 0
        x_BS23L = padded_BLC[..., self.order].view(batch, length, self.sensors, 2, 3).permute(0, 2, 3, 4, 1)
        has_BS2 = self.has & (x_BS23L.abs().amax(dim=(3, 4)) > 0)
        mean_BS31 = x_BS23L[:, :, 0].mean(dim=3, keepdim=True)
        size_BS11 = _length(mean_BS31)
        up_BS131 = (mean_BS31 / size_BS11)[:, :, None]
        along_BS2L = (x_BS23L * up_BS131).sum(dim=3)
        power = self._power(x_BS23L, along_BS2L, has_BS2)
        means = self._means(x_BS23L, along_BS2L, size_BS11)
        with_acc, with_gyro = (has_BS2[..., kind, None, None].to(imu_BLC.dtype) for kind in (0, 1))
        moments = min(power.shape[-1], means.shape[-1])
        power, means = power[..., :moments], means[..., :moments]
        rows = [
            power[:, :, :2].flatten(2, 3) * with_acc,
            power[:, :, 2:].flatten(2, 3) * with_gyro,
            means[:, :, :2] * with_acc,
            means[:, :, 2:] * with_gyro,
            with_acc.expand(-1, -1, -1, moments),
            with_gyro.expand(-1, -1, -1, moments),
        ]
        return torch.cat(rows, dim=2), has_BS2.any(dim=2)

    def _power(self, x_BS23L: Tensor, along_BS2L: Tensor, has_BS2: Tensor) -> Tensor:
        """Compute the standardised log power of the four signals, [B, S, 4, F, T]."""
        streams_BS8L = torch.cat((x_BS23L.flatten(2, 3), along_BS2L), dim=2)
        streams_BS8L = streams_BS8L - streams_BS8L.mean(dim=3, keepdim=True)
        power = self.wavelets(streams_BS8L.flatten(0, 1)).unflatten(0, has_BS2.shape[:2])  # [B, S, 8, F, T]
        all_BS2FT, along = power[:, :, :6].unflatten(2, (2, 3)).sum(dim=3), power[:, :, 6:]
        along = torch.where(has_BS2[:, :, :1, None, None], along, all_BS2FT / 3)
        across = (all_BS2FT - along).clamp(min=0)
        four = torch.stack((along[:, :, 0], across[:, :, 0], along[:, :, 1], across[:, :, 1]), dim=2)
        standard = ((four + self.floor).log() - self.typical) / SPREAD
        return standard * self.usable[:, None]

    def _means(self, x_BS23L: Tensor, along_BS2L: Tensor, size_BS11: Tensor) -> Tensor:
        """Compute the mean of the four signals over each moment, compressed, [B, S, 4, T]."""
        mean_BS6T = torch.nn.functional.avg_pool1d(x_BS23L.flatten(0, 1).flatten(1, 2), 2 * self.stride)
        slow_BS23T = mean_BS6T.view(*x_BS23L.shape[:4], -1)
        along_BS2T = torch.nn.functional.avg_pool1d(along_BS2L.flatten(0, 1), 2 * self.stride).view(
            *along_BS2L.shape[:3], -1
        )
        across_BS2T = (slow_BS23T.square().sum(dim=3) - along_BS2T.square()).clamp(min=0).add(LEAST).sqrt()
        four = (
            along_BS2T[:, :, 0] - size_BS11[:, :, 0],
            across_BS2T[:, :, 0],
            along_BS2T[:, :, 1],
            across_BS2T[:, :, 1],
        )
        means = torch.stack(four, dim=2)
        return torch.sign(means) * torch.log1p(5 * means.abs())


def _length(vector_BS3L: Tensor) -> Tensor:
    """Compute the lengths of vectors, [B, S, 1, L]."""
    return (vector_BS3L.square().sum(dim=2, keepdim=True) + LEAST).sqrt()
