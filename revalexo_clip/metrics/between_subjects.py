"""Intervals for other subjects: a t interval over the figures of the single subjects.

The intervals of `bootstrap` say how a result would vary with other moments of the same subjects. These say where the
mean over subjects would lie with other subjects. Each subject counts the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import COVERAGE, UNLIMITED
from revalexo_clip.metrics.evaluated import Floats
from revalexo_clip.metrics.exact_bounds import Range

LEAST_SUBJECTS = 6
"""Subjects needed for an interval between subjects."""


def between_subjects(
    names: Sequence[str], figure_SF: Floats, ranges: Mapping[str, Range] | None = None
) -> JsonObject | None:
    """Return the object `between_subjects` of `metrics.json`: mean and 95% interval of F figures over S subjects.

    `figure_SF` are the figures of the single subjects. The interval is mean +- t * deviation / sqrt(S), cut to the
    range of the figure if `ranges` has it; null if all subjects have the same value. None for fewer than
    `LEAST_SUBJECTS` subjects.
    """
    subjects = len(figure_SF)
    if subjects < LEAST_SUBJECTS:
        return None
    half_F = stats.t.ppf((1 + COVERAGE) / 2, subjects - 1) * figure_SF.std(axis=0, ddof=1) / np.sqrt(subjects)
    found: JsonObject = {}
    for name, mean, half in zip(names, figure_SF.mean(axis=0).tolist(), half_F.tolist(), strict=True):
        least, most = (ranges or {}).get(name, UNLIMITED)
        ends = [max(mean - half, least), min(mean + half, most)] if half > 0 else None
        found[name] = {"mean": mean, "interval": [*ends] if ends else None}
    return found
