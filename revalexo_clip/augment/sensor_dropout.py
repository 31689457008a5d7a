"""Silencing of whole IMU sensors."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from revalexo_clip.augment.base import Draw, ImuAugmentation, Probability
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, parse

if TYPE_CHECKING:
    import numpy.typing as npt


class SensorDropout(ImuAugmentation):
    """Silence random sensors, accelerometer and gyroscope together, in some of the windows; at least one sensor stays.

    A sensor that answers the objective alone, such as one on the camera's rigid body, otherwise keeps the encoder from
    learning from the others. Channels of a silenced sensor are constant: their mean over the training subjects if the
    model standardises its input, which becomes exactly 0, otherwise 0. Other channels than those of accelerometers and
    gyroscopes do not change. It must come last in the list, because other augmentations would move the constant.
    """

    rate: Probability = 0.3
    """Probability per sensor in such a window."""
    rates: Mapping[str, Probability] = Field(default={})
    """Probability of sensors that differ, by the segment's name: `{"Pelvis": 0.8}`. `*` stands for any characters, as
    in `*_Foot`; if several names match, the last one counts."""
    p: Probability = 0.5
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw which channels stay, 0 or 1, and the values of those that do not, [2, C].

        Raises `ConfigError` if there are fewer than two sensors, or if `rates` names others.
        """
        sensors = channels_of_sensors(spec.channels)
        rate_S = rates_of(tuple(sensors), self.rate, tuple(self.rates.items()))
        kept_C = np.ones(len(spec.channels), dtype=np.float32)
        if rng.random() < self.p:
            silent_S = rng.random(len(sensors)) < rate_S
            spared = int(rng.integers(len(sensors)))
            if silent_S.all():
                silent_S[spared] = False
            for places, silent in zip(sensors.values(), silent_S, strict=True):
                kept_C[places] = not silent
        fill_C = np.array(spec.mean or np.zeros(len(kept_C)), dtype=np.float32)
        return np.stack([kept_C, fill_C])

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """See `ImuAugmentation.apply`."""
        kept_BC, fill_BC = drawn.unbind(1)
        return torch.where(kept_BC[:, None] > 0, imu_BLC, fill_BC[:, None])


@cache
def channels_of_sensors(channels: tuple[str, ...]) -> dict[str, list[int]]:
    """Return the indices of the accelerometer and gyroscope channels of each sensor, by segment.

    Raises `ConfigError` if there are fewer than two sensors.
    """
    found: dict[str, list[int]] = {}
    for place, name in enumerate(channels):
        if (channel := parse(name)) is not None:
            found.setdefault(channel.segment, []).append(place)
    if len(found) < 2:
        raise ConfigError(
            f"SensorDropout: silencing sensors requires at least two of them; the windows have "
            f"{', '.join(found) or 'none'} (data.channels)"
        )
    return found


@cache
def rates_of(segments: tuple[str, ...], rate: float, rates: tuple[tuple[str, float], ...]) -> npt.NDArray[np.float64]:
    """Return the probability of each sensor, [S]. Raises `ConfigError` if a name in `rates` matches no segment."""
    unused = [name for name, _ in rates if not any(fnmatchcase(segment, name) for segment in segments)]
    if unused:
        raise ConfigError(
            f"SensorDropout: rates names unknown sensors: {', '.join(unused)}. Sensors: {', '.join(segments)}"
        )
    own = {segment: own for segment in segments for name, own in rates if fnmatchcase(segment, name)}
    return np.array([own.get(segment, rate) for segment in segments])
