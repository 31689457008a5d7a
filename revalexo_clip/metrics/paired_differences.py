"""Differences between two checkpoints, or two activity classifiers, on the same windows, with paired intervals.

Both are measured on the same resampled units of time, so that moments that are easy or hard for both do not widen the
interval of the difference (Koehn, 2004, https://aclanthology.org/W04-3250).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.between_subjects import between_subjects
from revalexo_clip.metrics.bootstrap import DIFFERENCE, TimeBootstrap
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES, SCORES, ClassifierOutput, gain
from revalexo_clip.metrics.evaluated import Bools, EvaluatedWindows, Ints, Predictions
from revalexo_clip.metrics.exact_bounds import Range
from revalexo_clip.metrics.galleries import (
    DIRECTIONS,
    FIGURES,
    Gallery,
    figures,
    of_all_and_of_parts,
    of_each_subject,
    resampled,
    values,
)
from revalexo_clip.metrics.per_horizon import SETS, outputs_at
from revalexo_clip.metrics.probe import PROBES

COMPARED = ("imu", "video", "both")
"""Features whose probes are compared; the other `FEATURES` are baselines of a single checkpoint."""
LESS_IS_BETTER = ("median_rank",)
_RANGES: Mapping[str, Range] = dict.fromkeys(FIGURES[:4], DIFFERENCE)

Significance = Literal["better", "worse", "same"]
"""`better` or `worse` if the interval of a difference excludes zero; `same` if no window makes a difference."""


@dataclass(frozen=True)
class Outcome:
    """Results of a checkpoint on N windows."""

    galleries: Mapping[str, Gallery]
    """Galleries by name."""
    predictions: Mapping[str, Ints]
    """[N, K] predictions of the probes, under `<probe>/<features>`; empty if there was no probe."""


def differences(one: Outcome, other: Outcome, windows: EvaluatedWindows, bootstrap: TimeBootstrap) -> JsonObject:
    """Return the results of `one` minus those of `other`, under the names of `metrics.json`.

    `windows` are the windows that both were measured on; their embeddings and features are not used.
    """

    def subtract(name: str, selected_N: Bools) -> JsonObject | None:
        if name not in one.galleries:
            return None
        return _in_gallery(one.galleries[name], other.galleries[name], selected_N, bootstrap)

    return {**of_all_and_of_parts(windows, subtract), "probe": _of_probes(one, other, windows, bootstrap)}


def _in_gallery(one: Gallery, other: Gallery, selected_N: Bools, bootstrap: TimeBootstrap) -> JsonObject | None:
    places = np.flatnonzero(selected_N[one.rows])
    if len(places) == 0:
        return None
    unit_M = bootstrap.unit_N[one.rows[places]]
    return {
        direction: _of_ranks(one.found_at(direction)[places], other.found_at(direction)[places], unit_M, bootstrap)
        for direction in DIRECTIONS
    }


def _of_ranks(one_M: Ints, other_M: Ints, unit_M: Ints, bootstrap: TimeBootstrap) -> JsonObject:
    value_5 = figures(one_M) - figures(other_M)
    figure_R5 = resampled(one_M, unit_M, bootstrap) - resampled(other_M, unit_M, bootstrap)
    subject_M = bootstrap.subject_U[unit_M]
    own_S5 = of_each_subject(one_M, subject_M) - of_each_subject(other_M, subject_M)
    same_5 = (values(one_M) == values(other_M)).all(axis=0)
    found: JsonObject = {
        **dict(zip(FIGURES, value_5.tolist(), strict=True)),
        "interval": bootstrap.intervals(FIGURES, figure_R5, unit_M, _RANGES),
        "p_value": bootstrap.p_values(FIGURES, figure_R5, unit_M, _RANGES),
        "between_subjects": between_subjects(FIGURES, own_S5),
    }
    return found | {"significant": _significant(found, FIGURES, same_5.tolist())}


def _of_probes(one: Outcome, other: Outcome, windows: EvaluatedWindows, bootstrap: TimeBootstrap) -> JsonObject | None:
    if not one.predictions or not other.predictions:
        return None
    found: JsonObject = {}
    for probe in PROBES:
        pairs = {name: (one.predictions[f"{probe}/{name}"], other.predictions[f"{probe}/{name}"]) for name in COMPARED}
        found[probe] = {
            name: [
                _of_predictions(one_NK[:, k], other_NK[:, k], windows, k, bootstrap)
                for k in range(len(windows.horizons))
            ]
            for name, (one_NK, other_NK) in pairs.items()
        }
    return found


def _of_predictions(
    one_N: Ints, other_N: Ints, windows: EvaluatedWindows, k: int, bootstrap: TimeBootstrap
) -> JsonObject:
    """Compare predictions at one horizon: all windows, steady state, transitions."""
    label_N, transition_N = windows.label_NK[:, k].numpy(), windows.transition_NK[:, k].numpy()
    tested_N = (label_N != UNLABELLED) & (one_N != UNLABELLED) & (other_N != UNLABELLED)
    found: JsonObject = {"horizon": windows.horizons[k]}
    for among, rows in (
        ("all", tested_N),
        ("steady", tested_N & ~transition_N),
        ("transition", tested_N & transition_N),
    ):
        unit_M, classes = bootstrap.unit_N[rows], len(windows.activities)
        ours, theirs = (ClassifierOutput(label_N[rows], found_N[rows], unit_M, classes) for found_N in (one_N, other_N))
        gained = gain(ours, theirs, bootstrap)
        same = bool(rows.any() and (one_N[rows] == other_N[rows]).all())
        found[among] = {
            "windows": int(rows.sum()),
            **gained,
            "significant": _significant(gained, SCORES, [same] * len(SCORES)),
        }
    return found


def _significant(found: JsonObject, names: Sequence[str], same: Sequence[bool]) -> JsonObject:
    """Return the object `significant` of a difference: the significance of each result, or null."""
    intervals = found["interval"]
    assert isinstance(intervals, dict)
    return {name: significance(name, intervals[name], alike) for name, alike in zip(names, same, strict=True)}


def significance(name: str, interval: JsonValue, same: bool) -> Significance | None:
    """Return the significance of a difference from its interval; `same` if both are the same on every window."""
    if same:
        return "same"
    if not isinstance(interval, list):
        return None
    low, high = (float(str(end)) for end in interval)
    if low <= 0 <= high:
        return None
    return "better" if (low > 0) != (name in LESS_IS_BETTER) else "worse"


_THE_SAME = {
    "activities": "activities",
    "horizons": "horizons",
    "clip_names": "clips",
    "clip_subjects": "subjects",
    "clip_N": "clips",
    "start_N": "starts",
    "recording_N": "recordings",
    "time_N": "times",
    "label_NK": "labels",
    "transition_NK": "transitions",
}
"""Fields that must be equal, and their content."""


def compare_classifiers(one: Predictions, other: Predictions, bootstrap: TimeBootstrap) -> JsonObject:
    """Return the scores of `one` minus those of `other` at every horizon and in every set of windows.

    Intervals are paired, and `significant` holds what they say. `bootstrap` resamples units of time of these windows.
    Raises `DataError` if the windows are not the same.
    """
    check_same_windows(one, other)
    at = [tuple(outputs_at(each, k, bootstrap.unit_N) for each in (one, other)) for k in range(len(one.horizons))]
    return {
        "horizons": [
            {
                "horizon": horizon,
                **{among: _difference(this[among], that[among], bootstrap) for among in SETS},
            }
            for horizon, (this, that) in zip(one.horizons, at, strict=True)
        ]
    }


def _difference(one: ClassifierOutput, other: ClassifierOutput, bootstrap: TimeBootstrap) -> JsonObject:
    """Compare predictions in one of the sets of windows, at one horizon."""
    gained = gain(one, other, bootstrap, CLASSIFICATION_SCORES)
    intervals = gained["interval"]
    assert isinstance(intervals, dict)
    same = len(one.true_N) > 0 and np.array_equal(one.predicted_N, other.predicted_N)
    return {
        "windows": len(one.true_N),
        **gained,
        "significant": {name: significance(name, intervals[name], same) for name in CLASSIFICATION_SCORES},
    }


def check_same_windows(one: Predictions, other: Predictions) -> None:
    """Raise `DataError`, naming what differs, unless both have the same windows, labels and horizons."""
    for field, what in _THE_SAME.items():
        if not np.array_equal(getattr(one, field), getattr(other, field)):
            raise DataError(f"predictions of different windows cannot be compared: their {what} differ")
