"""Coverage of the 95% intervals, in simulations with known truth (see `simulated_evaluations`)."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from scipy import stats
from support.simulated_evaluations import Evaluations, Layout, simulate, truth

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics import galleries
from revalexo_clip.metrics.bootstrap import COVERAGE, TimeBootstrap
from revalexo_clip.metrics.classification import ClassifierOutput, gain, measure, scores
from revalexo_clip.metrics.evaluated import Ints

AT_ONCE = 1000
"""Evaluations that are simulated at once."""
LEAST, MOST = 0.92, 0.98
WIDEST = 1.25
"""Mean width of intervals, relative to those of someone who knows the deviation of the score over evaluations."""

ONE_RECORDING = Layout("one recording", subjects=1, recordings=1, clips=75)
"""600 s: 20 blocks."""
TWO_SUBJECTS = Layout("two subjects", subjects=2, recordings=1, clips=37)
"""300 s each: 20 blocks."""
FOUR_SUBJECTS = Layout("four subjects", subjects=4, recordings=2, clips=19)
"""156 s each: 40 blocks."""
LONG_RECORDING = Layout("long recording", subjects=1, recordings=1, clips=375)
"""3000 s: 100 blocks."""
SHORT_RECORDINGS = Layout("short recordings", subjects=2, recordings=12, clips=4)
"""24 recordings of 36 s, which are resampled whole."""
FEW_BLOCKS = Layout("few blocks", subjects=1, recordings=1, clips=22)
"""176 s: 6 blocks, as few as have an interval."""
LAYOUTS = pytest.mark.parametrize(
    "layout", [ONE_RECORDING, TWO_SUBJECTS, FOUR_SUBJECTS, LONG_RECORDING, SHORT_RECORDINGS], ids=str
)
SECONDS = pytest.mark.parametrize("seconds", [2.0, 15.0])
"""After which the correlation of difficulty has fallen to 1/e."""


def test_layouts_have_the_units_that_are_meant() -> None:
    layouts = (ONE_RECORDING, TWO_SUBJECTS, FOUR_SUBJECTS, LONG_RECORDING, FEW_BLOCKS)
    assert {one.units().kind for one in layouts} == {"blocks of 30 s"}
    assert [len(one.units().unit_subjects) for one in layouts] == [20, 20, 40, 100, 6]
    assert (SHORT_RECORDINGS.units().kind, len(SHORT_RECORDINGS.units().unit_subjects)) == ("recordings", 24)


def test_means_of_terms_are_the_scores_of_reports() -> None:
    units = FOUR_SUBJECTS.units()
    bootstrap = TimeBootstrap(units, resamples=50)
    found = simulate(FOUR_SUBJECTS, 5.0, 1, (0,))
    mean_R5 = bootstrap.means(np.stack([one_EN[0] for one_EN in found.terms().values()], axis=1), units.unit_N)
    one_R5, other_R5 = (
        galleries.resampled(rank_EN[0].astype(np.int64), units.unit_N, bootstrap)
        for rank_EN in (found.rank_EN, found.other_rank_EN)
    )
    r_at_1, mrr = galleries.FIGURES.index("r_at_1"), galleries.FIGURES.index("mrr")
    np.testing.assert_allclose(mean_R5[:, 0], one_R5[:, r_at_1])
    np.testing.assert_allclose(mean_R5[:, 1], one_R5[:, mrr])
    np.testing.assert_allclose(mean_R5[:, 2], one_R5[:, r_at_1] - other_R5[:, r_at_1], atol=1e-12)
    better, worse = outputs(found, 0, units.unit_N)
    for place, of_probes in ((3, measure(better, bootstrap)), (4, gain(better, worse, bootstrap))):
        low, high = bootstrap.interval(mean_R5[:, place], units.unit_N) or (np.nan, np.nan)
        assert ends_of(of_probes, "accuracy") == pytest.approx([low, high])


@pytest.mark.long
@LAYOUTS
@SECONDS
def test_intervals_of_means_contain_the_truth(layout: Layout, seconds: float) -> None:
    check(*of_means(layout, seconds, count=2000, seed=2), widest=WIDEST)


@pytest.mark.long
@SECONDS
def test_intervals_from_few_blocks_contain_the_truth(seconds: float) -> None:
    check(*of_means(FEW_BLOCKS, seconds, count=2000, seed=3), widest=1.7)


@pytest.mark.long
@pytest.mark.parametrize("layout", [ONE_RECORDING, FOUR_SUBJECTS, SHORT_RECORDINGS], ids=str)
@pytest.mark.parametrize("seconds", [2.0, 15.0])
def test_intervals_of_other_scores_contain_the_truth(layout: Layout, seconds: float) -> None:
    count, units, known = 500, layout.units(), truth(layout)
    found = simulate(layout, seconds, count, (4,))
    bootstrap = TimeBootstrap(units, resamples=500)
    true_3 = [float(np.median(known.rank_EN)), *macro_f1_and_gain(known)]
    held_3, had_3 = np.zeros(3), np.zeros(3)
    for number in range(count):
        better, worse = outputs(found, number, units.unit_N)
        ends = (
            bootstrap.interval(bootstrap.medians(found.rank_EN[number], units.unit_N), units.unit_N, (1.0, np.inf)),
            ends_of(measure(better, bootstrap), "macro_f1"),
            ends_of(gain(better, worse, bootstrap), "macro_f1"),
        )
        had_3 += [one is not None for one in ends]
        held_3 += [one is not None and one[0] <= true <= one[1] for one, true in zip(ends, true_3, strict=True)]
    median_rank, macro_f1, gained = held_3 / had_3
    assert had_3[0] == had_3[2] == count
    assert LEAST <= median_rank <= MOST, median_rank
    assert LEAST <= gained <= MOST, gained
    assert 0.88 <= macro_f1 <= MOST, macro_f1  # too low with few blocks: see docs/metrics.md


def of_means(
    layout: Layout, seconds: float, count: int, seed: int, resamples: int = 1000
) -> tuple[dict[str, float], dict[str, float]]:
    """Return for each score the share of intervals that contain the truth, and their width as in `WIDEST`."""
    unit_N = layout.units().unit_N
    bootstrap = TimeBootstrap(layout.units(), resamples=resamples)
    known = {name: term_EN.mean() for name, term_EN in truth(layout).terms().items()}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in known}
    for part in range(count // AT_ONCE):
        for name, term_EN in simulate(layout, seconds, AT_ONCE, (seed, part)).terms().items():
            for value, figure_R in zip(term_EN.mean(axis=1), bootstrap.means(term_EN.T, unit_N).T, strict=True):
                low, high = bootstrap.interval(figure_R, unit_N) or (np.nan, np.nan)
                found[name].append((value, low, high))
    share, width = {}, {}
    for name, rows in found.items():
        value_E, low_E, high_E = np.array(rows).T
        share[name] = float(((low_E <= known[name]) & (known[name] <= high_E)).mean())
        width[name] = float((high_E - low_E).mean() / (2 * stats.norm.ppf((1 + COVERAGE) / 2) * value_E.std()))
    return share, width


def check(share: dict[str, float], width: dict[str, float], widest: float) -> None:
    assert all(LEAST <= one <= MOST for one in share.values()), share
    assert all(one <= widest for one in width.values()), width


def outputs(found: Evaluations, number: int, unit_N: Ints) -> tuple[ClassifierOutput, ClassifierOutput]:
    true_EN, better_EN, worse_EN = found.probes
    classes = int(true_EN.max()) + 1
    better, worse = (ClassifierOutput(true_EN[number], one[number], unit_N, classes) for one in (better_EN, worse_EN))
    return better, worse


def macro_f1_and_gain(known: Evaluations) -> tuple[float, float]:
    better, worse = outputs(known, 0, np.zeros_like(known.probes.true_EN[0]))
    of_better, of_worse = (float(scores(one.confusion()[None], ("macro_f1",))[0, 0]) for one in (better, worse))
    return of_better, of_better - of_worse


def ends_of(found: JsonObject, name: str) -> list[float] | None:
    return cast("list[float] | None", cast("JsonObject", found["interval"])[name])
