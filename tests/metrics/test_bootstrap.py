"""Intervals: their arithmetic against plain resampling, and when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from scipy import stats
from support.units import bootstrap_of

from revalexo_clip.metrics.blocks import LEAST_BLOCKS, TimeUnits
from revalexo_clip.metrics.bootstrap import SHARE, TimeBootstrap
from revalexo_clip.metrics.evaluated import Bools, Floats, Ints


def test_resamples_are_what_repeating_the_windows_of_drawn_clips_gives() -> None:
    rng = np.random.default_rng(0)
    bootstrap = bootstrap_of(["a", "b", "a", "b", "a"], resamples=50)
    unit_N = rng.integers(0, 5, 40)
    value_N2 = rng.integers(0, 9, (40, 2)).astype(np.float64)
    means_R2, medians_R = bootstrap.means(value_N2, unit_N), bootstrap.medians(value_N2[:, 0], unit_N)
    totals_RC = bootstrap.totals(value_N2[:, 0].astype(np.int64), 9, unit_N)
    for weight_J, means, median, totals in zip(bootstrap.weight_RU, means_R2, medians_R, totals_RC, strict=True):
        repeated = np.repeat(value_N2, weight_J.astype(int)[unit_N], axis=0)
        np.testing.assert_allclose(means, repeated.mean(axis=0))
        assert median == np.median(repeated[:, 0])
        assert totals.tolist() == np.bincount(repeated[:, 0].astype(int), minlength=9).tolist()


def test_medians_of_many_windows_are_found_block_by_block() -> None:
    rng = np.random.default_rng(1)
    bootstrap = bootstrap_of(["a"] * 3, resamples=20)
    for windows in (1, 2, 3, 4, 5, 9, 10, 101):
        unit_N, value_N = rng.integers(0, 3, windows), rng.integers(0, 30, windows).astype(np.float64)
        for weight_J, found in zip(bootstrap.weight_RU, bootstrap.medians(value_N, unit_N), strict=True):
            repeated = np.repeat(value_N, weight_J.astype(int)[unit_N])
            np.testing.assert_equal(found, np.median(repeated) if len(repeated) else np.nan)


def test_each_subject_keeps_its_number_of_clips() -> None:
    weight_RU = bootstrap_of(["a", "b", "a", "b", "a"], resamples=20).weight_RU
    assert (weight_RU[:, [0, 2, 4]].sum(axis=1) == 3).all()
    assert (weight_RU[:, [1, 3]].sum(axis=1) == 2).all()


def test_intervals_are_the_same_every_time() -> None:
    unit_N, value_N = np.arange(20) % 10, np.arange(20.0)
    one, other = (bootstrap_of(["a"] * 10) for _ in range(2))
    assert interval(one, value_N, unit_N) == interval(other, value_N, unit_N) is not None


def interval(bootstrap: TimeBootstrap, value_N: Floats, unit_N: Ints) -> tuple[float, float] | None:
    return bootstrap.interval(bootstrap.means(value_N[:, None], unit_N)[:, 0], unit_N)


@pytest.mark.parametrize("clips", [1, LEAST_BLOCKS - 1])
def test_few_clips_have_no_interval(clips: int) -> None:
    assert interval(bootstrap_of(["a"] * clips), np.arange(clips).astype(float), np.arange(clips)) is None


def test_a_clip_of_each_subject_has_no_interval() -> None:
    assert interval(bootstrap_of(list("abcdefgh")), np.arange(8.0), np.arange(8)) is None


def test_windows_that_are_all_alike_have_no_interval() -> None:
    assert interval(bootstrap_of(["a"] * 9), np.ones(9), np.arange(9)) is None


def test_clips_without_windows_are_as_if_they_were_not_there() -> None:
    bootstrap = bootstrap_of(["a"] * 30)
    unit_N = np.arange(LEAST_BLOCKS - 1)
    assert interval(bootstrap, unit_N.astype(float), unit_N) is None


def blocks_of_one_recording(values: Floats) -> tuple[float, float]:
    """Return the width of the interval of a mean over blocks of one window each, with and without their order."""
    widths = []
    for follows_U in (np.arange(len(values)) > 0, np.zeros(len(values), dtype=bool)):
        low, high = interval(bootstrap_of_blocks("a" * len(values), follows_U), values, np.arange(len(values))) or (
            0,
            0,
        )
        widths.append(high - low)
    return widths[0], widths[1]


def bootstrap_of_blocks(unit_subjects: Sequence[str], follows_U: Bools) -> TimeBootstrap:
    return TimeBootstrap(TimeUnits(np.arange(len(follows_U)), tuple(unit_subjects), "blocks of 30 s", follows_U))


def test_neighbouring_blocks_that_depend_on_each_other_widen_the_interval() -> None:
    slow = np.sin(np.arange(30) / 5)
    widened, plain = blocks_of_one_recording(slow)
    assert widened > 1.5 * plain
    alternating = np.arange(30) % 2 + 0.1 * np.random.default_rng(0).standard_normal(30)
    widened, plain = blocks_of_one_recording(alternating)
    assert plain < widened < 1.1 * plain  # fewer degrees of freedom, and nothing else


def test_the_correlation_of_neighbouring_blocks_is_that_of_their_means() -> None:
    rng = np.random.default_rng(3)
    subjects, recordings = np.repeat([0, 1], 15), np.repeat(np.arange(6), 5)
    follows_U = np.append(False, np.diff(recordings) == 0)
    value_U = np.convolve(rng.standard_normal(31), [1.0, 0.3], "valid") + subjects
    bootstrap = bootstrap_of_blocks([str(one) for one in subjects], follows_U)
    figure_R = bootstrap.means(value_U[:, None], np.arange(30))[:, 0]

    centred = [value - value_U[subjects == subject].mean() for value, subject in zip(value_U, subjects, strict=True)]
    products = sum(centred[unit - 1] * centred[unit] for unit in range(30) if follows_U[unit])
    r = (products / sum(value**2 for value in centred) + 24 / 30 * 2 / 28) * (1 + 4 * 2 / 30)
    assert 0.1 < r < 0.45
    tail = stats.norm.cdf(np.sqrt(30 / 28) * stats.t.ppf(0.025, 28 / (1 + 24 / 30)))
    low, median, high = np.quantile(figure_R, [tail, 0.5, 1 - tail])
    stretch = np.sqrt((1 + r) / (1 - r))
    expected = (median - stretch * (median - low), median + stretch * (high - median))
    found = bootstrap.interval(figure_R, np.arange(30)) or (np.nan, np.nan)
    # influences are estimated from 1000 resamples
    np.testing.assert_allclose(found, expected, atol=0.05 * (expected[1] - expected[0]))


def test_intervals_are_cut_to_the_range_of_the_score() -> None:
    value_U = np.repeat([1.0, 0.2, 1.0], [12, 3, 15])
    bootstrap = bootstrap_of_blocks("a" * 30, np.arange(30) > 0)
    figure_R1 = bootstrap.means(value_U[:, None], np.arange(30))
    (low, high), (same_low, cut) = (
        cast("list[float]", bootstrap.intervals(["share"], figure_R1, np.arange(30), ranges)["share"])
        for ranges in (None, {"share": SHARE})
    )
    assert high > 1
    assert (same_low, cut) == (low, 1.0)
