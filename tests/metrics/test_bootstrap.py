"""Intervals: their arithmetic against plain resampling, and when there is none."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from support.units import bootstrap_of

from revalexo_clip.metrics.blocks import LEAST_BLOCKS, TimeUnits, UnitKind
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import Floats, Ints


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
    """Return the interval of a mean over consecutive blocks, one window each, with and without their order."""
    count = len(values)
    widths = []
    for kind, follows_U in (("blocks of 30 s", np.arange(count) > 0), ("recordings", np.zeros(count, dtype=bool))):
        units = TimeUnits(np.arange(count), ("a",) * count, cast("UnitKind", kind), follows_U)
        low, high = interval(TimeBootstrap(units), values, units.unit_N) or (0.0, 0.0)
        widths.append(high - low)
    return widths[0], widths[1]


def test_neighbouring_blocks_that_depend_on_each_other_widen_the_interval() -> None:
    slow = np.sin(np.arange(30) / 5)
    widened, plain = blocks_of_one_recording(slow)
    assert widened > 1.3 * plain
    alternating = np.arange(30) % 2 + 0.1 * np.random.default_rng(0).standard_normal(30)
    widened, plain = blocks_of_one_recording(alternating)
    assert widened == plain
