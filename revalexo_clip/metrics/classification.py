"""Classification scores over all classes and by class, as defined by scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.between_subjects import between_subjects
from revalexo_clip.metrics.blocks import LEAST_BLOCKS
from revalexo_clip.metrics.bootstrap import COVERAGE, DIFFERENCE, SHARE, TimeBootstrap
from revalexo_clip.metrics.evaluated import Bools, Floats, Ints
from revalexo_clip.metrics.exact_bounds import Interval

SCORES = ("accuracy", "macro_f1", "weighted_f1")
"""Scores of a probe."""
CLASSIFICATION_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
"""Scores of an activity classifier."""
CLASS_FIGURES = ("precision", "recall", "f1")
NOT_IN_TRAINING = "not_in_training"
"""Name of the number of windows whose activity no training window has. They cannot be classified correctly."""


@dataclass(frozen=True)
class ClassifierOutput:
    """True and predicted classes of N windows, and the units of time of these windows."""

    true_N: Ints
    predicted_N: Ints
    unit_N: Ints
    classes: int

    def among(self, row_N: Bools) -> ClassifierOutput:
        """Return some of the windows."""
        return ClassifierOutput(self.true_N[row_N], self.predicted_N[row_N], self.unit_N[row_N], self.classes)

    def confusion(self) -> Ints:
        """Return the confusion matrix in windows, [A, A]: rows are true classes, columns predicted ones."""
        return np.bincount(self._cells(), minlength=self.classes**2).reshape(self.classes, self.classes)

    def resampled_confusion(self, bootstrap: TimeBootstrap) -> Floats:
        """Return the confusion matrix of each resample, [R, A, A]."""
        cell_RC = bootstrap.totals(self._cells(), self.classes**2, self.unit_N)
        return cell_RC.reshape(-1, self.classes, self.classes)

    def resampled(self, bootstrap: TimeBootstrap, names: Sequence[str] = SCORES) -> Floats:
        """Compute the named scores of each resample, [R, M]."""
        return scores(self.resampled_confusion(bootstrap), names)

    def of_each_subject(self, bootstrap: TimeBootstrap, names: Sequence[str] = SCORES) -> Floats:
        """Compute the named scores of the windows of each subject, [S, M]."""
        subjects, subject_N = np.unique(bootstrap.subject_U[self.unit_N], return_inverse=True)
        cell_N = subject_N * self.classes**2 + self._cells()
        count = np.bincount(cell_N, minlength=len(subjects) * self.classes**2)
        return scores(count.reshape(-1, self.classes, self.classes), names)

    def units(self) -> Ints:
        """Count the units of time that contain windows of each class, [A]."""
        of_unit_P = np.unique(self.unit_N * self.classes + self.true_N)
        return np.bincount(of_unit_P % self.classes, minlength=self.classes)

    def _cells(self) -> Ints:
        return self.true_N * self.classes + self.predicted_N


def by_class(confusion_RAA: Floats | Ints) -> Floats:
    """Compute the `CLASS_FIGURES` of each class of R confusion matrices, [R, A, 3].

    NaN if undefined: the precision of a class that is never predicted, the recall of a class that is never true, the F1
    of a class that is neither.
    """
    hit_RA = np.diagonal(confusion_RAA, axis1=1, axis2=2).astype(float)
    true_RA, predicted_RA = confusion_RAA.sum(axis=2), confusion_RAA.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.stack([hit_RA / predicted_RA, hit_RA / true_RA, 2 * hit_RA / (true_RA + predicted_RA)], axis=2)


def scores(confusion_RAA: Floats | Ints, names: Sequence[str] = SCORES) -> Floats:
    """Compute the named scores of R confusion matrices (rows: true classes), [R, M]; NaN if a matrix is empty.

    As in scikit-learn, the macro F1 is the mean over classes that are true or predicted for some window, and the
    balanced accuracy is the mean recall of the classes that are true for some window.
    """
    _, recall_RA, f1_RA = np.moveaxis(by_class(confusion_RAA), 2, 0)
    true_RA = confusion_RAA.sum(axis=2)
    hit_R, total_R = np.trace(confusion_RAA, axis1=1, axis2=2), true_RA.sum(axis=1)
    with np.errstate(invalid="ignore"):
        found = {
            "accuracy": hit_R / total_R,
            "balanced_accuracy": _mean_of_known(recall_RA),
            "macro_f1": _mean_of_known(f1_RA),
            "weighted_f1": np.nansum(f1_RA * true_RA, axis=1) / total_R,
        }
    return np.stack([found[name] for name in names], axis=1)


def _mean_of_known(figure_RA: Floats) -> Floats:
    return np.asarray(np.nansum(figure_RA, axis=1) / np.isfinite(figure_RA).sum(axis=1))


def measure(output: ClassifierOutput, bootstrap: TimeBootstrap, names: Sequence[str] = SCORES) -> JsonObject:
    """Return the named scores with their intervals; null if there is no window.

    The macro F1 has no interval if a class occurs in few units of time: such a class is missing from many resamples,
    and the macro F1, in which all classes have the same weight, would be too low there. If all windows or none are
    predicted correctly, intervals are those of `exact_intervals`.
    """
    windows = len(output.true_N)
    if windows == 0:
        return {"windows": 0, **_without_windows(names)}
    confusion_AA = output.confusion()
    value_M, resampled_RM = scores(confusion_AA[None], names)[0], output.resampled(bootstrap, names)
    counted_A = (confusion_AA.sum(axis=0) + confusion_AA.sum(axis=1)) > 0
    if (output.units()[counted_A] < LEAST_BLOCKS).any():
        resampled_RM[:, [name == "macro_f1" for name in names]] = np.nan
    ranges = dict.fromkeys(names, SHARE)
    exact = exact_intervals(output, bootstrap)
    intervals = bootstrap.intervals(names, resampled_RM, output.unit_N, ranges)
    return {
        "windows": windows,
        **dict(zip(names, value_M.tolist(), strict=True)),
        "interval": intervals if exact is None else {name: list(exact[name]) for name in names},
        "between_subjects": between_subjects(names, output.of_each_subject(bootstrap, names), ranges),
    }


def exact_intervals(
    output: ClassifierOutput, bootstrap: TimeBootstrap, probability: float = (1 - COVERAGE) / 2
) -> dict[str, Interval] | None:
    """Return exact intervals of the `CLASSIFICATION_SCORES` if all windows or none are right; otherwise None.

    If the least share of units that are entirely right is p, then accuracy, the recall of a class and TP / (TP + FP +
    FN) are at least p, and so is F1 = 2 TP / (2 TP + FP + FN). If none is right, recall is at most 1 - p, and F1 at
    most 2 (1 - p) / (2 - p). p is that of the units in which the class occurs, and means over classes are those of
    their bounds. `probability` is the error probability of each end.
    """
    right = float((output.true_N == output.predicted_N).mean()) if len(output.true_N) else None
    if right not in (0.0, 1.0):
        return None
    confusion_AA = output.confusion()
    support_A = confusion_AA.sum(axis=1)
    share_A2 = np.array(
        [
            [bootstrap.least_share(output.unit_N[row_N], probability) for row_N in (true_N, true_N | predicted_N)]
            for true_N, predicted_N in zip(*_one_hot(output), strict=True)
        ]
    )
    overall = bootstrap.least_share(output.unit_N, probability)
    recall_A, f1_A = share_A2.T if right else ((1 - share_A2[:, 0]), 2 * (1 - share_A2[:, 1]) / (2 - share_A2[:, 1]))
    true_A, counted_A = support_A > 0, (support_A + confusion_AA.sum(axis=0)) > 0
    ends = {
        "accuracy": overall if right else 1 - overall,
        "balanced_accuracy": float(recall_A[true_A].mean()),
        "macro_f1": float(f1_A[counted_A].mean()),
        "weighted_f1": float((f1_A * support_A).sum() / support_A.sum()),
    }
    return {name: (end, 1.0) if right else (0.0, end) for name, end in ends.items()}


def _one_hot(output: ClassifierOutput) -> tuple[Bools, Bools]:
    """Return which windows are true and which are predicted for each class, [A, N] each."""
    label_A1 = np.arange(output.classes)[:, None]
    return output.true_N == label_A1, output.predicted_N == label_A1


def gain(
    one: ClassifierOutput, other: ClassifierOutput, bootstrap: TimeBootstrap, names: Sequence[str] = SCORES
) -> JsonObject:
    """Return the differences between the scores of two predictions for the same windows.

    Intervals and p-values are paired.
    """
    if len(one.true_N) == 0:
        return {**_without_windows(names), "p_value": dict.fromkeys(names)}
    value_M = scores(one.confusion()[None], names)[0] - scores(other.confusion()[None], names)[0]
    own_SM = one.of_each_subject(bootstrap, names) - other.of_each_subject(bootstrap, names)
    return {
        **dict(zip(names, value_M.tolist(), strict=True)),
        **paired_intervals([(one, other)], bootstrap, names),
        "between_subjects": between_subjects(names, own_SM),
    }


def paired_intervals(
    pairs: Sequence[tuple[ClassifierOutput, ClassifierOutput]], bootstrap: TimeBootstrap, names: Sequence[str] = SCORES
) -> JsonObject:
    """Return `interval` and `p_value` of the mean difference of pairs of predictions, see `metrics.json`.

    If both of a single pair are right for all windows or for none, the interval is the difference of their exact ones.
    There is none if both predict the same.
    """
    change_RM = np.mean(
        [one.resampled(bootstrap, names) - other.resampled(bootstrap, names) for one, other in pairs], 0
    )
    unit_N = np.concatenate([one.unit_N for one, _ in pairs])
    if len(pairs) == 1 and bootstrap.units.interval_reason() is None:
        exact = _exact_differences(*pairs[0], bootstrap, names)
        if exact is not None:
            return exact
    ranges = dict.fromkeys(names, DIFFERENCE)
    return {
        "interval": bootstrap.intervals(names, np.asarray(change_RM), unit_N, ranges),
        "p_value": bootstrap.p_values(names, np.asarray(change_RM), unit_N, ranges),
    }


_LEAST_P, _HALVINGS = 1e-6, 30
"""Smallest p-value that is told apart from zero, and halvings of the range in which one is searched."""


def _exact_differences(
    one: ClassifierOutput, other: ClassifierOutput, bootstrap: TimeBootstrap, names: Sequence[str]
) -> JsonObject | None:
    """Return `interval` and `p_value` if both are right for all windows or for none, and not the same; else None."""
    if np.array_equal(one.predicted_N, other.predicted_N):
        return None

    def at(error: float) -> dict[str, Interval] | None:
        ours, theirs = (exact_intervals(each, bootstrap, error / 2) for each in (one, other))
        if ours is None or theirs is None:
            return None
        return {name: (ours[name][0] - theirs[name][1], ours[name][1] - theirs[name][0]) for name in names}

    found = at(1 - COVERAGE)
    if found is None:
        return None
    return {
        "interval": {name: list(ends) for name, ends in found.items()},
        "p_value": {name: _smallest_error(at, name) for name in names},
    }


def _smallest_error(at: Callable[[float], Mapping[str, Interval] | None], name: str) -> float:
    """Return the smallest error probability at which an interval does not contain zero; 1 if it always does."""

    def contains_zero(error: float) -> bool:
        found = at(error)
        return found is None or found[name][0] <= 0 <= found[name][1]

    low, high = _LEAST_P, 1.0
    if contains_zero(high):
        return 1.0
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if contains_zero(middle) else (low, middle)
    return high


def _without_windows(names: Sequence[str]) -> JsonObject:
    return {**dict.fromkeys(names), "interval": dict.fromkeys(names), "between_subjects": None}
