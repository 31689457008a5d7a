"""By how much one recogniser is better than another on the same windows, for example one that began pretrained."""

from __future__ import annotations

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.metrics.bootstrap import ClipBootstrap
from revalexo_clip.metrics.classification import RECOGNITION_SCORES, Recognised, gain
from revalexo_clip.metrics.paired_differences import settled
from revalexo_clip.metrics.per_horizon import SETS, recognised_at
from revalexo_clip.metrics.predictions import Predictions

_THE_SAME = {
    "activities": "activities",
    "horizons": "horizons",
    "clip_names": "clips",
    "clip_subjects": "subjects",
    "clip_N": "clips",
    "start_N": "starts",
    "label_NK": "labels",
    "transition_NK": "transitions",
}
"""Fields that have to be equal, and what they hold."""


def compare_recognition(one: Predictions, other: Predictions, bootstrap: ClipBootstrap) -> JsonObject:
    """Scores of one less those of the other at every horizon and in every set of windows, with paired intervals.

    Each resample of clips is scored with both, so that what makes clips easy or hard for either does not widen the
    interval; `settled` tells what that leaves open. `bootstrap` resamples their clips. Raises `DataError` where the
    windows are not the same.
    """
    check_same_windows(one, other)
    at = [(recognised_at(one, k), recognised_at(other, k)) for k in range(len(one.horizons))]
    return {
        "horizons": [
            {
                "horizon": horizon,
                **{among: _difference(this[among], that[among], bootstrap) for among in SETS},
            }
            for horizon, (this, that) in zip(one.horizons, at, strict=True)
        ]
    }


def _difference(one: Recognised, other: Recognised, bootstrap: ClipBootstrap) -> JsonObject:
    """In one of the sets of windows, at one horizon."""
    gained = gain(one, other, bootstrap, RECOGNITION_SCORES)
    intervals = gained["interval"]
    assert isinstance(intervals, dict)
    same = len(one.true_N) > 0 and np.array_equal(one.predicted_N, other.predicted_N)
    return {
        "windows": len(one.true_N),
        **gained,
        "settled": {name: settled(name, intervals[name], same) for name in RECOGNITION_SCORES},
    }


def check_same_windows(one: Predictions, other: Predictions) -> None:
    """Raise `DataError`, naming what differs, unless both predict the same of the same windows in the same order."""
    for field, what in _THE_SAME.items():
        if not np.array_equal(getattr(one, field), getattr(other, field)):
            raise DataError(f"predictions of different windows cannot be compared: their {what} differ")
