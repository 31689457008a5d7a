"""Nearest neighbours and rank of features: what says, without video, whether pretraining gets anywhere.

A contrastive loss of two augmentations of a window falls as well if the encoder learns to see through the
augmentations and nothing else. The effective rank of features follows RankMe (Garrido et al., 2023, arXiv:2210.02885).
"""

from __future__ import annotations

import numpy as np
import torch

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.classification import scores
from revalexo_clip.metrics.embedding_geometry import effective_rank
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.logistic import standardization
from revalexo_clip.metrics.probe import leave_one_subject_out, predict

MOST = 2000
"""Largest number of windows whose next window is searched; of more, an evenly spaced selection."""
_MICROSECOND = 1e-6
_TIE = 1e-6
"""Similarities closer than this are equal, so that features that are all alike score no better than chance."""


def feature_rank(features_NF: Floats) -> float:
    """Compute the effective rank of centred features, from 1 to F; 1 if all windows have the same features."""
    centred_NF = torch.from_numpy(features_NF - features_NF.mean(axis=0))
    return effective_rank(centred_NF) if bool(centred_NF.any()) else 1.0


def knn_macro_f1(features_NF: Floats, label_N: Ints, subject_N: Ints) -> float | None:
    """Compute the macro F1 of activities that neighbours of other subjects vote for, over the labelled windows.

    None if fewer than two subjects have labels. Votes are those of the probe `knn`.
    """
    rows = label_N != UNLABELLED
    if len(np.unique(subject_N[rows])) < 2:
        return None
    true_N, classes = label_N[rows], int(label_N.max()) + 1
    found_N = predict("knn", features_NF[rows], true_N[:, None], leave_one_subject_out(subject_N[rows]), classes)[:, 0]
    confusion_AA = np.bincount(true_N * classes + found_N, minlength=classes**2).reshape(classes, classes)
    return float(scores(confusion_AA[None], ("macro_f1",))[0, 0])


def next_window_mrr(
    features_NF: Floats, subject_N: Ints, recording_N: Ints, time_N: Floats, window: float
) -> tuple[float, float] | None:
    """Compute how well each window finds the one that follows it, and the same of a random order: the MRR of each.

    The next window is the first of the same recording that begins when this one has ended, less than a window later.
    It is searched by cosine of standardised features among the windows of the subject that share no time with this
    one: what tells subjects apart does not help. Windows at equal distance have their mean rank. None if no window has
    a next one. `time_N` are starts in the recording [s], `window` is the length of a window [s].
    """
    mean_F, scale_F = standardization(torch.from_numpy(features_NF))
    x_NF = torch.nn.functional.normalize((torch.from_numpy(features_NF) - mean_F) / scale_F, dim=1).numpy()
    asked_N = np.zeros(len(x_NF), dtype=bool)
    asked_N[np.linspace(0, len(x_NF) - 1, min(len(x_NF), MOST)).round().astype(np.int64)] = True
    found, chance = [], []
    for subject in np.unique(subject_N):
        rows = np.flatnonzero(subject_N == subject)
        x_MF, recording_M, time_M = x_NF[rows], recording_N[rows], time_N[rows]
        for place in np.flatnonzero(asked_N[rows]):
            later_M = np.where(recording_M == recording_M[place], time_M - time_M[place], np.inf)
            gallery_M = np.abs(later_M) >= window - _MICROSECOND
            next_M = np.where(gallery_M & (later_M > 0) & (later_M < 2 * window), later_M, np.inf)
            partner = int(next_M.argmin())
            if not np.isfinite(next_M[partner]):
                continue
            similarity_M = x_MF @ x_MF[place]
            lead_M = similarity_M[gallery_M] - similarity_M[partner]
            ties = int((np.abs(lead_M) <= _TIE).sum()) - 1
            found.append(1 / (1 + int((lead_M > _TIE).sum()) + ties / 2))
            chance.append(float((1 / np.arange(1, len(lead_M) + 1)).mean()))
    return (float(np.mean(found)), float(np.mean(chance))) if found else None
