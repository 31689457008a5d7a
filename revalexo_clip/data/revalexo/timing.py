"""Times of indexed clips: recordings, offsets, and the part of each clip that annotations, IMU and video share."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.data.index import ClipIndex, Stamp
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.revalexo.index import none_lasts
from revalexo_clip.data.revalexo.survey import (
    ImuFacts,
    RowTimes,
    Sensors,
    Span,
    Survey,
    sensors_of_file,
    stamp_of,
)
from revalexo_clip.data.windows import TIME_DECIMALS, Ints

log = logging.getLogger("revalexo_clip")

_LISTED = 5
"""Clips that a message names."""
_LATE_CLOCK = 0.05
"""A clock that starts this long after the video [s] may count from its first frame."""


@dataclass(frozen=True)
class Files:
    """How the files of clips are asked about time; each function takes the number of a clip."""

    stamp: Callable[[int], Stamp]
    """Of its IMU file."""
    sensors: Sensors
    imu: Callable[[int], list[Span]]
    """The spans of its IMU: one, or several between gaps [s in the clip]."""
    first: Callable[[int], float]
    """First reading of its own clock [s]; 0 if it has none, or if it is not checked."""
    video: Callable[[int], Span] | None
    """The span of its video; None if videos are not used."""
    times: RowTimes | None = None
    """The times of its IMU rows, if they are not simply 1 / rate apart from the first frame on."""
    settings: str = ""
    """What `times` depend on."""


def raw_files(
    index: ClipIndex,
    survey: Survey,
    rate: float,
    *,
    check_clock: bool,
    video: bool,
    stamps: Callable[[int], Stamp] | None = None,
) -> Files:
    """Return how the CSV and mp4 files of clips are asked about time, if rows are 1 / `rate` [s] apart.

    With `check_clock`, a file whose own clock contradicts the rate is a `DataError`. `stamps` gives the stamp of a
    clip's IMU file, if it is known, but not from indexing.
    """

    def indexed(clip: int) -> Stamp:
        return index.imu_stamp(clip) or stamp_of(index.imu(clip))

    stamp = stamps or indexed

    def facts(clip: int) -> ImuFacts:
        return survey.imu(index.imu(clip), rate, stamp(clip))

    def imu(clip: int) -> list[Span]:
        found = facts(clip)
        if check_clock and found.wrong:
            raise DataError(f"{index.imu(clip)}: {wrong_rate(found.wrong)}")
        return [Span(0.0, (found.rows + 1) / rate)]

    return Files(
        stamp=stamp,
        sensors=lambda clip: sensors_of_file(index.imu(clip)),
        imu=imu,
        first=lambda clip: facts(clip).first if check_clock else 0.0,
        video=(lambda clip: survey.video(index.video(clip), index.video_stamp(clip))) if video else None,
    )


def timed(
    index: ClipIndex, files: Files, survey: Survey, *, rate: float, min_duration: float
) -> tuple[ClipIndex, Ints]:
    """Return the index with recordings, offsets and common times, and [N] the place of each entry in the old index.

    A clip without activities lasts as long as its files, and is left out if that is less than `min_duration`.
    Undeclared clips are placed by the IMU rows that they share. A clip whose IMU has gaps becomes several entries. Says
    in the log what is cut. Raises `DataError` if a clip has less than `min_duration` [s] in common although it is
    annotated for longer.
    """
    index = replace(index, times=_placed(index, files, survey, rate))
    recordings = Counter(index.times.recording_N.tolist())
    entries, begins, ends, durations, cuts = [], [], [], [], dict[str, float]()
    has_video = (index.video_N != "").tolist()
    for clip, annotated in enumerate(index.duration_N.tolist()):
        imu = files.imu(clip)
        video = files.video(clip) if files.video is not None and has_video[clip] else Span(0.0, annotated)
        duration = min(imu[-1].end, video.end) if math.isinf(annotated) else annotated
        if (first := files.first(clip)) > _LATE_CLOCK:
            _check_start(index, clip, first, recordings, duration)
        spans = [common_span(span, video, duration) for span in imu]
        usable = [span for span in spans if round(span.end - span.begin, TIME_DECIMALS) >= min_duration]
        if not usable:
            if math.isinf(annotated) and any(span.end > span.begin for span in spans):
                continue  # it is short, and nobody says that it should be longer
            is_imu, message = too_little(index.names[clip], imu, video, duration, min_duration)
            raise DataError(f"{index.imu(clip) if is_imu else index.video(clip)}: {message}")
        cut = duration - sum(span.end - span.begin for span in usable)
        if cut > 10**-TIME_DECIMALS:
            cuts[index.names[clip]] = cut
        entries += [clip] * len(usable)
        begins += [span.begin for span in usable]
        ends += [span.end for span in usable]
        durations += [duration] * len(usable)
    if cuts:
        named = ", ".join(f"{name} ({cut:.2f} s)" for name, cut in list(cuts.items())[:_LISTED])
        more = f" and {len(cuts) - _LISTED} more" if len(cuts) > _LISTED else ""
        _warn(
            f"{counted(len(cuts), 'clip')} {'is' if len(cuts) == 1 else 'are'} cut to the time that annotations, IMU "
            f"and video share, by {sum(cuts.values()):.2f} s in all: {named}{more}"
        )
    place_N = np.array(entries, dtype=np.int64)
    num_too_short = index.num_too_short + len(index) - len(set(entries))
    if not entries:
        raise none_lasts(index.root, sorted(set(index.subjects)), min_duration, num_too_short, 0)
    placed = replace(index.take(place_N, num_too_short), duration_N=np.array(durations))
    return replace(placed, times=replace(placed.times, begin_N=np.array(begins), end_N=np.array(ends))), place_N


@cache
def _warn(message: str) -> None:
    """Log a warning once, although a split may be indexed several times."""
    log.warning("%s", message)


def common_span(imu: Span, video: Span, duration: float) -> Span:
    """Return the time that a span of IMU, a video and the annotations of a clip share [s in the clip]."""
    begin = max(imu.begin, video.begin, 0.0)
    return Span(begin, max(min(imu.end, video.end, duration), begin))


def too_little(name: str, imu: Sequence[Span], video: Span, duration: float, least: float) -> tuple[bool, str]:
    """Return the message that a clip is annotated for longer than its IMU and video last.

    Returns also whether it is about the IMU file, or about the video.
    """
    best = max((common_span(span, video, duration) for span in imu), key=lambda span: span.end - span.begin)
    is_imu = imu[0].begin > 0 or imu[-1].end < duration or len(imu) > 1
    what, span = ("IMU recording", Span(imu[0].begin, imu[-1].end)) if is_imu else ("video", video)
    return is_imu, (
        f"the {what} covers {span.begin:.3f} s to {span.end:.3f} s of the {duration:g} s of {name}: annotations, IMU "
        f"and video share {best.end - best.begin:.3f} s, less than data.min_duration ({least:g} s)"
    )


def _placed(index: ClipIndex, files: Files, survey: Survey, rate: float) -> ClipTimes:
    """Add what shared rows show to what the dataset declares."""
    times, open_M = index.times, np.flatnonzero(~index.times.declared_N)
    if not len(open_M):
        return times
    asked, row_times = index.take(open_M, 0), files.times or (lambda clip: np.empty(0))
    found = survey.placement(
        asked,
        rate,
        [files.stamp(clip) for clip in open_M.tolist()],
        lambda place: files.sensors(int(open_M[place])),
        times=None if files.times is None else lambda place: row_times(int(open_M[place])),
        settings=files.settings,
    )
    recording_N, offset_N = times.recording_N.copy(), times.offset_N.copy()
    recording_N[open_M] = found.recording_N + int(recording_N.max()) + 1
    offset_N[open_M] = found.offset_N
    return replace(times, recording_N=recording_N, offset_N=offset_N)


def _check_start(index: ClipIndex, clip: int, first: float, recordings: Counter[int], duration: float) -> None:
    """Raise `DataError` if a clip's own clock starts late, at `first` [s]; `recordings` counts the clips of each."""
    declared, recording = bool(index.times.declared_N[clip]), int(index.times.recording_N[clip])
    alone = not declared and recordings[recording] == 1
    wrong = late_clock(first, duration, alone=alone)
    if wrong is not None:
        raise DataError(f"{index.imu(clip)}: {wrong}")


def late_clock(first: float, duration: float, *, alone: bool) -> str | None:
    """How a clip's own clock starts late, and nothing says whether that is a shift; None if it does not.

    A clock that counts from the start of a longer recording starts anywhere; one that starts within the clip, of a clip
    that is a recording of its own (`alone`), may count from the first frame of the video. Times are in seconds.
    """
    if not alone or not _LATE_CLOCK < first < duration:
        return None
    return (
        f"its clock starts at {first:.3f} s. If it counts from the first frame of the video, name the column in "
        "data.time; if not, set data.check_clock=false"
    )


def wrong_rate(contradiction: str) -> str:
    """Return how a column contradicts the sampling rate, and what to do."""
    return (
        f"{contradiction}. Name the column in data.time to place rows by it, correct data.imu_rate, or set "
        "data.check_clock=false if it is no clock"
    )
