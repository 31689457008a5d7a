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
from revalexo_clip.metrics.classification import SCORES, ClassifierOutput, gain, measure, scores
from revalexo_clip.metrics.evaluated import FEATURES, Bools, EvaluatedWindows, Floats, Ints
from revalexo_clip.metrics.probe import (
    DRAWS,
    FRACTIONS,
    PROBES,
    Fold,
    leave_one_subject_out,
    predict,
    predict_with_few_labels,
    training_rows,
)

BASELINES = {"over_untrained": "imu_untrained", "over_handcrafted": "handcrafted"}
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
    few: JsonObject = {}
    for done, name in enumerate(FEATURES):
        features_NF = task.features(name)
        for probe in PROBES:
            found_NK = predict(probe, features_NF, task.label_NK, task.folds, task.classes)
            predictions[f"{probe}/{name}"] = found_NK[: len(windows)]
        if name in ("imu", *BASELINES.values()):
            few[name] = task.few_labels(features_NF, predictions[f"linear/{name}"])
        on_progress(done + 1, len(FEATURES))
    trained = windows if training is None else training
    metrics: JsonObject = {
        "protocol": "leave_one_subject_out" if training is None else "train_subjects",
        "trained_on": list(trained.subjects),
        "tested_on": list(windows.subjects),
        "training_windows": max(len(training_rows(fold, task.label_NK)) for fold in task.folds),
        "horizons": list(windows.horizons),
        "unlabelled": (windows.label_NK == UNLABELLED).sum(dim=0).tolist(),
        "activities": list(windows.activities),
        **{probe: {name: task.measure(predictions[f"{probe}/{name}"]) for name in FEATURES} for probe in PROBES},
        "gain": {
            probe: {
                over: task.gain(predictions[f"{probe}/imu"], predictions[f"{probe}/{name}"])
                for over, name in BASELINES.items()
            }
            for probe in PROBES
        },
        "confusion": task.confusion(predictions["linear/imu"]),
        "few_labels": few,
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

    def features(self, name: str) -> Floats:
        first, *others = (part.feature(name) for part in self.parts)
        return np.concatenate([first, *others]) if others else first

    def tested(self, predicted_MK: Ints, k: int, among_M: Bools | None = None) -> ClassifierOutput:
        """Return true and predicted activities of the labelled windows at one horizon."""
        label_M, predicted_M = self.label_NK[: len(self.windows), k], predicted_MK[:, k]
        rows = (label_M != UNLABELLED) & (predicted_M != UNLABELLED)
        if among_M is not None:
            rows &= among_M
        return ClassifierOutput(label_M[rows], predicted_M[rows], self.unit_M[rows], self.classes)

    def measure(self, predicted_MK: Ints) -> list[JsonValue]:
        """Measure at each horizon: all windows, steady state, transitions."""
        return [
            {
                "horizon": horizon,
                "all": measure(self.tested(predicted_MK, k), self.bootstrap),
                "steady": measure(self.tested(predicted_MK, k, ~self.transition_MK[:, k]), self.bootstrap),
                "transition": measure(self.tested(predicted_MK, k, self.transition_MK[:, k]), self.bootstrap),
            }
            for k, horizon in enumerate(self.windows.horizons)
        ]

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

    def few_labels(self, features_NF: Floats, of_all_MK: Ints) -> list[JsonValue]:
        """Compute scores at the first horizon for each fraction of the labels, averaged over draws.

        The last scores are those of the linear probe with all labels, which predicted `of_all_MK`.
        """
        label_N = self.label_NK[:, 0]
        curve: list[JsonValue] = []
        for fraction in FRACTIONS:
            draws = [
                predict_with_few_labels(features_NF, label_N, self.folds, self.classes, fraction=fraction, draw=draw)
                for draw in range(DRAWS)
            ]
            curve.append(self._averaged(fraction, draws[0][1], [predicted_N for predicted_N, _ in draws]))
        rows = (training_rows(fold, self.label_NK) for fold in self.folds)
        most = max(int((label_N[of_fold] != UNLABELLED).sum()) for of_fold in rows)
        return [*curve, self._averaged(1.0, most, [of_all_MK[:, 0]])]

    def _averaged(self, fraction: float, used: int, draws: Sequence[Ints]) -> JsonObject:
        windows: JsonObject = {"fraction": fraction, "windows": used}
        tested = [self.tested(predicted_N[: len(self.windows), None], 0) for predicted_N in draws]
        if len(tested[0].true_N) == 0:
            return windows | dict.fromkeys(SCORES)
        values = scores(np.stack([one.confusion() for one in tested])).mean(axis=0)
        return windows | dict(zip(SCORES, values.tolist(), strict=True))


def can_be_trained(parts: Sequence[EvaluatedWindows]) -> bool:
    """Return whether any window has a label."""
    return any(bool((part.label_NK != UNLABELLED).any()) for part in parts)
