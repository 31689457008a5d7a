"""Exact bounds of results that are the same everywhere: their arithmetic, and that they settle differences."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from scipy import stats
from support.made_windows import made_windows
from support.units import bootstrap_of

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import TimeUnits, units_of
from revalexo_clip.metrics.bootstrap import DIFFERENCE, SHARE, UNLIMITED, TimeBootstrap
from revalexo_clip.metrics.classification import (
    CLASSIFICATION_SCORES,
    ClassifierOutput,
    exact_intervals,
    gain,
    measure,
    scores,
)
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.exact_bounds import MOST_CORRELATED, all_alike, bounds, least_share
from revalexo_clip.metrics.galleries import measure_retrieval, rank_galleries
from revalexo_clip.metrics.paired_differences import significance
from revalexo_clip.reports.values import child


def one_recording(blocks: int) -> TimeBootstrap:
    units = TimeUnits(np.arange(blocks), ("a",) * blocks, "blocks of 30 s", np.arange(blocks) > 0)
    return TimeBootstrap(units, resamples=50)


@pytest.mark.parametrize("units", [1, 5, 20, 300])
def test_independent_units_have_the_bounds_of_clopper_and_pearson(units: int) -> None:
    expected = float(stats.binomtest(units, units).proportion_ci(0.95, "exact").low)
    assert least_share(units, 0, 0.025) == pytest.approx(expected)
    assert all_alike(expected, units) == pytest.approx(0.025)


def test_units_of_a_recording_count_less() -> None:
    share = least_share(20, 19, 0.025)
    assert 0.6 < share < least_share(20, 0, 0.025) - 0.1
    stays = share + MOST_CORRELATED * (1 - share)
    assert share * stays**19 == pytest.approx(0.025)


def test_chains_that_are_all_alike_are_as_rare_as_said() -> None:
    rng, share, count = np.random.default_rng(0), 0.8, 20_000
    alike_E = rng.random(count) < share
    whole_E = alike_E.copy()
    for _ in range(11):
        same_E = rng.random(count) < MOST_CORRELATED
        alike_E = np.where(same_E, alike_E, rng.random(count) < share)
        whole_E &= alike_E
    assert whole_E.mean() == pytest.approx(all_alike(share, 12, 11), abs=0.01)


def test_a_share_of_all_or_nothing_has_an_interval_and_its_ends_differ() -> None:
    bootstrap, unit_N = bootstrap_of(["a"] * 12), np.arange(24) % 12
    ends = [
        bootstrap.interval(bootstrap.means(np.full((24, 1), value), unit_N)[:, 0], unit_N, SHARE)
        for value in (1.0, 0.0)
    ]
    least = 0.025 ** (1 / 12)
    assert ends == [(pytest.approx(least), 1.0), (0.0, pytest.approx(1 - least))]


def test_few_units_have_wide_exact_bounds() -> None:
    bootstrap, unit_N = bootstrap_of(["a"] * 2), np.arange(2)
    found = bootstrap.interval(np.ones(1000), unit_N, SHARE) or ()
    assert list(found) == pytest.approx([0.025**0.5, 1.0])
    assert bootstrap.interval(np.full(1000, 0.3), unit_N, SHARE) is None


def test_collapsed_embeddings_have_an_interval_of_their_reciprocal_rank() -> None:
    bootstrap, unit_N = bootstrap_of(["a"] * 30), np.arange(90) % 30
    rank_R = bootstrap.means(np.full((90, 1), 1 / 90), unit_N)[:, 0]  # not exactly the same: sums are rounded
    low, high = bootstrap.interval(rank_R, unit_N, SHARE) or (np.nan, np.nan)
    assert (low, high) == pytest.approx(bounds(1 / 90, SHARE, 0.025 ** (1 / 30)))
    assert low < 1 / 90 < high < 0.2


def test_a_difference_of_all_to_nothing_is_settled_by_the_same_bounds() -> None:
    bootstrap, unit_N = bootstrap_of(["a"] * 12), np.arange(12)
    least = 0.025 ** (1 / 12)
    assert list(bootstrap.interval(np.ones(1000), unit_N, DIFFERENCE) or ()) == pytest.approx([2 * least - 1, 1.0])
    assert bootstrap.p_value(-np.ones(1000), unit_N, DIFFERENCE) == pytest.approx(2 * 0.5**12)
    assert bootstrap.interval(np.zeros(1000), unit_N, DIFFERENCE) is None
    assert bootstrap.interval(np.ones(1000), unit_N, UNLIMITED) is None
    few = bootstrap_of(["a"] * 5)
    assert few.interval(np.ones(1000), np.arange(5), DIFFERENCE) is None
    assert few.p_value(np.ones(1000), np.arange(5), DIFFERENCE) is None


def test_a_p_value_is_below_five_percent_if_the_interval_excludes_zero() -> None:
    rng, bootstrap, unit_N = np.random.default_rng(0), bootstrap_of(["a"] * 40), np.arange(40)
    agree = []
    for shift in np.linspace(-0.6, 0.6, 61):
        change_R = bootstrap.means(rng.standard_normal((40, 1)) + shift, unit_N)[:, 0]
        p, ends = bootstrap.p_value(change_R, unit_N), bootstrap.interval(change_R, unit_N)
        assert p is not None
        assert ends is not None
        agree.append((p < 0.05) == (ends[0] > 0 or ends[1] < 0))
    assert np.mean(agree) > 0.95
    far = bootstrap.means(rng.standard_normal((40, 1)) + 3, unit_N)[:, 0]
    assert (bootstrap.p_value(far, unit_N) or 1.0) < 0.01


def output(true_N: Ints, *, right: bool, classes: int = 4) -> ClassifierOutput:
    """All windows right, or none; units of two windows each."""
    predicted_N = true_N if right else (true_N + 1) % classes
    return ClassifierOutput(true_N, predicted_N, np.arange(len(true_N)) // 2, classes)


TRUE = np.repeat([0, 1, 0, 1, 0, 2] * 5, 2)
"""In 30 units: three classes, and one that never is true."""


def test_a_perfect_and_a_collapsed_classifier_read_differently() -> None:
    bootstrap = bootstrap_of(["a"] * 30)
    perfect, collapsed = (
        measure(output(TRUE, right=right), bootstrap, CLASSIFICATION_SCORES) for right in (True, False)
    )
    for name in CLASSIFICATION_SCORES:
        low, high = interval(perfect, name)
        assert high == 1.0
        assert low > 0.6
        low, high = interval(collapsed, name)
        assert low == 0.0
        assert high < 0.6
    assert interval(perfect, "accuracy")[0] == pytest.approx(0.025 ** (1 / 30))


def interval(found: JsonObject, name: str) -> list[float]:
    return cast("list[float]", cast("JsonObject", found["interval"])[name])


def test_rare_classes_widen_the_bounds_of_scores_that_weight_classes_equally() -> None:
    found = exact_intervals(output(TRUE, right=True), bootstrap_of(["a"] * 30)) or {}
    least_A = np.array([0.025 ** (1 / units) for units in (15, 10, 5)])
    assert found["macro_f1"][0] == found["balanced_accuracy"][0] == pytest.approx(least_A.mean())
    assert found["weighted_f1"][0] == pytest.approx(least_A @ [1 / 2, 1 / 3, 1 / 6])
    assert exact_intervals(output(TRUE, right=False), bootstrap_of(["a"] * 30)) is not None
    half = ClassifierOutput(TRUE, np.where(np.arange(len(TRUE)) % 2, TRUE, 3), np.arange(len(TRUE)) // 2, 4)
    assert exact_intervals(half, bootstrap_of(["a"] * 30)) is None


@pytest.mark.parametrize("seed", range(3))
def test_exact_bounds_of_scores_contain_the_truth(seed: int) -> None:
    """If all are right in units that are seen, the scores of units in which a share is wrong are within the bounds."""
    rng, units = np.random.default_rng(seed), 30
    bootstrap = bootstrap_of(["a"] * units)
    found = exact_intervals(output(TRUE, right=True), bootstrap) or {}
    # As many units are wrong as would leave all 30 right with probability 2.5%.
    true_N = np.tile(TRUE, 200)
    wrong_U = rng.random(len(true_N) // 2) > 0.025 ** (1 / units)
    predicted_N = np.where(np.repeat(wrong_U, 2), rng.integers(0, 3, len(true_N)), true_N)
    confusion = ClassifierOutput(true_N, predicted_N, np.zeros(len(true_N), dtype=np.int64), 4).confusion()
    truth: Floats = scores(confusion[None], CLASSIFICATION_SCORES)[0]
    for name, value in zip(CLASSIFICATION_SCORES, truth.tolist(), strict=True):
        low, high = found[name]
        assert low - 0.01 <= value <= high


def test_a_hundred_percent_is_better_than_zero_percent_and_two_zeros_are_not_the_same() -> None:
    bootstrap = bootstrap_of(["a"] * 30)
    right, wrong = output(TRUE, right=True), output(TRUE, right=False)
    found = gain(right, wrong, bootstrap, CLASSIFICATION_SCORES)
    for name in CLASSIFICATION_SCORES:
        assert significance(name, cast("JsonObject", found["interval"])[name], same=False) == "better"
        assert cast("float", cast("JsonObject", found["p_value"])[name]) < 0.01
    other = ClassifierOutput(TRUE, (TRUE + 2) % 4, wrong.unit_N, 4)
    nothing = gain(wrong, other, bootstrap, CLASSIFICATION_SCORES)
    low, high = interval(nothing, "accuracy")
    assert low < 0 < high
    assert cast("JsonObject", nothing["p_value"])["accuracy"] == 1.0
    same = gain(wrong, wrong, bootstrap, CLASSIFICATION_SCORES)
    assert set(cast("JsonObject", same["interval"]).values()) == {None}


def test_blocks_of_one_recording_need_more_to_settle_a_difference() -> None:
    bootstraps = [one_recording(8), one_recording(20)]
    p_values = [one.p_value(np.ones(50), np.arange(len(one.subject_U)), DIFFERENCE) for one in bootstraps]
    assert (p_values[0] or 0.0) > 0.05 > (p_values[1] or 1.0)


def test_a_recall_that_could_not_be_lower_has_no_interval() -> None:
    windows = made_windows(subjects=2)  # eight of each clip
    bootstrap = TimeBootstrap(units_of(windows), resamples=20)
    found = measure_retrieval(windows, rank_galleries(windows), bootstrap)
    figures = child(found, "retrieval_within_clip", "imu_to_video")
    assert figures["r_at_10"] == 1.0
    assert child(figures, "interval")["r_at_10"] is None
    assert child(figures, "interval")["r_at_5"] is not None
    assert child(found, "retrieval", "imu_to_video", "interval")["r_at_10"] is not None
