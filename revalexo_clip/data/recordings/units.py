"""Units that IMUs are recorded in, and the ones that windows have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.imu import unit_of

Unit = Literal["m/s^2", "g", "rad/s", "deg/s"]

STANDARD_GRAVITY = 9.80665
"""One g [m/s^2]."""

MEANS: Mapping[Unit, tuple[str, float]] = {
    "m/s^2": ("m/s^2", 1.0),
    "g": ("m/s^2", STANDARD_GRAVITY),
    "rad/s": ("rad/s", 1.0),
    "deg/s": ("rad/s", math.pi / 180),
}
"""The unit that windows have in place of one, and how much of it one is."""


def converted(channels: Sequence[str], units: Mapping[str, Unit]) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """[C] the unit of each channel in a window, and [C] what the recorded values are multiplied by.

    `units` are those of the recordings, by channel or by what channels begin with up to an underscore; the longer name
    holds. Channels that it says nothing of are taken as they are. Raises `ConfigError` for names of no channel, and for
    units that a channel cannot have.
    """
    unused = [name for name in units if not any(_names(name, channel) for channel in channels)]
    if unused:
        raise ConfigError(
            f"data.units: no channel is called, or begins with, {', '.join(unused)}; channels: {', '.join(channels)}"
        )
    found = [_converted(channel, units) for channel in channels]
    return tuple(unit for unit, _ in found), np.array([factor for _, factor in found], dtype=np.float32)


def _converted(channel: str, units: Mapping[str, Unit]) -> tuple[str, float]:
    usual = unit_of(channel)
    names = [name for name in units if _names(name, channel)]
    if not names:
        return usual, 1.0
    given = units[max(names, key=len)]
    unit, factor = MEANS[given]
    if usual not in (unit, "unknown"):
        raise ConfigError(f"data.units: {channel} is in {usual}, which {given} cannot be converted to")
    return unit, factor


def _names(name: str, channel: str) -> bool:
    return channel == name or channel.startswith(f"{name}_")
