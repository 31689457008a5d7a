"""If nothing differs, answers say so: an answer that claims a difference is given in at most 5% of simulated runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from support.simulated_evaluations import Layout, simulate_alike, simulate_ranks_alike

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import DIFFERENCE, TimeBootstrap
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES, ClassifierOutput, gain
from revalexo_clip.metrics.paired_differences import significance
from revalexo_clip.reports.conclusions.comparison import Question
from revalexo_clip.reports.conclusions.evaluation import DECIDING, of_gains
from revalexo_clip.reports.conclusions.features import NO_DIFFERENCE
from revalexo_clip.reports.conclusions.variants import answers
from revalexo_clip.reports.values import BASELINES, NOT_SIGNIFICANT, child, measured

MOST = 0.05
RUNS = 400
TWO_SUBJECTS = Layout("two subjects", subjects=2, recordings=1, clips=37)
LAYOUTS = [
    Layout("one recording", subjects=1, recordings=1, clips=75),
    TWO_SUBJECTS,
    Layout("four subjects", subjects=4, recordings=2, clips=19),
    Layout("short recordings", subjects=2, recordings=12, clips=4),
]


def claims_about_pretraining(layout: Layout, seconds: float, count: int) -> float:
    """Return how often pretraining is said to be better or worse than any of two baselines that are as good."""
    true_EN, probes = simulate_alike(layout, seconds, count, seed=5, probes=1 + len(BASELINES))
    bootstrap = TimeBootstrap(layout.units())

    def says(run: int) -> bool:
        ours, *baselines = (ClassifierOutput(true_EN[run], one_EN[run], bootstrap.unit_N, 4) for one_EN in probes)
        gained = {
            over: measured(gain(ours, other, bootstrap), DECIDING)
            for over, other in zip(BASELINES, baselines, strict=True)
        }
        return of_gains(gained) != ("open", NO_DIFFERENCE)

    return float(np.mean([says(run) for run in range(count)]))


def claims_about_checkpoints(layout: Layout, seconds: float, count: int, others: int = 4) -> float:
    """Return how often one of several checkpoints is said to be better or worse than the first."""
    ways = [simulate_ranks_alike(layout, seconds, count, seed, encoders=1 + others) for seed in (1, 2)]
    bootstrap = TimeBootstrap(layout.units(), resamples=500)
    question = Question("", "", "mrr", {str(way): partial(_way, str(way)) for way in range(len(ways))})

    def says(run: int) -> bool:
        differences: list[JsonObject] = [
            {
                str(way): _in_mrr(1 / ranks[1 + other][run] - 1 / ranks[0][run], bootstrap)
                for way, ranks in enumerate(ways)
            }
            for other in range(others)
        ]
        return set(question.answers(differences)) != {NOT_SIGNIFICANT}

    return float(np.mean([says(run) for run in range(count)]))


def _way(name: str, difference: JsonObject) -> JsonObject:
    return child(difference, name)


def _in_mrr(change_N: np.ndarray[tuple[int], np.dtype[np.float64]], bootstrap: TimeBootstrap) -> JsonObject:
    change_R = bootstrap.means(change_N[:, None], bootstrap.unit_N)[:, 0]
    ends = bootstrap.interval(change_R, bootstrap.unit_N, DIFFERENCE)
    return {
        "mrr": float(change_N.mean()),
        "p_value": {"mrr": bootstrap.p_value(change_R, bootstrap.unit_N, DIFFERENCE)},
        "significant": {"mrr": significance("mrr", ends and list(ends), same=False)},
    }


def claims_about_variants(layout: Layout, seconds: float, count: int) -> float:
    """Return how often one of two variants is said to be better or worse with any of three shares of the labels."""
    kinds, shares = ("scratch", "frozen", "full"), (0.1, 0.5, 1.0)
    drawn = [simulate_alike(layout, seconds, count, seed=7, probes=len(kinds) * len(shares))]
    bootstrap = TimeBootstrap(layout.units(), resamples=500)

    def says(run: int) -> bool:
        ((true_EN, probes),) = drawn
        outputs = [ClassifierOutput(true_EN[run], one_EN[run], bootstrap.unit_N, 4) for one_EN in probes]
        labels: list[JsonObject] = []
        for number, share in enumerate(shares):
            first, *others = outputs[number :: len(shares)]
            found = {kind: _compared(other, first, bootstrap) for kind, other in zip(kinds[1:], others, strict=True)}
            labels.append({"fraction": share, "variants": {}, "differences": {**found}})
        comparison: JsonObject = {"variants": dict.fromkeys(kinds, ""), "baseline": kinds[0], "labels": [*labels]}
        return set(answers(comparison).values()) != {NOT_SIGNIFICANT}

    return float(np.mean([says(run) for run in range(count)]))


def _compared(one: ClassifierOutput, other: ClassifierOutput, bootstrap: TimeBootstrap) -> JsonObject:
    gained = gain(one, other, bootstrap, CLASSIFICATION_SCORES)
    return {"horizons": [{"all": {**gained, "significant": dict.fromkeys(CLASSIFICATION_SCORES)}}]}


@pytest.mark.long
@pytest.mark.parametrize("claims", [claims_about_pretraining, claims_about_checkpoints, claims_about_variants])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_answers_seldom_claim_a_difference_that_is_not_there(
    claims: Callable[[Layout, float, int], float], layout: Layout
) -> None:
    chance = 2 * (MOST * (1 - MOST) / RUNS) ** 0.5  # two standard deviations of the share
    assert 0.0 < claims(layout, 5.0, RUNS) <= MOST + chance
