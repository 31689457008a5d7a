"""Validation of a pretraining of IMU alone: which checkpoint has the best features.

The contrastive loss of two augmentations does not choose: it says how well the encoder sees through the augmentations,
not what else its features tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.neighbours import feature_rank, knn_macro_f1, next_window_mrr
from revalexo_clip.training.callbacks.early_stopping import Monitored

KNN, RANK, NEXT, CHANCE = "val/knn_macro_f1", "val/effective_rank", "val/next_window/mrr", "val/next_window/chance"
SELECTION = Monitored("val/selection", "max", least=0.001)
"""The metric that checkpoints of IMU alone are chosen by: `val/knn_macro_f1` if at least two validation subjects have
labels; else the geometric mean of `val/next_window/mrr` and of the share of dimensions that the features use. Neither
alone would do: noise has a high rank, and features that only drift find the next window."""


def selection_metrics(
    features_NF: Tensor, label_N: Tensor, *, subject_N: Tensor, recording_N: Tensor, time_N: Tensor, window: float
) -> dict[str, float]:
    """Compute the metrics of the features of all validation windows, by the name under which they are logged."""
    features, subjects = _floats(features_NF), _ints(subject_N)
    found = {RANK: feature_rank(features)}
    share = found[RANK] / features.shape[1]
    following = next_window_mrr(features, subjects, _ints(recording_N), _floats(time_N), window)
    if following is not None:
        found[NEXT], found[CHANCE] = following
    by_label = knn_macro_f1(features, _ints(label_N), subjects)
    if by_label is not None:
        return {**found, KNN: by_label, SELECTION.name: by_label}
    return {**found, SELECTION.name: share if following is None else math.sqrt(following[0] * share)}


def describe_selection(labelled_subjects: Sequence[str]) -> str:
    """Describe what chooses checkpoints, given the validation subjects that have labels."""
    if len(labelled_subjects) > 1:
        return "nearest neighbours: activities of each validation subject by the windows of the others"
    return (
        "the next window of a recording, and the effective rank of features; with two validation subjects that have "
        "labels, nearest neighbours would choose"
    )


def _floats(x: Tensor) -> Floats:
    return x.cpu().double().numpy()


def _ints(x: Tensor) -> Ints:
    return x.cpu().long().numpy()
