"""What the names of IMU channels say: `acc_Left_Foot_x` is the accelerometer of Left_Foot along x."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

AXES = "xyz"
_NAME = re.compile(r"(acc|gyro)_(.+)_([xyz])")


class Channel(NamedTuple):
    """One axis of an accelerometer or of a gyroscope."""

    kind: str
    """`acc` or `gyro`."""
    segment: str
    axis: str

    @property
    def name(self) -> str:
        """The name in full."""
        return "_".join(self)


def parse(name: str) -> Channel | None:
    """None for a channel that is neither an accelerometer's nor a gyroscope's."""
    found = _NAME.fullmatch(name)
    return Channel(*found.groups()) if found else None


def whole_triads(channels: Sequence[str], kind: str) -> dict[str, list[int]]:
    """The places of x, y and z of each segment's accelerometer (`acc`) or gyroscope (`gyro`) that has all three."""
    places = {channel: place for place, name in enumerate(channels) if (channel := parse(name))}
    segments = dict.fromkeys(channel.segment for channel in places if channel.kind == kind)
    triads = {segment: [Channel(kind, segment, axis) for axis in AXES] for segment in segments}
    return {
        segment: [places[channel] for channel in triad]
        for segment, triad in triads.items()
        if all(channel in places for channel in triad)
    }
