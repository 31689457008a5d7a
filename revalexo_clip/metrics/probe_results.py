"""Results of the probes, the object `probe` of `metrics.json`: all features, probes and horizons, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import NOT_IN_TRAINING, ClassifierOutput, gain, measure
from revalexo_clip.metrics.evaluated import SUPERVISED, Bools, EvaluatedWindows, Floats, Ints
from revalexo_clip.metrics.few_labels import UNTRAINED, FewLabels, Point, as_metrics
from revalexo_clip.metrics.gap_closed import gap_closed
from revalexo_clip.metrics.probe import PROBES, Fold, leave_one_subject_out, predict, training_rows

BASELINES = {"over_untrained": UNTRAINED, "over_handcrafted": "handcrafted"}
"""Baselines of the pretrained IMU encoder."""


@dataclass(frozen=True)
class ProbeResults:
    """Metrics and predictions of the probes."""

    metrics: JsonObject | None
    predictions: Mapping[str, Ints]
    """[N, K] under `<probe>/<features>`; `UNLABELLED` if a window could not be tested."""
    reason: str | None = None
    """Why there are no metrics."""


def unprobed(reason: str) -> ProbeResults:
    """Return results without metrics, with the reason."""
    return ProbeResults(None, {}, reason)


def probe_windows(
    windows: EvaluatedWindows,
    training: EvaluatedWindows | None,
    bootstrap: TimeBootstrap,
    on_progress: OnProgress = no_progress,
) -> ProbeResults:
    """Probe all features, with one subject left out at a time, or trained on `training` windows of other subjects.

    `training` is needed if there is a single evaluation subject, because then no subject can be left out.
    """
    task = _Task(windows, training, bootstrap)
    predictions = {}
    curves: dict[str, list[Point]] = {}
    single: dict[str, Point] = {}
    names = windows.feature_names
    for done, name in enumerate(names):
        features_NF = task.features(name)
        for probe in PROBES:
            found_NK = predict(probe, features_NF, task.label_NK, task.folds, task.classes)
            predictions[f"{probe}/{name}"] = found_NK[: len(windows)]
        if name in {"imu", *BASELINES.values(), SUPERVISED}:
            curves[name] = task.few.by_fraction(features_NF, predictions[f"linear/{name}"][:, 0], task.most_labels())
            single[name] = task.few.of_one_subject(features_NF)
        on_progress(done + 1, len(names))
    trained = windows if training is None else training
    metrics: JsonObject = {
        "protocol": "leave_one_subject_out" if training is None else "train_subjects",
        "trained_on": list(trained.subjects),
        "tested_on": list(windows.subjects),
        "training_windows": max(len(training_rows(fold, task.label_NK)) for fold in task.folds),
        "horizons": list(windows.horizons),
        "unlabelled": (windows.label_NK == UNLABELLED).sum(dim=0).tolist(),
        "activities": list(windows.activities),
        "never_trained": task.never_trained(),
        **{probe: {name: task.measure(predictions[f"{probe}/{name}"]) for name in names} for probe in PROBES},
        "gain": {
            probe: {
                over: task.gain(predictions[f"{probe}/imu"], predictions[f"{probe}/{name}"])
                for over, name in BASELINES.items()
            }
            for probe in PROBES
        },
        "transition_gain": {
            over: task.gain_in_transitions(predictions["linear/imu"], predictions[f"linear/{name}"])
            for over, name in BASELINES.items()
        },
        "gap_closed": task.gap_closed(predictions) if SUPERVISED in names else None,
        "confusion": task.confusion(predictions["linear/imu"]),
        **as_metrics(curves, single, BASELINES, bootstrap),
    }
    return ProbeResults(metrics, predictions)


class _Task:
    """Rows of the evaluated windows, followed by those of the training windows if there are any."""

    def __init__(self, windows: EvaluatedWindows, training: EvaluatedWindows | None, bootstrap: TimeBootstrap) -> None:
        self.windows = windows
        self.parts = (windows,) if training is None else (windows, training)
        self.bootstrap, self.unit_M = bootstrap, bootstrap.unit_N
        self.label_NK = np.concatenate([part.label_NK.numpy() for part in self.parts])
        self.transition_MK = windows.transition_NK.numpy()
        self.classes = len(windows.activities)
        if training is None:
            self.folds = leave_one_subject_out(windows.of_subject())
        else:
            rows = np.arange(len(self.label_NK))
            self.folds = [Fold(train=rows[len(windows) :], test=rows[: len(windows)])]
        self.untrained_MK = self._untrained()
        self.few = FewLabels(
            self.label_NK[:, 0], self.folds, self._single_subjects(), self.unit_M, len(windows.activities)
        )

    def _single_subjects(self) -> list[Fold]:
        """Return a fold for each subject with labels to train on: trained on it, and tested on all other subjects."""
        trained, first = self.parts[-1], len(self.label_NK) - len(self.parts[-1])
        subject_N = trained.of_subject()
        tested = np.arange(len(self.windows))
        return [
            Fold(first + np.flatnonzero(subject_N == one), tested if first else np.flatnonzero(subject_N != one))
            for one in np.unique(subject_N)
        ]

    def features(self, name: str) -> Floats:
        first, *others = (part.feature(name) for part in self.parts)
        return np.concatenate([first, *others]) if others else first

    def tested(self, predicted_MK: Ints, k: int, among_M: Bools | None = None) -> ClassifierOutput:
        """Return true and predicted activities of the labelled windows at one horizon."""
        label_M, predicted_M = self.label_NK[: len(self.windows), k], predicted_MK[:, k]
        rows = self._tested_rows(predicted_MK, k, among_M)
        return ClassifierOutput(label_M[rows], predicted_M[rows], self.unit_M[rows], self.classes)

    def _tested_rows(self, predicted_MK: Ints, k: int, among_M: Bools | None) -> Bools:
        rows: Bools = (self.label_NK[: len(self.windows), k] != UNLABELLED) & (predicted_MK[:, k] != UNLABELLED)
        return rows if among_M is None else rows & among_M

    def _untrained(self) -> Bools:
        """Return whether the activity of each evaluated window is missing in the training of its probe, [M, K]."""
        untrained_NK = np.zeros(self.label_NK.shape, dtype=bool)
        for fold in self.folds:
            trained = self.label_NK[training_rows(fold, self.label_NK)]
            untrained_NK[fold.test] = ~np.isin(self.label_NK[fold.test], trained[trained != UNLABELLED])
        found_NK = untrained_NK & (self.label_NK != UNLABELLED)
        return np.asarray(found_NK[: len(self.windows)])

    def never_trained(self) -> list[JsonValue]:
        """Return the activities with evaluated windows, none of which has a probe that was trained on the activity."""
        label_MK = self.label_NK[: len(self.windows)]
        return [
            name
            for label, name in enumerate(self.windows.activities)
            if (label_MK == label).any() and self.untrained_MK[label_MK == label].all()
        ]

    def measure(self, predicted_MK: Ints) -> list[JsonValue]:
        """Measure at each horizon: all windows, steady state, transitions."""
        return [
            {
                "horizon": horizon,
                "all": self._measure(predicted_MK, k, None),
                "steady": self._measure(predicted_MK, k, ~self.transition_MK[:, k]),
                "transition": self._measure(predicted_MK, k, self.transition_MK[:, k]),
            }
            for k, horizon in enumerate(self.windows.horizons)
        ]

    def _measure(self, predicted_MK: Ints, k: int, among_M: Bools | None) -> JsonObject:
        return {
            **measure(self.tested(predicted_MK, k, among_M), self.bootstrap),
            NOT_IN_TRAINING: int((self._tested_rows(predicted_MK, k, among_M) & self.untrained_MK[:, k]).sum()),
        }

    def confusion(self, predicted_MK: Ints) -> list[JsonValue]:
        """Return the confusion matrix at each horizon: rows are true activities, columns predicted ones."""
        return [
            {"horizon": horizon, "windows": self.tested(predicted_MK, k).confusion().tolist()}
            for k, horizon in enumerate(self.windows.horizons)
        ]

    def gain(self, one_MK: Ints, other_MK: Ints) -> list[JsonValue]:
        return [
            {"horizon": horizon, **gain(self.tested(one_MK, k), self.tested(other_MK, k), self.bootstrap)}
            for k, horizon in enumerate(self.windows.horizons)
        ]

    def gain_in_transitions(self, one_MK: Ints, other_MK: Ints) -> JsonObject:
        """Compare predictions for the windows in transitions at the first horizon."""
        among_M = self.transition_MK[:, 0]
        return gain(self.tested(one_MK, 0, among_M), self.tested(other_MK, 0, among_M), self.bootstrap)

    def gap_closed(self, predictions: Mapping[str, Ints]) -> JsonObject:
        """Return which share of the gap between untrained and supervised features is closed, at the first horizon."""
        ours, least, most = (self.tested(predictions[f"linear/{name}"], 0) for name in ("imu", UNTRAINED, SUPERVISED))
        return gap_closed([ours], [least], [most], self.bootstrap)

    def most_labels(self) -> int:
        """Return the largest number of labels at the first horizon that a probe is trained with."""
        rows = (training_rows(fold, self.label_NK) for fold in self.folds)
        return max(int((self.label_NK[of_fold, 0] != UNLABELLED).sum()) for of_fold in rows)


def can_be_trained(parts: Sequence[EvaluatedWindows]) -> bool:
    """Return whether any window has a label."""
    return any(bool((part.label_NK != UNLABELLED).any()) for part in parts)
