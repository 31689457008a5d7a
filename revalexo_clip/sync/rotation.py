"""The lag of a sensor on the camera or the head, from the rotation of the picture.

A turning camera moves the whole picture: to the side if it turns left or right, up and down if it nods, and around its
middle if it tilts. A linear map leads from the turning rate of the gyroscope to these three. It is fitted, so that
neither the axes of the sensor nor the lens have to be known, and the lag is the shift at which it fits best.

An answer is given only if all of this holds: the agreement is beyond chance (`chance`), nearly all recordings made of
the same blocks of time give the same peak (`resampled_peaks`), the turning rate explains a good part of the picture's
rotation, as a camera does (`axes`), and the interval is not longer than a frame on either side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.sync.axes import LOOSE, CameraAxes, camera_axes
from revalexo_clip.sync.chance import chance_of
from revalexo_clip.sync.refine import Refined, readout, refine
from revalexo_clip.sync.result import Curve, Drift, Estimate, Line, Overlay, Sync
from revalexo_clip.sync.search import (
    Blocks,
    Peak,
    blocks_of,
    resampled_peaks,
    search,
    shifts,
    sums_by_shift,
)
from revalexo_clip.sync.series import PARTS, Floats, Gyroscope, PictureRotation

MOST_LAG = 2.0
"""Longest lag that is searched for [s]."""
MOST_DRIFT = 0.002
"""Largest drift that is searched for [s / s]; 30 frames/s instead of 29.97 are 0.001."""
DRIFT_FROM = 60.0
"""The drift of shorter recordings is not measured [s]."""
SIGNIFICANT = 0.01
"""Largest p-value of an agreement that counts."""
AGREEING = 0.98
"""Share of the resampled recordings whose peak must be the same."""
EXPLAINED = 0.5
"""Least correlation of the part of the picture's rotation that the gyroscope explains best."""
_SHORTEST = 3.0
_LAG_SHARE = 0.4
"""Largest share of a recording that it may be shifted by."""
_STILL = 0.02
"""A camera that turns less than this stands still [rad / s], root mean square."""
_REPEATS = 300
_HARDLY = 0.1
"""Turning less than this [rad / s] explains why there is no agreement."""


@dataclass(frozen=True)
class Rotations:
    """The rotation of the picture of a recording: of the whole picture, and of its upper and lower row of cells."""

    whole: PictureRotation
    upper: PictureRotation
    lower: PictureRotation
    apart: float
    """Distance of the middles of both rows [picture heights]."""


@dataclass(frozen=True)
class _Found:
    blocks: Blocks
    shift_S: Floats
    peak: Peak
    p: float
    agreeing: float
    refined: Refined | None


def lag_from_rotation(
    recording: str,
    clips: dict[str, float],
    rotations: Rotations,
    gyroscope: Gyroscope,
    *,
    most_lag: float = MOST_LAG,
    line: Line = "last",
) -> Sync:
    """Find the lag and drift of a recording by the rotation of its picture.

    `line` is the line of the picture that is taken at the times of frames.
    """
    picture = rotations.whole
    usable = picture.take(picture.weight_P > 0)
    length = float((usable.end_P - usable.begin_P).sum())
    turning = float(np.sqrt(gyroscope.rate_n3.var(axis=0).sum()))

    base = Sync(recording, clips, "rotation", picture.frame)
    if length < _SHORTEST:
        return replace(
            base,
            why=f"motion can be measured in only {length:.1f} s of the video, less than {_SHORTEST:g} s: it is short, "
            "dark, blurred or without texture",
        )
    if turning < _STILL:
        return replace(
            base, why=f"the camera stands still: the gyroscope turns by {np.degrees(turning):.1f} deg/s only"
        )
    if not usable.rate_P3.std(axis=0).max() > 1e-6:
        return replace(base, why="the picture does not move at all")
    found = _find(usable, gyroscope, min(most_lag, _LAG_SHARE * length))
    refined = found.refined
    curve = Curve(found.shift_S, found.peak.evidence_S, "evidence")
    correlation = 0.0 if refined is None else float(refined.correlation_3.max())
    facts: JsonObject = {
        "p": found.p,
        "agreement": found.agreeing,
        "correlation": correlation,
        "gyroscope_deg_per_s": float(np.degrees(turning)),
    }
    overlay = _overlay(usable, gyroscope, refined)
    axes = None if refined is None else camera_axes(refined.map_33, np.cov(gyroscope.rate_n3.T))
    why = _why_not(found, axes, correlation, turning, picture.frame)
    if why or refined is None or axes is None:
        return replace(base, why=why, curve=curve, overlay=overlay, facts=facts)
    read = readout(rotations.upper, rotations.lower, gyroscope, refined, rotations.apart)
    lag, told = _at_line(refined, read, line, picture.frame)
    drift = None
    if np.isfinite(refined.drift_within):
        drift = Drift(Estimate(refined.drift, refined.drift_within), float(usable.end_P[-1] - usable.begin_P[0]))
    measured: JsonObject = {
        "line": line,
        "lag_of_the_middle_line": refined.lag,
        "readout": None if read is None else read.value,
        "readout_interval": None if read is None else list(read.interval),
        **axes.to_json(),
    }
    return replace(
        base,
        lag=lag,
        at=refined.at,
        drift=drift,
        curve=curve,
        overlay=overlay,
        facts=facts | measured,
        notes=(told, *axes.notes()),
    )


def _find(picture: PictureRotation, gyroscope: Gyroscope, most: float) -> _Found:
    blocks, shift_S = blocks_of(picture), shifts(most)
    with_drift = float(picture.end_P[-1] - picture.begin_P[0]) >= DRIFT_FROM
    sums_SB77 = sums_by_shift(picture, gyroscope, blocks, shift_S)
    peak = search(picture, sums_SB77, blocks, shift_S, MOST_DRIFT if with_drift else 0.0)
    near_R = np.abs(resampled_peaks(peak, shift_S, repeats=_REPEATS) - peak.lag) <= 2 * picture.frame
    refined = refine(picture, gyroscope, blocks, peak.lag, peak.drift, with_drift=with_drift)
    p = chance_of(picture, gyroscope, peak.lag, most, drift=peak.drift)
    return _Found(blocks, shift_S, peak, p, float(near_R.mean()), refined)


def _why_not(found: _Found, axes: CameraAxes | None, correlation: float, turning: float, frame: float) -> str:
    """Return why no lag is given; "" if one is."""
    refined = found.refined
    agrees = found.p <= SIGNIFICANT and found.agreeing >= AGREEING and correlation >= EXPLAINED
    if agrees and refined is not None and axes is not None:
        if axes.misfit > LOOSE:
            return (
                f"the picture follows the gyroscope, but not as a camera that turns (misfit {axes.misfit:.2f}): the "
                "video is stabilised in part, or the sensor does not turn with the camera"
            )
        if refined.lag_within <= frame:
            return ""
        return f"the lag is only known within {1e3 * refined.lag_within:.0f} ms, more than a frame: record more turns"
    reason = (
        "the camera hardly turns"
        if turning < _HARDLY
        else "the video is stabilised, the sensor is not on the camera or head, the lag is longer than was searched "
        "for (--max-lag), or nearly everything in the picture moves by itself"
    )
    told = (
        f"best correlation {correlation:.2f}, p = {found.p:.3f}, {100 * found.agreeing:.0f}% of resampled peaks agree"
    )
    return f"the picture does not follow the gyroscope at any lag ({told}): {reason}"


def _at_line(refined: Refined, read: Estimate | None, line: Line, frame: float) -> tuple[Estimate, str]:
    """Return the lag of a line of the picture, and what is known of the rolling shutter."""
    middle = f"The lag of the picture's middle line is {1e3 * refined.lag:.1f} ms"
    if read is None or abs(read.value) <= read.within or not abs(read.value) - read.within < frame:
        within = (
            "" if read is None or read.within > frame else f" within {1e3 * (abs(read.value) + read.within):.0f} ms"
        )
        shutter = f"no rolling shutter is seen{within}" if within else "a rolling shutter cannot be measured"
        return Estimate(refined.lag, refined.lag_within), f"{middle}; {shutter}."
    part = {"first": 0.5, "middle": 0.0, "last": -0.5}[line]
    lag = Estimate(refined.lag + part * abs(read.value), float(np.hypot(refined.lag_within, part * read.within)))
    return lag, (
        f"{middle}. The shutter is rolling{'' if read.value > 0 else ' upwards'}: the last line is taken "
        f"{1e3 * abs(read.value):.0f} ms after the first (within {1e3 * read.within:.0f} ms). The lag is that of the "
        f"{line} line."
    )


def _overlay(picture: PictureRotation, gyroscope: Gyroscope, refined: Refined | None) -> Overlay | None:
    """Return the part of the picture's rotation that follows best, and what the gyroscope makes of it."""
    if refined is None:
        return None
    part = int(refined.correlation_3.argmax())
    return Overlay(
        picture.midpoints,
        picture.rate_P3[:, part],
        refined.predicted_P3[:, part],
        {"right": "turns to the side", "down": "nods", "roll": "tilts"}[PARTS[part]],
    )
