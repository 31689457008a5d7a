"""Sensors by the names of their channels, and how they were strapped on."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import Tensor

from revalexo_clip.augment.base import Draw, ImuAugmentation, Probability
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import AXES, Channel, ImuSpec, parse

_KINDS = {"acc": "accelerometer", "gyro": "gyroscope"}


@cache
def triads(channels: tuple[str, ...], asker: str) -> dict[str, list[list[int]]]:
    """The places of x, y and z of each segment's accelerometer and gyroscope, of those that are there.

    `asker` is the augmentation that wants to turn them. Raises `ConfigError` that names the channels that an incomplete
    one lacks, or where there is none at all.
    """
    places = {channel: place for place, name in enumerate(channels) if (channel := parse(name))}
    sensors = dict.fromkeys((channel.kind, channel.segment) for channel in places)
    found: dict[str, list[list[int]]] = {}
    for kind, segment in sensors:
        triad = [Channel(kind, segment, axis) for axis in AXES]
        lacking = [channel.name for channel in triad if channel not in places]
        if lacking:
            raise ConfigError(
                f"{asker}: the {_KINDS[kind]} of {segment} lacks {', '.join(lacking)}; to be rotated it needs "
                "all three axes (data.channels)"
            )
        found.setdefault(segment, []).append([places[channel] for channel in triad])
    if not found:
        raise ConfigError(
            f"{asker}: there are no channels acc_<Segment>_<axis> or gyro_<Segment>_<axis> among {', '.join(channels)}"
        )
    return found


class SensorRotation(ImuAugmentation):
    """Turns every sensor by a small rotation of its own, constant over the window.

    Accelerometer and gyroscope of a sensor turn together. How a sensor happened to be strapped on tells people apart;
    this keeps it from being learned. Other channels stay.
    """

    angle: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest angle [degrees]; uniform from 0, around an axis of any direction."""
    p: Probability = 1.0
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """What each channel is a sum of, [2, C, 3] for `mix`. Raises `ConfigError` for an incomplete sensor."""
        sensors = triads(spec.channels, type(self).__name__)
        drawn = unmixed(len(spec.channels), 3)
        if rng.random() >= self.p:
            return drawn
        axis_S3 = rng.standard_normal((len(sensors), 3))
        angle_S = np.radians(rng.uniform(0, self.angle, len(sensors)))
        for places, rotation in zip(sensors.values(), rotations(axis_S3, angle_S), strict=True):
            for triad in places:
                drawn[0, triad] = triad
                drawn[1, triad] = rotation
        return drawn

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return mix(imu_BLC, drawn)


class HalfTurn(ImuAugmentation):
    """Turns sensors by half a turn around one of their own axes, as where people put them on upside down or inside out.

    Accelerometer and gyroscope of a sensor turn together. Other channels stay.
    """

    p: Probability = 0.5
    """How many of the sensors of a window; each around an axis of its own."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """The sign of each channel, [2, C, 1] for `mix`. Raises `ConfigError` for an incomplete sensor."""
        sensors = triads(spec.channels, type(self).__name__)
        drawn = unmixed(len(spec.channels), 1)
        turned_S, axis_S = rng.random(len(sensors)) < self.p, rng.integers(len(AXES), size=len(sensors))
        for places, turned, kept in zip(sensors.values(), turned_S, axis_S, strict=True):
            for triad in places if turned else ():
                drawn[1, triad, 0] = np.where(np.arange(len(AXES)) == kept, 1, -1)
        return drawn

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return mix(imu_BLC, drawn)


def rotations(axis_S3: npt.NDArray[np.float64], angle_S: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rotation matrices [S, 3, 3] by angles [rad] around axes of any length but 0 (Rodrigues' formula)."""
    x, y, z = (axis_S3 / np.linalg.norm(axis_S3, axis=1, keepdims=True)).T
    zero = np.zeros_like(x)
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    sine, cosine = np.sin(angle_S)[:, None, None], np.cos(angle_S)[:, None, None]
    return np.asarray(np.eye(3) + sine * cross + (1 - cosine) * cross @ cross)


def unmixed(channels: int, terms: int) -> Draw:
    """[2, C, terms] for `mix`: every channel is itself."""
    drawn = np.zeros((2, channels, terms), dtype=np.float32)
    drawn[0] = np.arange(channels)[:, None]
    drawn[1, :, 0] = 1
    return drawn


def mix(imu_BLC: Tensor, drawn: Tensor) -> Tensor:
    """[B, L, C]: every channel a sum of channels, [B, 2, C, K] saying which, and how much of each.

    Term by term instead of as a product of matrices, whose rounding depends on how many there are.
    """
    source_BCK, amount_BCK = drawn.unbind(1)
    terms = (
        imu_BLC.gather(2, source_BC.long()[:, None].expand_as(imu_BLC)) * amount_BC[:, None]
        for source_BC, amount_BC in zip(source_BCK.unbind(2), amount_BCK.unbind(2), strict=True)
    )
    mixed_BLC = next(terms)
    for term_BLC in terms:
        mixed_BLC = mixed_BLC + term_BLC
    return mixed_BLC
