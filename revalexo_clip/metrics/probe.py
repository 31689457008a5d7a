"""Probes of frozen features: a linear probe and k nearest neighbours predict activities of unseen subjects.

`predict` depends only on features, labels and folds, so that any labelled windows can be probed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.logistic import fit_logistic, standardization

Part = TypeVar("Part")
Result = TypeVar("Result")

Probe = Literal["linear", "knn"]
PROBES: tuple[Probe, ...] = ("linear", "knn")
NEIGHBOURS = 20
MOST_TRAINING = 5000
"""Largest number of training windows of a probe; of more, an evenly spaced selection. Windows overlap, so little is
lost."""
FRACTIONS = (0.01, 0.05, 0.1, 0.5)
"""Shares of the labels for the curve with few labels, which ends with all labels."""
DRAWS = 3
"""Random selections of labels over which the curve is averaged."""
_BLOCK = 1024
"""Number of windows whose neighbours are searched at a time."""


@dataclass(frozen=True)
class Fold:
    """Training rows and test rows of a probe."""

    train: Ints
    test: Ints


def leave_one_subject_out(subject_N: Ints) -> list[Fold]:
    """Return a fold for each subject, which is tested on it and trained on all others."""
    return [Fold(np.flatnonzero(subject_N != one), np.flatnonzero(subject_N == one)) for one in np.unique(subject_N)]


def training_rows(fold: Fold, label_NK: Ints) -> Ints:
    """Return the training rows of a fold: labelled at any horizon, and at most `MOST_TRAINING`."""
    rows: Ints = fold.train[(label_NK[fold.train] != UNLABELLED).any(axis=1)]
    if len(rows) <= MOST_TRAINING:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, MOST_TRAINING).round().astype(np.int64)])


def predict(probe: Probe, features_NF: Floats, label_NK: Ints, folds: Sequence[Fold], classes: int) -> Ints:
    """Predict the activities of the test rows of all folds, [N, K]; `UNLABELLED` for all other rows.

    A fold without a training label at a horizon predicts nothing there.
    """
    fit = _fit_linear if probe == "linear" else _fit_neighbours

    def of_fold(fold: Fold) -> Ints | None:
        rows = training_rows(fold, label_NK)
        if len(rows) == 0:
            return None
        found_MK = fit(features_NF[rows], label_NK[rows], classes)(_of(features_NF, fold.test))
        return np.where((label_NK[rows] != UNLABELLED).any(axis=0), found_MK, UNLABELLED)

    predicted_NK = np.full(label_NK.shape, UNLABELLED, dtype=np.int64)
    for fold, found_MK in zip(folds, map_parallel(of_fold, folds), strict=True):
        if found_MK is not None:
            predicted_NK[fold.test] = found_MK
    return predicted_NK


def predict_with_few_labels(
    features_NF: Floats, label_N: Ints, folds: Sequence[Fold], classes: int, *, fraction: float, draw: int
) -> tuple[Ints, int]:
    """Predict activities with a fraction of the labels, [N]; also return the number of training windows.

    The linear probe gets a random share of the labels of each activity, and at least one; `draw` numbers the draws.
    """

    def of_fold(numbered: tuple[int, Fold]) -> tuple[Ints, Ints | None]:
        number, fold = numbered
        rng = np.random.default_rng([draw, number])
        rows = training_rows(fold, label_N[:, None])
        kept = np.sort(np.concatenate([_share(rows[label_N[rows] == one], fraction, rng) for one in range(classes)]))
        if len(kept) == 0:
            return kept, None
        return kept, _fit_linear(features_NF[kept], label_N[kept, None], classes)(_of(features_NF, fold.test))[:, 0]

    predicted_N = np.full(len(label_N), UNLABELLED, dtype=np.int64)
    used = 0
    for fold, (kept, found_M) in zip(folds, map_parallel(of_fold, list(enumerate(folds))), strict=True):
        if found_M is not None:
            predicted_N[fold.test] = found_M
            used = max(used, len(kept))
    return predicted_N, used


def map_parallel(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Do the work of the parts in parallel, with one thread for each: the matrices are too small for several threads.

    This includes the BLAS of SciPy, which is not that of torch and would keep all cores busy waiting for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, parts))
    finally:
        torch.set_num_threads(threads)


def _of(features_NF: Floats, rows: Ints) -> Floats:
    """Return features of some rows, without a copy if they are consecutive, as those of a subject usually are."""
    if len(rows) and (np.diff(rows) == 1).all():
        return features_NF[rows[0] : rows[-1] + 1]
    return features_NF[rows]


def _share(rows: Ints, fraction: float, rng: np.random.Generator) -> Ints:
    wanted = min(max(round(fraction * len(rows)), 1), len(rows))
    return np.asarray(rng.permutation(rows)[:wanted])


def _fit_linear(features_MF: Floats, label_MK: Ints, classes: int) -> Callable[[Floats], Ints]:
    model = fit_logistic(features_MF, label_MK, classes)
    return lambda features_NF: np.asarray(model.logits(features_NF).argmax(axis=2), dtype=np.int64)


def _fit_neighbours(features_MF: Floats, label_MK: Ints, classes: int) -> Callable[[Floats], Ints]:
    """Fit nearest neighbours by Euclidean distance of standardised features.

    Those of the `NEIGHBOURS` nearest that have a label at a horizon vote. If votes are equal, the first activity wins.
    """
    mean_F, scale_F = standardization(torch.from_numpy(features_MF))
    nearest = min(NEIGHBOURS, len(features_MF))

    def standardized(features_NF: Floats) -> torch.Tensor:
        return ((torch.from_numpy(features_NF) - mean_F) / scale_F).float()

    x_MF = standardized(features_MF)
    half_M = x_MF.square().sum(dim=1) / 2

    def vote(features_NF: Floats) -> Ints:
        blocks = (features_NF[start : start + _BLOCK] for start in range(0, len(features_NF), _BLOCK))
        # The nearest have the largest x y - y y / 2.
        near = [(standardized(block_BF) @ x_MF.T - half_M).topk(nearest, sorted=False).indices for block_BF in blocks]
        near_Nn = torch.cat(near).numpy()
        votes_NKA = (label_MK[near_Nn][:, :, :, None] == np.arange(classes)).sum(axis=1)
        return np.where(votes_NKA.any(axis=2), votes_NKA.argmax(axis=2), UNLABELLED)

    return vote
