"""Predictions of an activity classifier for the windows of a recording or of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.data.windows import Floats

Texts = npt.NDArray[np.str_]
Probabilities = npt.NDArray[np.float32]


class Predictions(NamedTuple):
    """Activities of N windows at K horizons."""

    end_N: Floats
    """[N], end of each window [s]. The activities at a horizon are those at this time plus the horizon."""
    label_NK: Texts
    """[N, K], the most probable activity."""
    probability_NKA: Probabilities
    """[N, K, A], probabilities of all activities; they sum to 1."""


def predictions_of(end_N: Floats, probability_NKA: Probabilities, labels: Sequence[str]) -> Predictions:
    """Return predictions with the most probable activities."""
    return Predictions(end_N, np.asarray(labels)[probability_NKA.argmax(axis=2)], probability_NKA)
