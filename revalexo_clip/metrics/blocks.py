"""Units of time that intervals resample: whole recordings, or blocks of recordings if there are too few of those.

Neighbouring windows show nearly the same thing, so windows are not resampled one by one. Clips are no units: several
clips may be pieces of one recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.metrics.evaluated import Bools, EvaluatedWindows, Floats, Ints, Predictions

BLOCK_SECONDS = 30.0
"""Longest stretch of a recording that is resampled as one. People do one thing, or a few, for about so long."""
LEAST_RECORDINGS = 8
"""Recordings of one subject needed to resample whole recordings; with several subjects, one more for each."""
LEAST_BLOCKS = 6
"""Units of one subject needed for an interval; with several subjects, one more for each. Five units lie on one side of
the true median with probability 1/16."""

UnitKind = Literal["recordings", "blocks of 30 s"]
"""Names of the units in `metrics.json`."""


@dataclass(frozen=True)
class TimeUnits:
    """The U units of time of N windows."""

    unit_N: Ints
    """Unit of each window, numbered from 0 without gaps."""
    unit_subjects: tuple[str, ...]
    """Subject of each unit."""
    kind: UnitKind
    follows_U: Bools
    """Whether each unit follows the one before it in the same recording."""

    def as_metrics(self) -> JsonObject:
        """Return `interval_unit` and `interval_reason` of `metrics.json`."""
        return {"interval_unit": self.kind, "interval_reason": self.interval_reason()}

    def interval_reason(self) -> str | None:
        """Return why results on these windows have no intervals; None if they have."""
        units, subjects = len(self.unit_subjects), len(set(self.unit_subjects))
        needed = LEAST_BLOCKS + subjects - 1
        if units >= needed:
            return None
        return f"{needed} {self.kind} are needed for {counted(subjects, 'subject')}, and there are {units}"


def units_of(windows: EvaluatedWindows | Predictions) -> TimeUnits:
    """Return the units of time of evaluated windows; see `time_units`."""
    recording_N, time_N = np.asarray(windows.recording_N), np.asarray(windows.time_N)
    return time_units(recording_N, time_N, [windows.clip_subjects[clip] for clip in windows.clip_N.tolist()])


def time_units(recording_N: Ints, time_N: Floats, subjects_N: Sequence[str]) -> TimeUnits:
    """Divide windows into recordings, or into blocks of 30 s if there are fewer than `LEAST_RECORDINGS` recordings.

    `recording_N` and `time_N` [s] say where windows start, `subjects_N` which subject they are of. Subjects are strata
    of the bootstrap, so each needs one recording more.
    """
    recordings, unit_N = np.unique(recording_N, return_inverse=True)
    kind: UnitKind = "recordings"
    if len(recordings) - len(set(subjects_N)) + 1 < LEAST_RECORDINGS:
        unit_N, kind = time_blocks(recording_N, time_N), "blocks of 30 s"
    _, first_U = np.unique(unit_N, return_index=True)
    follows_U = np.append(False, np.diff(recording_N[first_U]) == 0)
    return TimeUnits(unit_N, block_subjects(unit_N, subjects_N), kind, follows_U)


def time_blocks(recording_N: Ints, time_N: Floats, seconds: float = BLOCK_SECONDS) -> Ints:
    """Cut recordings into blocks of equal length, and number the block of each window, [N] from 0 without gaps.

    `recording_N` and `time_N` [s] say where windows start. A recording is cut into as many blocks as come closest to
    `seconds` each, at least one; windows of different recordings never share a block.
    """
    block_N = np.zeros(len(recording_N), dtype=np.int64)
    total = 0
    for recording in np.unique(recording_N):
        own = np.flatnonzero(recording_N == recording)
        start, length = time_N[own].min(), np.ptp(time_N[own])
        count = max(round(length / seconds), 1)
        place = np.floor((time_N[own] - start) / max(length, 1e-9) * count).astype(np.int64)
        _, numbered = np.unique(np.minimum(place, count - 1), return_inverse=True)
        block_N[own] = total + numbered
        total += int(numbered.max(initial=-1)) + 1
    return block_N


def block_subjects(block_N: Ints, subjects_N: Sequence[str]) -> tuple[str, ...]:
    """Return the subject of each block."""
    _, first = np.unique(block_N, return_index=True)
    return tuple(subjects_N[row] for row in first)
