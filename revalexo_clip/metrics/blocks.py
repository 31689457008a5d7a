"""Blocks of time: the units that intervals resample, because neighbouring windows show nearly the same thing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from revalexo_clip.metrics.evaluated import Floats, Ints

BLOCK_SECONDS = 30.0
"""Longest stretch of a recording that is resampled as one. People do one thing, or a few, for about so long."""


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
