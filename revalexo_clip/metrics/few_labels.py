"""Linear probes with few labels: a share of the labels of each activity, or all labels of a single subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import SCORES, ClassifierOutput, paired_intervals, scores
from revalexo_clip.metrics.evaluated import SUPERVISED, Floats, Ints
from revalexo_clip.metrics.gap_closed import gap_closed
from revalexo_clip.metrics.probe import DRAWS, FRACTIONS, Fold, predict, predict_with_few_labels

PRETRAINED, UNTRAINED = "imu", "imu_untrained"
"""Features that are compared with the baselines, and those without any training."""


@dataclass(frozen=True)
class Point:
    """Predictions for the test windows by probes that were trained with one number of labels."""

    described: JsonObject
    """How many labels: `fraction` and `windows`, or `subjects` and `windows`."""
    draws: Sequence[ClassifierOutput]
    """Predictions with each random selection of labels, or with the labels of each subject."""

    def scores(self) -> JsonObject:
        """Return the `SCORES`, averaged over draws; null if no window was tested."""
        tested = [draw for draw in self.draws if len(draw.true_N)]
        if not tested:
            return self.described | dict.fromkeys(SCORES)
        values = scores(np.stack([draw.confusion() for draw in tested])).mean(axis=0)
        return self.described | dict(zip(SCORES, values.tolist(), strict=True))

    def gain(self, other: Point, bootstrap: TimeBootstrap) -> JsonObject:
        """Return the mean differences to other features with the same labels, with paired intervals."""
        pairs = [pair for pair in zip(self.draws, other.draws, strict=True) if all(len(one.true_N) for one in pair)]
        if not pairs:
            nothing: JsonObject = dict.fromkeys(SCORES)
            return self.described | {**nothing, "interval": {**nothing}, "p_value": {**nothing}}
        value_M: Floats = np.mean([_of(one) - _of(another) for one, another in pairs], axis=0)
        found = dict(zip(SCORES, value_M.tolist(), strict=True))
        return self.described | found | paired_intervals(pairs, bootstrap)


def _of(output: ClassifierOutput) -> Floats:
    return np.asarray(scores(output.confusion()[None])[0])


@dataclass(frozen=True)
class FewLabels:
    """Labelled windows at one horizon: N rows, of which the first M are tested, and others may be for training only."""

    label_N: Ints
    folds: Sequence[Fold]
    """Training and test rows with all labels."""
    single_subjects: Sequence[Fold]
    """The rows of each training subject, and the test rows of all other subjects."""
    unit_M: Ints
    """Unit of time of each tested row."""
    classes: int

    def by_fraction(self, features_NF: Floats, of_all_N: Ints, most: int) -> list[Point]:
        """Probe features with each of the `FRACTIONS` of the labels, and with all of them.

        `of_all_N` are the predictions with all labels, whose number is `most`.
        """
        points = []
        for fraction in FRACTIONS:
            found = [
                predict_with_few_labels(
                    features_NF, self.label_N, self.folds, self.classes, fraction=fraction, draw=draw
                )
                for draw in range(DRAWS)
            ]
            described: JsonObject = {"fraction": fraction, "windows": found[0][1]}
            points.append(Point(described, [self._tested(predicted_N) for predicted_N, _ in found]))
        return [*points, Point({"fraction": 1.0, "windows": most}, [self._tested(of_all_N)])]

    def of_one_subject(self, features_NF: Floats) -> Point:
        """Probe features with the labels of a single subject, for each of them, tested on all others."""
        label_N1 = self.label_N[:, None]
        draws = [
            self._tested(predict("linear", features_NF, label_N1, [fold], self.classes)[:, 0])
            for fold in self.single_subjects
        ]
        windows = max((int((self.label_N[fold.train] >= 0).sum()) for fold in self.single_subjects), default=0)
        return Point({"subjects": 1, "windows": windows}, draws)

    def _tested(self, predicted_N: Ints) -> ClassifierOutput:
        tested = len(self.unit_M)
        label_M, predicted_M = self.label_N[:tested], predicted_N[:tested]
        rows = (label_M >= 0) & (predicted_M >= 0)
        return ClassifierOutput(label_M[rows], predicted_M[rows], self.unit_M[rows], self.classes)


def as_metrics(
    curves: Mapping[str, Sequence[Point]],
    single: Mapping[str, Point],
    baselines: Mapping[str, str],
    bootstrap: TimeBootstrap,
) -> JsonObject:
    """Return the objects `few_labels`, `one_subject` and their gains of `metrics.json`, by features and by baseline.

    Shares of the gap to the `SUPERVISED` features are null if these are not among the curves.
    """
    scored: JsonObject = {name: [point.scores() for point in points] for name, points in curves.items()}
    gained: JsonObject = {over: _gains(curves[PRETRAINED], curves[name], bootstrap) for over, name in baselines.items()}
    return {
        "few_labels": scored,
        "few_labels_gain": gained,
        "one_subject": {name: point.scores() for name, point in single.items()},
        "one_subject_gain": {
            over: single[PRETRAINED].gain(single[name], bootstrap) for over, name in baselines.items()
        },
        "few_labels_gap_closed": [_closed(points, bootstrap) for points in _by_place(curves)] or None,
        "one_subject_gap_closed": _closed(single, bootstrap) if SUPERVISED in single else None,
    }


def _by_place(curves: Mapping[str, Sequence[Point]]) -> list[Mapping[str, Point]]:
    """Return the points of all features with each number of labels; none without `SUPERVISED` features."""
    if SUPERVISED not in curves:
        return []
    return [{name: points[place] for name, points in curves.items()} for place in range(len(curves[SUPERVISED]))]


def _closed(points: Mapping[str, Point], bootstrap: TimeBootstrap) -> JsonObject:
    """Return which share of the gap is closed with one number of labels."""
    pretrained, untrained, supervised = (points[name] for name in (PRETRAINED, UNTRAINED, SUPERVISED))
    return pretrained.described | gap_closed(pretrained.draws, untrained.draws, supervised.draws, bootstrap)


def _gains(ours: Sequence[Point], theirs: Sequence[Point], bootstrap: TimeBootstrap) -> list[JsonValue]:
    return [one.gain(other, bootstrap) for one, other in zip(ours, theirs, strict=True)]
