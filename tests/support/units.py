"""Bootstraps of units of time that are given directly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from revalexo_clip.metrics.blocks import TimeUnits
from revalexo_clip.metrics.bootstrap import RESAMPLES, TimeBootstrap
from revalexo_clip.metrics.evaluated import Ints


def bootstrap_of(
    unit_subjects: Sequence[str], unit_N: Ints | None = None, *, resamples: int = RESAMPLES
) -> TimeBootstrap:
    """Resample recordings of these subjects; `unit_N` is the recording of each window, one window each if missing."""
    unit_N = np.arange(len(unit_subjects)) if unit_N is None else unit_N
    units = TimeUnits(unit_N, tuple(unit_subjects), "recordings", np.zeros(len(unit_subjects), dtype=bool))
    return TimeBootstrap(units, resamples=resamples)
