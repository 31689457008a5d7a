"""How well activities are recognised: accuracy, macro and weighted F1, as scikit-learn defines them, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revalexo_clip.component import JsonObject
from revalexo_clip.measures.bootstrap import ClipBootstrap
from revalexo_clip.measures.windows import Floats, Ints

SCORES = ("accuracy", "macro_f1", "weighted_f1")


@dataclass(frozen=True)
class Recognised:
    """What was true and what was predicted of N windows of A classes, and the clips that they are from."""

    true_N: Ints
    predicted_N: Ints
    clip_N: Ints
    classes: int

    def confusion(self) -> Ints:
        """[A, A] windows, true classes down, predicted ones across."""
        return np.bincount(self._cells(), minlength=self.classes**2).reshape(self.classes, self.classes)

    def resampled(self, bootstrap: ClipBootstrap) -> Floats:
        """[R, 3] the `SCORES` of each resample."""
        cell_RC = bootstrap.totals(self._cells(), self.classes**2, self.clip_N)
        return scores(cell_RC.reshape(-1, self.classes, self.classes))

    def _cells(self) -> Ints:
        return self.true_N * self.classes + self.predicted_N


def scores(confusion_RAA: Floats | Ints) -> Floats:
    """[R, 3] the `SCORES` of R confusion matrices, true classes down; NaN where a matrix is empty.

    As in scikit-learn, the macro F1 is the mean over classes that are true or predicted of some window.
    """
    hit_RA = np.diagonal(confusion_RAA, axis1=1, axis2=2).astype(float)
    true_RA, predicted_RA = confusion_RAA.sum(axis=2), confusion_RAA.sum(axis=1)
    both_RA, total_R = true_RA + predicted_RA, true_RA.sum(axis=1)
    f1_RA = 2 * hit_RA / np.maximum(both_RA, 1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy_R = hit_RA.sum(axis=1) / total_R
        macro_R = f1_RA.sum(axis=1) / (both_RA > 0).sum(axis=1)
        weighted_R = (f1_RA * true_RA).sum(axis=1) / total_R
    return np.stack([accuracy_R, macro_R, weighted_R], axis=1)


def measure(recognised: Recognised, bootstrap: ClipBootstrap) -> JsonObject:
    """The scores with their intervals; null where there is no window."""
    windows = len(recognised.true_N)
    if windows == 0:
        return {"windows": 0, **dict.fromkeys(SCORES), "interval": dict.fromkeys(SCORES)}
    return {"windows": windows} | _with_intervals(
        scores(recognised.confusion()[None])[0], recognised.resampled(bootstrap), recognised.clip_N, bootstrap
    )


def gain(one: Recognised, other: Recognised, bootstrap: ClipBootstrap) -> JsonObject:
    """By how much one set of predictions is better than another of the same windows, with paired intervals."""
    if len(one.true_N) == 0:
        return {**dict.fromkeys(SCORES), "interval": dict.fromkeys(SCORES)}
    return _with_intervals(
        scores(one.confusion()[None])[0] - scores(other.confusion()[None])[0],
        one.resampled(bootstrap) - other.resampled(bootstrap),
        one.clip_N,
        bootstrap,
    )


def _with_intervals(value_3: Floats, resampled_R3: Floats, clip_N: Ints, bootstrap: ClipBootstrap) -> JsonObject:
    intervals = (bootstrap.interval(figure_R, clip_N) for figure_R in resampled_R3.T)
    return {
        **dict(zip(SCORES, value_3.tolist(), strict=True)),
        "interval": {name: interval and list(interval) for name, interval in zip(SCORES, intervals, strict=True)},
    }
