"""How well activities are recognised: scores of all classes and figures of each, as scikit-learn defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import LEAST_CLIPS, ClipBootstrap
from revalexo_clip.metrics.evaluated import Bools, Floats, Ints

SCORES = ("accuracy", "macro_f1", "weighted_f1")
"""What a probe is judged by."""
RECOGNITION_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
"""What an activity classifier is judged by."""
CLASS_FIGURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class ClassifierOutput:
    """What was true and what was predicted of N windows of A classes, and the clips that they are from."""

    true_N: Ints
    predicted_N: Ints
    clip_N: Ints
    classes: int

    def among(self, row_N: Bools) -> ClassifierOutput:
        """Some of the windows."""
        return ClassifierOutput(self.true_N[row_N], self.predicted_N[row_N], self.clip_N[row_N], self.classes)

    def confusion(self) -> Ints:
        """[A, A] windows, true classes down, predicted ones across."""
        return np.bincount(self._cells(), minlength=self.classes**2).reshape(self.classes, self.classes)

    def resampled_confusion(self, bootstrap: ClipBootstrap) -> Floats:
        """[R, A, A] windows of each resample."""
        cell_RC = bootstrap.totals(self._cells(), self.classes**2, self.clip_N)
        return cell_RC.reshape(-1, self.classes, self.classes)

    def resampled(self, bootstrap: ClipBootstrap, names: Sequence[str] = SCORES) -> Floats:
        """[R, M] the named scores of each resample."""
        return scores(self.resampled_confusion(bootstrap), names)

    def clips(self) -> Ints:
        """[A] clips in which there are windows of a class."""
        of_clip_P = np.unique(self.clip_N * self.classes + self.true_N)
        return np.bincount(of_clip_P % self.classes, minlength=self.classes)

    def _cells(self) -> Ints:
        return self.true_N * self.classes + self.predicted_N


def by_class(confusion_RAA: Floats | Ints) -> Floats:
    """[R, A, 3] the `CLASS_FIGURES` of each class of R confusion matrices.

    NaN where there is nothing to divide by: the precision of a class that is never predicted, the recall of one that is
    never true, the F1 of one that is neither.
    """
    hit_RA = np.diagonal(confusion_RAA, axis1=1, axis2=2).astype(float)
    true_RA, predicted_RA = confusion_RAA.sum(axis=2), confusion_RAA.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.stack([hit_RA / predicted_RA, hit_RA / true_RA, 2 * hit_RA / (true_RA + predicted_RA)], axis=2)


def scores(confusion_RAA: Floats | Ints, names: Sequence[str] = SCORES) -> Floats:
    """[R, M] the named scores of R confusion matrices, true classes down; NaN where a matrix is empty.

    As in scikit-learn, the macro F1 is the mean over classes that are true or predicted of some window, and the
    balanced accuracy the mean recall of those that are true of some.
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


def measure(recognised: ClassifierOutput, bootstrap: ClipBootstrap, names: Sequence[str] = SCORES) -> JsonObject:
    """The named scores with their intervals; null where there is no window.

    A class that is found in few clips is missing from many resamples, or from these windows by chance: then the macro
    F1, in which it counts like any other, is too low, and there is no interval that would make up for it.
    """
    windows = len(recognised.true_N)
    if windows == 0:
        return {"windows": 0, **dict.fromkeys(names), "interval": dict.fromkeys(names)}
    confusion_AA = recognised.confusion()
    value_M, resampled_RM = scores(confusion_AA[None], names)[0], recognised.resampled(bootstrap, names)
    counted_A = (confusion_AA.sum(axis=0) + confusion_AA.sum(axis=1)) > 0
    if (recognised.clips()[counted_A] < LEAST_CLIPS).any():
        resampled_RM[:, [name == "macro_f1" for name in names]] = np.nan
    return {"windows": windows} | _with_intervals(names, value_M, resampled_RM, recognised.clip_N, bootstrap)


def gain(
    one: ClassifierOutput, other: ClassifierOutput, bootstrap: ClipBootstrap, names: Sequence[str] = SCORES
) -> JsonObject:
    """By how much one set of predictions is better than another of the same windows, with paired intervals."""
    if len(one.true_N) == 0:
        return {**dict.fromkeys(names), "interval": dict.fromkeys(names)}
    value_M = scores(one.confusion()[None], names)[0] - scores(other.confusion()[None], names)[0]
    resampled_RM = one.resampled(bootstrap, names) - other.resampled(bootstrap, names)
    return _with_intervals(names, value_M, resampled_RM, one.clip_N, bootstrap)


def _with_intervals(
    names: Sequence[str], value_M: Floats, resampled_RM: Floats, clip_N: Ints, bootstrap: ClipBootstrap
) -> JsonObject:
    return {
        **dict(zip(names, value_M.tolist(), strict=True)),
        "interval": bootstrap.intervals(names, resampled_RM, clip_N),
    }
