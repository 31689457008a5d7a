"""What frozen features know of the activity, as a linear probe and k nearest neighbours find it in other people.

`predict` is a function of features, labels and folds alone, so that any labelled windows can be probed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.neighbors import NearestNeighbors

from revalexo_clip.measures.logistic import fit_logistic, standardization
from revalexo_clip.measures.windows import Floats, Ints
from revalexo_clip.types import UNLABELLED

Probe = Literal["linear", "knn"]
PROBES: tuple[Probe, ...] = ("linear", "knn")
NEIGHBOURS = 20
MOST_TRAINING = 5000
"""Windows that a probe is trained on; of more, so many that are spread evenly. They overlap, so little is lost."""
FRACTIONS = (0.01, 0.05, 0.1, 0.5, 1.0)
"""Of the labels, for the curve over few of them."""
DRAWS = 3
"""Choices of labels that the curve is averaged over."""


@dataclass(frozen=True)
class Fold:
    """Rows that a probe is trained on, and those that it is tested on."""

    train: Ints
    test: Ints


def leave_one_subject_out(subject_N: Ints) -> list[Fold]:
    """A fold for each subject: tested on it, trained on all others."""
    return [Fold(np.flatnonzero(subject_N != one), np.flatnonzero(subject_N == one)) for one in np.unique(subject_N)]


def training_rows(fold: Fold, label_NK: Ints) -> Ints:
    """The rows of a fold that a probe is trained on: labelled at any horizon, and not more than `MOST_TRAINING`."""
    rows: Ints = fold.train[(label_NK[fold.train] != UNLABELLED).any(axis=1)]
    if len(rows) <= MOST_TRAINING:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, MOST_TRAINING).round().astype(np.int64)])


def predict(probe: Probe, features_NF: Floats, label_NK: Ints, folds: Sequence[Fold], classes: int) -> Ints:
    """[N, K] activities of the rows that folds test, by a probe trained on the rest; `UNLABELLED` for all other rows.

    A fold predicts nothing at a horizon at which it has no label to train on.
    """
    fit = _fit_linear if probe == "linear" else _fit_neighbours
    predicted_NK = np.full(label_NK.shape, UNLABELLED, dtype=np.int64)
    for fold in folds:
        rows = training_rows(fold, label_NK)
        if len(rows):
            found_MK = fit(features_NF[rows], label_NK[rows], classes)(features_NF[fold.test])
            known_K = (label_NK[rows] != UNLABELLED).any(axis=0)
            predicted_NK[fold.test] = np.where(known_K, found_MK, UNLABELLED)
    return predicted_NK


def predict_with_few_labels(
    features_NF: Floats, label_N: Ints, folds: Sequence[Fold], classes: int, *, fraction: float, draw: int
) -> tuple[Ints, int]:
    """[N] activities by a linear probe that has a fraction of the labels, and how many windows that is in a fold.

    Labels are drawn at random, a share of each activity and at least one; `draw` is the number of the draw.
    """
    predicted_N = np.full(len(label_N), UNLABELLED, dtype=np.int64)
    used = 0
    for number, fold in enumerate(folds):
        rng = np.random.default_rng([draw, number])
        rows = training_rows(fold, label_N[:, None])
        kept = np.sort(np.concatenate([_share(rows[label_N[rows] == one], fraction, rng) for one in range(classes)]))
        if len(kept):
            model = fit_logistic(features_NF[kept], label_N[kept, None], classes)
            predicted_N[fold.test] = model.logits(features_NF[fold.test]).argmax(axis=2)[:, 0]
            used = max(used, len(kept))
    return predicted_N, used


def _share(rows: Ints, fraction: float, rng: np.random.Generator) -> Ints:
    wanted = min(max(round(fraction * len(rows)), 1), len(rows))
    return np.asarray(rng.permutation(rows)[:wanted])


def _fit_linear(features_MF: Floats, label_MK: Ints, classes: int) -> Callable[[Floats], Ints]:
    model = fit_logistic(features_MF, label_MK, classes)
    return lambda features_NF: np.asarray(model.logits(features_NF).argmax(axis=2), dtype=np.int64)


def _fit_neighbours(features_MF: Floats, label_MK: Ints, classes: int) -> Callable[[Floats], Ints]:
    """Of standardised features, by Euclidean distance; of activities with as many neighbours the first.

    Of the `NEIGHBOURS` nearest those vote that have a label at a horizon.
    """
    mean_F, scale_F = standardization(features_MF)
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(features_MF)), algorithm="brute")
    neighbours.fit((features_MF - mean_F) / scale_F)

    def vote(features_NF: Floats) -> Ints:
        near_Nn = neighbours.kneighbors((features_NF - mean_F) / scale_F, return_distance=False)
        votes_NKA = (label_MK[near_Nn][:, :, :, None] == np.arange(classes)).sum(axis=1)
        return np.where(votes_NKA.any(axis=2), votes_NKA.argmax(axis=2), UNLABELLED)

    return vote
