"""Share of the gap between the untrained and the supervised network that pretraining closes without a label.

(pretrained - untrained) / (supervised - untrained), each the score of a linear probe on the features of the same
network: 0 if pretraining taught nothing that the probe can use, 1 if it taught as much as all labels did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import DIFFERENCE, TimeBootstrap
from revalexo_clip.metrics.classification import SCORES, ClassifierOutput, scores
from revalexo_clip.metrics.evaluated import Floats, Ints

Draws = Sequence[ClassifierOutput]
"""Predictions for the same windows by one or several probes, whose scores are averaged."""


def gap_closed(pretrained: Draws, untrained: Draws, supervised: Draws, bootstrap: TimeBootstrap) -> JsonObject:
    """Return the share of the gap that is closed in each of the `SCORES`, with its paired interval.

    The interval is that of the ratio in each resample; those in which the gap is not positive are left out. There is no
    value if the gap is not clearly positive, that is, if its own interval is not above zero; `reason` then says why.
    """
    sets = [
        (one, low, high)
        for one, low, high in zip(pretrained, untrained, supervised, strict=True)
        if all(len(found.true_N) for found in (one, low, high))
    ]
    if not sets:
        untested = dict.fromkeys(SCORES, "no window was tested")
        return {**dict.fromkeys(SCORES), "interval": dict.fromkeys(SCORES), "reason": {**untested}}
    one, low, high = (_scored(draws, bootstrap) for draws in zip(*sets, strict=True))
    gap_M, gap_RM = high.value_M - low.value_M, high.resampled_RM - low.resampled_RM
    with np.errstate(divide="ignore", invalid="ignore"):
        share_M = (one.value_M - low.value_M) / gap_M
        share_RM = np.where(gap_RM > 0, (one.resampled_RM - low.resampled_RM) / gap_RM, np.nan)
    found: JsonObject = {}
    intervals: JsonObject = {}
    reasons: JsonObject = {}
    for place, name in enumerate(SCORES):
        ends = bootstrap.interval(gap_RM[:, place], low.unit_N, DIFFERENCE)
        reasons[name] = reason = _reason(float(gap_M[place]), ends)
        found[name] = None if reason else float(share_M[place])
        intervals[name] = None if reason else _listed(bootstrap.interval(share_RM[:, place], low.unit_N))
    return {**found, "interval": intervals, "reason": reasons}


class _Scored(NamedTuple):
    value_M: Floats
    resampled_RM: Floats
    unit_N: Ints


def _scored(draws: Draws, bootstrap: TimeBootstrap) -> _Scored:
    """Return the mean `SCORES` of several predictions, those of each resample, and the units of all windows."""
    return _Scored(
        scores(np.stack([draw.confusion() for draw in draws])).mean(axis=0),
        np.mean([draw.resampled(bootstrap) for draw in draws], axis=0),
        np.concatenate([draw.unit_N for draw in draws]),
    )


def _reason(gap: float, ends: tuple[float, float] | None) -> str | None:
    """Return why the gap cannot be divided by; None if it is clearly positive."""
    if gap <= 0:
        return "the supervised network is not better than the untrained one"
    if ends is None:
        return "there is no interval that shows that the supervised network is better than the untrained one"
    if ends[0] <= 0:
        return "the supervised network is not significantly better than the untrained one"
    return None


def _listed(ends: tuple[float, float] | None) -> JsonValue:
    return ends and list(ends)
