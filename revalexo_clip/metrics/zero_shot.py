"""Zero-shot classification by sentences, and retrieval between windows and sentences.

A class is the mean of the unit vectors of its sentences, and a window has the class that it is most similar to, as
images are classified with CLIP (Radford et al., 2021, arXiv:2103.00020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import ClassifierOutput, measure, scores
from revalexo_clip.metrics.evaluated import Ints
from revalexo_clip.metrics.galleries import FIGURES, RANGES, certain, figures, resampled
from revalexo_clip.metrics.retrieval import BLOCK, TIE, expected_scores

ZERO_SHOT_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
"""Scores of zero-shot classification."""


def class_vectors(vectors: Mapping[str, Tensor]) -> Tensor:
    """Return the unit vector of each class, [A, D], from the unit vectors of its sentences, [V, D] each."""
    means = torch.stack([vectors_VD.double().mean(dim=0) for vectors_VD in vectors.values()])
    return torch.nn.functional.normalize(means, dim=1)


def classify(window_ND: Tensor, class_AD: Tensor) -> Ints:
    """Return the class of each window, [N]: the most similar one, of equal ones the first."""
    parts = [(block_bD.double() @ class_AD.T).argmax(dim=1) for block_bD in torch.split(window_ND, BLOCK)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.int64)


def measure_zero_shot(predicted_N: Ints, true_N: Ints, classes: int, bootstrap: TimeBootstrap) -> JsonObject:
    """Return the scores with their intervals, over the windows whose true class is known (not negative)."""
    known_N = true_N >= 0
    output = ClassifierOutput(true_N[known_N], predicted_N[known_N], bootstrap.unit_N[known_N], classes)
    return {**measure(output, bootstrap, ZERO_SHOT_SCORES), "confusion": output.confusion().tolist()}


def chance_of(true_N: Ints, classes: int) -> JsonObject:
    """Return the scores of guessing: every class is predicted equally often, whatever the window is."""
    count_A = np.bincount(true_N[true_N >= 0], minlength=classes)
    found = scores(np.repeat(count_A[:, None] / classes, classes, axis=1)[None], ZERO_SHOT_SCORES)[0]
    return {
        name: None if np.isnan(value) else float(value) for name, value in zip(ZERO_SHOT_SCORES, found, strict=True)
    }


def measure_search(
    query_MD: Tensor,
    gallery_GD: Tensor,
    meaning_M: Ints,
    meaning_G: Ints,
    *,
    unit_M: Ints,
    bootstrap: TimeBootstrap,
) -> JsonObject:
    """Measure how well M queries find what means the same as they do, among the G entries of a gallery.

    The rank of a query is that of its best answer among all entries that are no answers; an entry that is as similar is
    ranked before it. Each query needs an answer. `unit_M` are the units of time of the queries.
    """
    rank_M, answers_M = _ranks(query_MD.double(), gallery_GD.double(), torch.from_numpy(meaning_M), meaning_G)
    figure_R5 = resampled(rank_M, unit_M, bootstrap)
    figure_R5[:, certain(len(gallery_GD))] = np.nan
    return {
        **dict(zip(FIGURES, figures(rank_M).tolist(), strict=True)),
        "interval": bootstrap.intervals(FIGURES, figure_R5, unit_M, RANGES),
        "chance": asdict(expected_scores(torch.full((len(rank_M),), len(gallery_GD)), torch.from_numpy(answers_M))),
        "queries": len(rank_M),
        "gallery_size": len(gallery_GD),
    }


def _ranks(query_MD: Tensor, gallery_GD: Tensor, meaning_M: Tensor, meaning_G: Ints) -> tuple[Ints, Ints]:
    """Return the rank of the best answer to each query, and the number of its answers, [M] each."""
    of_G = torch.from_numpy(meaning_G)
    ranks, answers = [], []
    for rows in torch.split(torch.arange(len(query_MD)), BLOCK):
        similarity_bG = query_MD[rows] @ gallery_GD.T
        answer_bG = meaning_M[rows][:, None] == of_G
        best_b1 = similarity_bG.masked_fill(~answer_bG, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(1 + ((similarity_bG >= best_b1 - TIE) & ~answer_bG).sum(dim=1))
        answers.append(answer_bG.sum(dim=1))
    return np.asarray(torch.cat(ranks).numpy()), np.asarray(torch.cat(answers).numpy())
