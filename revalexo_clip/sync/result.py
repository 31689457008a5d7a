"""What is known of the lag between IMU and video of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.sync.series import Floats

Method = Literal["rotation", "encoders", "events"]
Line = Literal["first", "middle", "last"]
"""The line of the picture that is taken at the time of a frame. A rolling shutter takes one line after the other."""


class Estimate(NamedTuple):
    """A value and half the width of its 95% interval."""

    value: float
    within: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval."""
        return self.value - self.within, self.value + self.within


@dataclass(frozen=True)
class Drift:
    """A lag that changes by time."""

    rate: Estimate
    """[s / s]"""
    span: float
    """Length of the recording [s]."""


@dataclass(frozen=True)
class Curve:
    """How well IMU and video agree at each of several lags, for the plot."""

    lag_S: Floats
    """[s]"""
    value_S: Floats
    what: str
    """What the values are."""


@dataclass(frozen=True)
class Overlay:
    """Two series that should be one if IMU and video are in time, for the plot."""

    time_P: Floats
    """[s in the recording]"""
    video_P: Floats
    imu_P: Floats
    """At the lag that was found, or at lag 0 if none was; NaN if there is none."""
    what: str


@dataclass(frozen=True)
class Sync:
    """The lag of one recording: how much later than its times say the IMU was taken.

    It is what has to be added to `imu_offset`. If it is positive, the IMU is early: its times are too small.
    """

    recording: str
    """Name of its first clip."""
    clips: Mapping[str, float]
    """Its clips, and the middle of each [s in the recording]."""
    method: Method
    frame: float
    """Time between two frames [s]."""
    lag: Estimate | None = None
    """[s]; at the time `at`. None if it cannot be told."""
    why: str = ""
    """Why there is no lag."""
    at: float = 0.0
    """[s in the recording]"""
    drift: Drift | None = None
    curve: Curve | None = None
    overlay: Overlay | None = None
    facts: JsonObject = field(default_factory=dict)
    """What the answer is based on, for the JSON."""
    notes: tuple[str, ...] = ()
    """What else was found, in sentences."""

    @property
    def off(self) -> bool:
        """Whether the recording is off by more than half a frame, at one of its ends at least, with confidence."""
        if self.lag is None:
            return False
        half = self.frame / 2
        if abs(self.lag.value) - self.lag.within > half:
            return True
        if self.drift is None:
            return False
        reach, rate = self.drift.span / 2, self.drift.rate
        return any(
            abs(self.lag.value + sign * reach * rate.value) - self.lag.within - reach * rate.within > half
            for sign in (-1, 1)
        )

    @property
    def verdict(self) -> Literal["in time", "off", "cannot tell"]:
        """The answer in words. A recording is in time if no lag of more than a frame is in the interval."""
        if self.lag is None:
            return "cannot tell"
        if self.off:
            return "off"
        return "in time" if abs(self.lag.value) + self.lag.within <= self.frame else "cannot tell"

    @property
    def reason(self) -> str:
        """Why it cannot be told; "" if it can."""
        if self.verdict != "cannot tell" or self.lag is None:
            return self.why
        low, high = self.lag.interval
        return f"the lag may be anything from {1e3 * low:.0f} to {1e3 * high:.0f} ms"

    def lag_at(self, time: float) -> float:
        """Return the lag at a time in the recording [s]; it must be known."""
        assert self.lag is not None
        return self.lag.value + (self.drift.rate.value * (time - self.at) if self.drift is not None else 0.0)

    def to_json(self) -> JsonObject:
        """Return the object of this recording in the output of `--json`. Existing names must not change."""
        return {
            "recording": self.recording,
            "clips": list(self.clips),
            "method": self.method,
            "verdict": self.verdict,
            "why": self.reason,
            "lag": None if self.lag is None else self.lag.value,
            "lag_interval": None if self.lag is None else list(self.lag.interval),
            "at": self.at,
            "drift_ppm": None if self.drift is None else 1e6 * self.drift.rate.value,
            "drift_ppm_interval": None if self.drift is None else [1e6 * end for end in self.drift.rate.interval],
            "frame": self.frame,
            "notes": list(self.notes),
            **self.facts,
        }


def peak_between(lag_S: Floats, value_S: Floats) -> float:
    """Return the lag of the highest value, between the lags that were tried: the summit of a parabola."""
    place = int(np.argmax(value_S))
    if not 0 < place < len(lag_S) - 1:
        return float(lag_S[place])
    before, here, after = value_S[place - 1 : place + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(lag_S[place] + shift * (lag_S[1] - lag_S[0]))
