"""Test results of an activity classifier: at every horizon, in steady states and transitions, by activity and subject.

Scores are those of `classification`; docs/metrics.md explains each name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.bootstrap import ClipBootstrap, interval_reason
from revalexo_clip.metrics.classification import (
    CLASS_FIGURES,
    CLASSIFICATION_SCORES,
    ClassifierOutput,
    by_class,
    measure,
    scores,
)
from revalexo_clip.metrics.evaluated import Ints, Predictions

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
        yield f"Activities without training windows, so the classifier could not learn them: {missed}.{held}"


def _at_horizons(predictions: Predictions, among: str, count_K: Ints) -> Iterator[str]:
    empty = [f"{horizon:g} s" for horizon, count in zip(predictions.horizons, count_K, strict=True) if not count]
    if len(empty) == len(predictions.horizons):
        yield f"No window {_WHICH[among]}, so there are no results for this set."
    elif empty:
        yield f"No window {_WHICH[among]} at horizon {', '.join(empty)}."


SETS = ("all", "steady", "transition")
"""Sets of the windows with a label at a horizon: all; in a steady state at that time; in a transition."""


def measure_classification(
    predictions: Predictions, bootstrap: ClipBootstrap, trained_classes: Collection[str] | None = None
) -> JsonObject:
    """Compute all test results of an activity classifier with intervals; null with a reason if there are no windows.

    `bootstrap` resamples the clips of the predictions. `trained_classes` are the activities of the training windows,
    None if they are not known.
    """
    activities = predictions.activities
    at = [outputs_at(predictions, k) for k in range(len(predictions.horizons))]
    tested = {int(label) for label in np.unique(predictions.label_NK)}
    never_tested = [name for label, name in enumerate(activities) if label not in tested]
    never_trained = None if trained_classes is None else [name for name in activities if name not in trained_classes]
    clips, subjects = len(np.unique(predictions.clip_N)), _subjects(predictions)
    return {
        "windows": len(predictions),
        "clips": clips,
        "interval_reason": interval_reason(clips, len(subjects)),
        "activities": list(activities),
        "never_tested": list(never_tested),
        "never_trained": None if never_trained is None else list(never_trained),
        "missing": list(missing(predictions, never_tested, never_trained)),
        "horizons": [
            {
                "horizon": horizon,
                "unlabelled": len(predictions) - len(found["all"].true_N),
                **{
                    among: _measure_set(found[among], activities, bootstrap, no_window(among, horizon))
                    for among in SETS
                },
            }
            for horizon, found in zip(predictions.horizons, at, strict=True)
        ],
        "subjects": {
            subject: _of_subject(predictions, subject, [found["all"] for found in at], bootstrap)
            for subject in subjects
        },
    }


def outputs_at(predictions: Predictions, k: int) -> Mapping[str, ClassifierOutput]:
    """Return true and predicted activities at horizon number k, in each of the `SETS`."""
    label_N, transition_N = predictions.label_NK[:, k], predictions.transition_NK[:, k]
    everything = ClassifierOutput(
        label_N, predictions.predicted()[:, k], predictions.clip_N, len(predictions.activities)
    )
    labelled_N = label_N != UNLABELLED
    return {
        "all": everything.among(labelled_N),
        "steady": everything.among(labelled_N & ~transition_N),
        "transition": everything.among(labelled_N & transition_N),
    }


def _measure_set(
    found: ClassifierOutput, activities: Sequence[str], bootstrap: ClipBootstrap, empty: str
) -> JsonObject:
    """Measure one of the `SETS` at one horizon; `empty` is the reason if it has no window."""
    confusion_AA = found.confusion()
    return {
        **measure(found, bootstrap, CLASSIFICATION_SCORES),
        "clips": len(np.unique(found.clip_N)),
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


def _classes(found: ClassifierOutput, activities: Sequence[str], bootstrap: ClipBootstrap) -> JsonObject:
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
            interval = bootstrap.interval(resampled_RA3[:, label, number], found.clip_N[row_N])
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


def _subjects(predictions: Predictions) -> list[str]:
    """Return the subjects with windows, sorted."""
    return sorted({predictions.clip_subjects[clip] for clip in np.unique(predictions.clip_N)})


def _of_subject(
    predictions: Predictions, subject: str, at: Sequence[ClassifierOutput], bootstrap: ClipBootstrap
) -> JsonObject:
    """Compute the scores of the windows of one subject at each horizon."""
    own_J = np.array([one == subject for one in predictions.clip_subjects])
    own_N = own_J[predictions.clip_N]
    horizons: list[JsonValue] = [
        {"horizon": horizon, **measure(found.among(own_J[found.clip_N]), bootstrap, CLASSIFICATION_SCORES)}
        for horizon, found in zip(predictions.horizons, at, strict=True)
    ]
    return {
        "windows": int(own_N.sum()),
        "clips": len(np.unique(predictions.clip_N[own_N])),
        "horizons": horizons,
    }
