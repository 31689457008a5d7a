"""Converting the units of recordings to the units of windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data.imu import UNITS, Samples, unit_of
from revalexo_clip.data.magnitudes import implausible

Unit = Literal["m/s^2", "g", "rad/s", "deg/s"]

STANDARD_GRAVITY = 9.80665
"""One g [m/s^2]."""

MEANS: Mapping[Unit, tuple[str, float]] = {
    "m/s^2": ("m/s^2", 1.0),
    "g": ("m/s^2", STANDARD_GRAVITY),
    "rad/s": ("rad/s", 1.0),
    "deg/s": ("rad/s", math.pi / 180),
}
"""Unit of windows and conversion factor, for each unit of recordings."""


def parse_units(text: str | None) -> dict[str, Unit]:
    """Read units as the command line takes them, such as `acc=g,gyro=deg/s`. Raises `ConfigError`."""
    found: dict[str, Unit] = {}
    for part in (text or "").split(","):
        name, _, unit = (piece.strip() for piece in part.partition("="))
        known = next((known for known in MEANS if known == unit), None)
        if known is None and part.strip():
            raise ConfigError(f"--units: '{part}' is not a channel or prefix, '=' and one of {', '.join(MEANS)}")
        if known is not None:
            found[name] = known
    return found


def converted(channels: Sequence[str], units: Mapping[str, Unit]) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """Return [C] and [C]: the unit of each channel in a window, and the factor to multiply recorded values by.

    `units` are the units of the recordings, by channel or by a prefix that ends before an underscore; the longest match
    is used. Other channels are not converted. Raises `ConfigError` if a name matches no channel, or if a channel cannot
    have the given unit.
    """
    unused = [name for name in units if not any(_names(name, channel) for channel in channels)]
    if unused:
        raise ConfigError(
            f"data.units: no channel has the name or prefix {', '.join(unused)}; channels: {', '.join(channels)}"
        )
    found = [_converted(channel, units) for channel in channels]
    return tuple(unit for unit, _ in found), np.array([factor for _, factor in found], dtype=np.float32)


def declared(channel: str, units: Mapping[str, Unit]) -> bool:
    """Return whether the unit of a channel's recordings is given."""
    return any(_names(name, channel) for name in units)


def check_units(where: str, channels: Sequence[str], rows_nC: Samples, units: Mapping[str, Unit]) -> None:
    """Check the rows of a recording whose units are not given by their magnitude.

    Raises `DataError`, naming what to declare, if they seem to be in g or deg/s.
    """
    by_channel = {
        channel: values_n.astype(np.float64)
        for channel, values_n in zip(channels, rows_nC.T, strict=True)
        if not declared(channel, units)
    }
    if not len(rows_nC):
        return
    for found in implausible(by_channel):
        if found.kind == "no_gravity":  # right for training, if all recordings are alike
            continue
        kind = found.sensor.partition("_")[0]
        what = f"declare it, data.units={{{kind!r}: {found.unit!r}}}" if found.unit else "convert the files"
        raise DataError(
            f"{where}: {found.message}. If so, {what}; if not, say so: data.units={{{kind!r}: {UNITS[kind]!r}}}"
        )


def _converted(channel: str, units: Mapping[str, Unit]) -> tuple[str, float]:
    usual = unit_of(channel)
    names = [name for name in units if _names(name, channel)]
    if not names:
        return usual, 1.0
    given = units[max(names, key=len)]
    unit, factor = MEANS[given]
    if usual not in (unit, "unknown"):
        raise ConfigError(f"data.units: {channel} cannot be converted from {given} to {usual}")
    return unit, factor


def _names(name: str, channel: str) -> bool:
    return channel == name or channel.startswith(f"{name}_")
