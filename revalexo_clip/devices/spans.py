"""The time that the streams of a recording have in common, between gaps."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import parse
from revalexo_clip.devices.base import DeviceRecording, Floats, ImuStream

MAX_GAP = 0.1
"""Longest time without a sample that is interpolated over [s]; four sample intervals if that is longer."""
SHORTEST = 1.0
"""Shorter pieces are not imported [s]."""
MAX_FRAME_GAP = 0.2
"""Longest time without a frame that does not divide a recording [s]; four frame intervals if that is longer."""


def sensors_of(recording: DeviceRecording) -> list[ImuStream]:
    """Return the accelerometers and gyroscopes; what else there is, such as a direction of gravity, follows them."""
    return [stream for stream in recording.imu if any(parse(name) is not None for name in stream.channels)]


def common_spans(recording: DeviceRecording) -> tuple[tuple[float, float], ...]:
    """Return the times that video and all sensors have in common, without gaps and pieces shorter than 1 s.

    Raises `DataError` if there are none.
    """
    streams = sensors_of(recording)
    found = [(-math.inf, math.inf)] if recording.video is None else pieces_of(recording.video.time_T, MAX_FRAME_GAP)
    for stream in streams:
        found = [
            (max(begin, first), min(end, last))
            for begin, end in found
            for first, last in pieces_of(stream.time_N)
            if min(end, last) - max(begin, first) > 0
        ]
    long = tuple((begin, end) for begin, end in found if end - begin >= SHORTEST)
    if not long:
        shown = [
            f"{one.channels[0].rpartition('_')[0]} {one.time_N[0]:.3f} to {one.time_N[-1]:.3f} s" for one in streams
        ]
        if recording.video:
            shown.insert(0, f"video 0.000 to {recording.video.end:.3f} s")
        raise DataError(f"{recording.source}: its streams have no second in common: {', '.join(shown)}")
    return long


def between(
    recording: DeviceRecording, spans: tuple[tuple[float, float], ...], begin: float, end: float
) -> tuple[tuple[float, float], ...]:
    """Return what of the common spans of a recording is between two times [s], without pieces shorter than 1 s.

    Raises `ConfigError` if these are no times, and `DataError` if nothing is left.
    """
    if not (0 <= begin < math.inf and begin < end):
        raise ConfigError("--from must be 0 s or more, and --to later than --from")
    found = ((max(first, begin), min(last, end)) for first, last in spans)
    long = tuple((first, last) for first, last in found if last - first >= SHORTEST)
    if not long:
        raise DataError(
            f"{recording.source}: has less than {SHORTEST:g} s between --from and --to; all its streams have "
            f"{spans[0][0]:.3f} to {spans[-1][1]:.3f} s"
        )
    return long


def pieces_of(time_N: Floats, longest: float = MAX_GAP) -> list[tuple[float, float]]:
    """Return start and end [s] of the pieces of a stream between its gaps; a sample or frame lasts for an interval.

    Gaps are longer than `longest` [s] and than four usual intervals.
    """
    if len(time_N) < 2:
        return []
    usual = float(np.median(np.diff(time_N)))
    edges = [0, *(gaps_of(time_N, longest) + 1).tolist(), len(time_N)]
    return [(float(time_N[a]), float(time_N[b - 1]) + usual) for a, b in pairwise(edges)]


def gaps_of(time_N: Floats, longest: float = MAX_GAP) -> npt.NDArray[np.intp]:
    """Return the numbers of the samples before gaps; see `pieces_of`."""
    step_N = np.diff(time_N)
    return np.flatnonzero(step_N > max(longest, 4 * float(np.median(step_N))))
