"""Classification scores over all classes and by class, as defined by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.between_subjects import between_subjects
from revalexo_clip.metrics.blocks import LEAST_BLOCKS
from revalexo_clip.metrics.bootstrap import SHARE, TimeBootstrap
from revalexo_clip.metrics.evaluated import Bools, Floats, Ints

SCORES = ("accuracy", "macro_f1", "weighted_f1")
"""Scores of a probe."""
CLASSIFICATION_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
"""Scores of an activity classifier."""
CLASS_FIGURES = ("precision", "recall", "f1")


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
    and the macro F1, in which all classes have the same weight, would be too low there.
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
    return {
        "windows": windows,
        **dict(zip(names, value_M.tolist(), strict=True)),
        "interval": bootstrap.intervals(names, resampled_RM, output.unit_N, ranges),
        "between_subjects": between_subjects(names, output.of_each_subject(bootstrap, names), ranges),
    }


def gain(
    one: ClassifierOutput, other: ClassifierOutput, bootstrap: TimeBootstrap, names: Sequence[str] = SCORES
) -> JsonObject:
    """Return the differences between the scores of two predictions for the same windows, with paired intervals."""
    if len(one.true_N) == 0:
        return _without_windows(names)
    value_M = scores(one.confusion()[None], names)[0] - scores(other.confusion()[None], names)[0]
    resampled_RM = one.resampled(bootstrap, names) - other.resampled(bootstrap, names)
    own_SM = one.of_each_subject(bootstrap, names) - other.of_each_subject(bootstrap, names)
    return {
        **dict(zip(names, value_M.tolist(), strict=True)),
        "interval": bootstrap.intervals(names, resampled_RM, one.unit_N),
        "between_subjects": between_subjects(names, own_SM),
    }


def _without_windows(names: Sequence[str]) -> JsonObject:
    return {**dict.fromkeys(names), "interval": dict.fromkeys(names), "between_subjects": None}
