"""Augmentation of the orientation in which IMU sensors are mounted on the body."""

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

Ints = npt.NDArray[np.int64]

_KINDS = {"acc": "accelerometer", "gyro": "gyroscope"}


@cache
def triads(channels: tuple[str, ...], augmentation: str) -> dict[str, list[list[int]]]:
    """Return the indices of x, y and z of each accelerometer and gyroscope, by segment.

    `augmentation` is its name, for messages. Raises `ConfigError` if a sensor lacks an axis, naming the missing
    channels, or if there is no sensor at all.
    """
    places = {channel: place for place, name in enumerate(channels) if (channel := parse(name))}
    sensors = dict.fromkeys((channel.kind, channel.segment) for channel in places)
    found: dict[str, list[list[int]]] = {}
    for kind, segment in sensors:
        triad = [Channel(kind, segment, axis) for axis in AXES]
        lacking = [channel.name for channel in triad if channel not in places]
        if lacking:
            raise ConfigError(
                f"{augmentation}: the {_KINDS[kind]} of {segment} lacks {', '.join(lacking)}; rotating a sensor "
                "requires all three axes (data.channels)"
            )
        found.setdefault(segment, []).append([places[channel] for channel in triad])
    if not found:
        raise ConfigError(
            f"{augmentation}: no channels acc_<Segment>_<axis> or gyro_<Segment>_<axis> among "
            f"{', '.join(channels)} (data.channels)"
        )
    return found


@cache
def _rows(channels: tuple[str, ...], augmentation: str) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the channels that rotate, [R]; those of their triads, [R, 3]; and their sensor and their axis, [R]."""
    found = [
        (triad[axis], triad, number, axis)
        for number, places in enumerate(triads(channels, augmentation).values())
        for triad in places
        for axis in range(len(AXES))
    ]
    channel_R, source_R3, sensor_R, axis_R = (np.array(column, dtype=np.int64) for column in zip(*found, strict=True))
    return channel_R, source_R3, sensor_R, axis_R


class SensorRotation(ImuAugmentation):
    """Rotate each sensor by its own small random rotation, constant over the window.

    Accelerometer and gyroscope of a sensor rotate together. Other channels do not change. The exact mounting of a
    sensor identifies a subject; this augmentation keeps the encoder from learning it.
    """

    angle: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Maximum angle [degrees]; drawn uniformly from 0, around an axis of random direction."""
    p: Probability = 1.0
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the terms of each channel, [2, C, 3] for `mix`. Raises `ConfigError` if a sensor lacks an axis."""
        sensors = triads(spec.channels, type(self).__name__)
        drawn = unmixed(len(spec.channels), 3)
        if rng.random() >= self.p:
            return drawn
        axis_S3 = rng.standard_normal((len(sensors), 3))
        angle_S = np.radians(rng.uniform(0, self.angle, len(sensors)))
        channel_R, source_R3, sensor_R, axis_R = _rows(spec.channels, type(self).__name__)
        drawn[0, channel_R] = source_R3
        drawn[1, channel_R] = rotations(axis_S3, angle_S)[sensor_R, axis_R]
        return drawn

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        return mix(imu_BLC, drawn)


class HalfTurn(ImuAugmentation):
    """Rotate sensors by half a turn around one of their axes, as if they were worn upside down or inside out.

    Accelerometer and gyroscope of a sensor rotate together. Other channels do not change.
    """

    p: Probability = 0.5
    """Probability per sensor of a window; each rotates around its own random axis."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the sign of each channel, [2, C, 1] for `mix`. Raises `ConfigError` if a sensor lacks an axis."""
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
    """Return rotation matrices [S, 3, 3] by angles [rad] around axes of any nonzero length (Rodrigues' formula)."""
    x, y, z = (axis_S3 / np.linalg.norm(axis_S3, axis=1, keepdims=True)).T
    zero = np.zeros_like(x)
    cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    sine, cosine = np.sin(angle_S)[:, None, None], np.cos(angle_S)[:, None, None]
    return np.asarray(np.eye(3) + sine * cross + (1 - cosine) * cross @ cross)


def unmixed(channels: int, terms: int) -> Draw:
    """Return [2, C, terms] for `mix` that leaves every channel unchanged."""
    drawn = np.zeros((2, channels, terms), dtype=np.float32)
    drawn[0] = np.arange(channels)[:, None]
    drawn[1, :, 0] = 1
    return drawn


def mix(imu_BLC: Tensor, drawn: Tensor) -> Tensor:
    """Replace every channel of [B, L, C] by a weighted sum of K channels.

    `drawn` [B, 2, C, K] holds their indices and weights. Terms are added one by one instead of by a matrix product,
    whose rounding depends on the batch size.
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
