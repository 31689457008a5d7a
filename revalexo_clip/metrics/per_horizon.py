"""Test results of an activity classifier: at every horizon, in steady states and transitions, by activity and subject.

Scores are those of `classification`; docs/metrics.md explains each name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.bootstrap import SHARE, TimeBootstrap
from revalexo_clip.metrics.classification import (
    CLASS_FIGURES,
    CLASSIFICATION_SCORES,
    NOT_IN_TRAINING,
    ClassifierOutput,
    by_class,
    measure,
    scores,
)
from revalexo_clip.metrics.evaluated import Bools, Ints, Predictions

_WHICH = {
    "all": "has a label",
    "steady": "with a label is in a steady state",
    "transition": "with a label is in a transition",
}


def no_window(among: str, horizon: float) -> str:
    """Return why a set of windows is empty at a horizon."""
    return f"no window {_WHICH[among]} at horizon {horizon:g} s"


def missing(
    predictions: Predictions, never_tested: Sequence[str], never_trained: Sequence[str] | None
) -> Iterator[str]:
    """Yield a sentence for everything that could not be measured, and for results that are easily misread."""
    labelled_NK, transition_NK = predictions.label_NK != UNLABELLED, predictions.transition_NK
    count_K = labelled_NK.sum(axis=0)
    if not count_K.any():
        yield "No window has a label, so nothing was measured."
        return
    yield from _at_horizons(predictions, "all", count_K)
    for among, moving in (("steady", False), ("transition", True)):
        yield from _at_horizons(predictions, among, (labelled_NK & (transition_NK == moving)).sum(axis=0))
    occurring = [name for name in predictions.activities if name not in never_tested]
    if len(occurring) == 1:
        yield f"All windows are {occurring[0]}: the results do not say whether activities are distinguished."
    elif never_tested:
        predicted = {predictions.activities[label] for label in np.unique(predictions.predicted()[labelled_NK])}
        named = [name for name in never_tested if name in predicted]
        lower = f" Predictions of {', '.join(named)} lower the macro F1." if named else ""
        yield f"Activities without test windows, so not tested: {', '.join(never_tested)}.{lower}"
    if never_trained:
        tested = [name for name in never_trained if name in occurring]
        held = f" Their test windows ({', '.join(tested)}) count as errors." if tested else ""
        missed = ", ".join(never_trained)
        yield f"Activities that are not in training, so the classifier could not learn them: {missed}.{held}"


def _at_horizons(predictions: Predictions, among: str, count_K: Ints) -> Iterator[str]:
    empty = [f"{horizon:g} s" for horizon, count in zip(predictions.horizons, count_K, strict=True) if not count]
    if len(empty) == len(predictions.horizons):
        yield f"No window {_WHICH[among]}, so there are no results for this set."
    elif empty:
        yield f"No window {_WHICH[among]} at horizon {', '.join(empty)}."


SETS = ("all", "steady", "transition")
"""Sets of the windows with a label at a horizon: all; in a steady state at that time; in a transition."""


def measure_classification(
    predictions: Predictions, bootstrap: TimeBootstrap, trained_classes: Collection[str] | None = None
) -> JsonObject:
    """Compute all test results of an activity classifier with intervals; null with a reason if there are no windows.

    `bootstrap` resamples the units of time of the predictions. `trained_classes` are the activities of the training
    windows, None if they are not known.
    """
    activities = predictions.activities
    at = [outputs_at(predictions, k, bootstrap.unit_N) for k in range(len(predictions.horizons))]
    tested = {int(label) for label in np.unique(predictions.label_NK)}
    never_tested = [name for label, name in enumerate(activities) if label not in tested]
    never_trained = None if trained_classes is None else [name for name in activities if name not in trained_classes]
    return {
        "windows": len(predictions),
        "clips": len(np.unique(predictions.clip_N)),
        **bootstrap.units.as_metrics(),
        "activities": list(activities),
        "never_tested": list(never_tested),
        "never_trained": None if never_trained is None else list(never_trained),
        "missing": list(missing(predictions, never_tested, never_trained)),
        "horizons": [_at_horizon(predictions, k, found, bootstrap, never_trained) for k, found in enumerate(at)],
        "subjects": {
            subject: _of_subject(predictions, subject, [found["all"] for found in at], bootstrap)
            for subject in sorted(set(bootstrap.units.unit_subjects))
        },
    }


def outputs_at(predictions: Predictions, k: int, unit_N: Ints) -> Mapping[str, ClassifierOutput]:
    """Return true and predicted activities at horizon number k, in each of the `SETS`; `unit_N` as in `TimeUnits`."""
    predicted_N = predictions.predicted()[:, k]
    everything = ClassifierOutput(predictions.label_NK[:, k], predicted_N, unit_N, len(predictions.activities))
    return {among: everything.among(row_N) for among, row_N in _rows_at(predictions, k).items()}


def _rows_at(predictions: Predictions, k: int) -> Mapping[str, Bools]:
    """Return which windows are in each of the `SETS` at horizon number k, [N]."""
    labelled_N, transition_N = predictions.label_NK[:, k] != UNLABELLED, predictions.transition_NK[:, k]
    return {"all": labelled_N, "steady": labelled_N & ~transition_N, "transition": labelled_N & transition_N}


def _at_horizon(
    predictions: Predictions,
    k: int,
    found: Mapping[str, ClassifierOutput],
    bootstrap: TimeBootstrap,
    never_trained: Collection[str] | None,
) -> JsonObject:
    """Measure each of the `SETS` at horizon number k."""
    horizon, rows = predictions.horizons[k], _rows_at(predictions, k)
    measured: JsonObject = {"horizon": horizon, "unlabelled": len(predictions) - len(found["all"].true_N)}
    for among in SETS:
        clips = len(np.unique(predictions.clip_N[rows[among]]))
        of_set = _measure_set(found[among], predictions.activities, bootstrap, no_window(among, horizon))
        untrained = not_in_training(found[among], predictions.activities, never_trained)
        measured[among] = {"clips": clips, NOT_IN_TRAINING: untrained, **of_set}
    return measured


def not_in_training(
    found: ClassifierOutput, activities: Sequence[str], never_trained: Collection[str] | None
) -> int | None:
    """Count the windows whose activity no training window has; None if that is not known."""
    if never_trained is None:
        return None
    return int(np.isin(found.true_N, [activities.index(name) for name in never_trained]).sum())


def _measure_set(
    found: ClassifierOutput, activities: Sequence[str], bootstrap: TimeBootstrap, empty: str
) -> JsonObject:
    """Measure one of the `SETS` at one horizon; `empty` is the reason if it has no window."""
    confusion_AA = found.confusion()
    return {
        **measure(found, bootstrap, CLASSIFICATION_SCORES),
        "reason": None if len(found.true_N) else empty,
        "chance": _chance(confusion_AA, activities),
        "classes": _classes(found, activities, bootstrap),
        "confusion": confusion_AA.tolist(),
    }


def _chance(confusion_AA: Ints, activities: Sequence[str]) -> JsonObject:
    """Compute the scores of always predicting the most frequent activity, the best score without any input."""
    true_A = confusion_AA.sum(axis=1)
    if not true_A.any():
        return {"activity": None, **dict.fromkeys(CLASSIFICATION_SCORES)}
    most = int(true_A.argmax())
    always_AA = np.zeros_like(confusion_AA)
    always_AA[:, most] = true_A
    values = scores(always_AA[None], CLASSIFICATION_SCORES)[0].tolist()
    return {"activity": activities[most], **dict(zip(CLASSIFICATION_SCORES, values, strict=True))}


def _classes(found: ClassifierOutput, activities: Sequence[str], bootstrap: TimeBootstrap) -> JsonObject:
    """Return for each activity its number of true and of predicted windows, and its `CLASS_FIGURES`."""
    confusion_AA = found.confusion()
    figure_A3 = by_class(confusion_AA[None])[0]
    resampled_RA3 = by_class(found.resampled_confusion(bootstrap))
    classes: JsonObject = {}
    for label, name in enumerate(activities):
        true_N, predicted_N = found.true_N == label, found.predicted_N == label
        rows = dict(zip(CLASS_FIGURES, (predicted_N, true_N, true_N | predicted_N), strict=True))
        intervals: JsonObject = {}
        for number, (figure, row_N) in enumerate(rows.items()):
            interval = bootstrap.interval(resampled_RA3[:, label, number], found.unit_N[row_N], SHARE)
            if interval and figure == "f1" and figure_A3[label, number] == 0:
                interval = (0.0, 2 * interval[1] / (1 + interval[1]))  # of TP / (TP + FP + FN), which F1 exceeds
            intervals[figure] = interval and list(interval)
        classes[name] = {
            "support": int(true_N.sum()),
            "predicted": int(predicted_N.sum()),
            **{
                figure: float(value) if np.isfinite(value) else None
                for figure, value in zip(CLASS_FIGURES, figure_A3[label], strict=True)
            },
            "interval": intervals,
        }
    return classes


def _of_subject(
    predictions: Predictions, subject: str, at: Sequence[ClassifierOutput], bootstrap: TimeBootstrap
) -> JsonObject:
    """Compute the scores of the windows of one subject at each horizon."""
    own_U = np.array([one == subject for one in bootstrap.units.unit_subjects])
    own_N = own_U[bootstrap.unit_N]
    horizons: list[JsonValue] = [
        {"horizon": horizon, **measure(found.among(own_U[found.unit_N]), bootstrap, CLASSIFICATION_SCORES)}
        for horizon, found in zip(predictions.horizons, at, strict=True)
    ]
    return {
        "windows": int(own_N.sum()),
        "clips": len(np.unique(predictions.clip_N[own_N])),
        "horizons": horizons,
    }
