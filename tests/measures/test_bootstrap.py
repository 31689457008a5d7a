"""Intervals: their arithmetic against plain resampling, and whether they hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from revalexo_clip.measures.bootstrap import LEAST_CLIPS, ClipBootstrap
from revalexo_clip.measures.windows import Floats, Ints


def test_resamples_are_what_repeating_the_windows_of_drawn_clips_gives() -> None:
    rng = np.random.default_rng(0)
    bootstrap = ClipBootstrap(["a", "b", "a", "b", "a"], resamples=50)
    clip_N = rng.integers(0, 5, 40)
    value_N2 = rng.integers(0, 9, (40, 2)).astype(np.float64)
    means_R2, medians_R = bootstrap.means(value_N2, clip_N), bootstrap.medians(value_N2[:, 0], clip_N)
    totals_RC = bootstrap.totals(value_N2[:, 0].astype(np.int64), 9, clip_N)
    for weight_J, means, median, totals in zip(bootstrap.weight_RJ, means_R2, medians_R, totals_RC, strict=True):
        repeated = np.repeat(value_N2, weight_J.astype(int)[clip_N], axis=0)
        np.testing.assert_allclose(means, repeated.mean(axis=0))
        assert median == np.median(repeated[:, 0])
        assert totals.tolist() == np.bincount(repeated[:, 0].astype(int), minlength=9).tolist()


def test_each_subject_keeps_its_number_of_clips() -> None:
    weight_RJ = ClipBootstrap(["a", "b", "a", "b", "a"], resamples=20).weight_RJ
    assert (weight_RJ[:, [0, 2, 4]].sum(axis=1) == 3).all()
    assert (weight_RJ[:, [1, 3]].sum(axis=1) == 2).all()


def test_intervals_are_the_same_every_time() -> None:
    clip_N, value_N = np.arange(20) % 10, np.arange(20.0)
    one, other = (ClipBootstrap(["a"] * 10) for _ in range(2))
    assert interval(one, value_N, clip_N) == interval(other, value_N, clip_N) is not None


def interval(bootstrap: ClipBootstrap, value_N: Floats, clip_N: Ints) -> tuple[float, float] | None:
    return bootstrap.interval(bootstrap.means(value_N[:, None], clip_N)[:, 0], clip_N)


@pytest.mark.parametrize("clips", [1, LEAST_CLIPS - 1])
def test_few_clips_have_no_interval(clips: int) -> None:
    assert interval(ClipBootstrap(["a"] * clips), np.arange(clips).astype(float), np.arange(clips)) is None


def test_a_clip_of_each_subject_has_no_interval() -> None:
    assert interval(ClipBootstrap(list("abcdefgh")), np.arange(8.0), np.arange(8)) is None


def test_windows_that_are_all_alike_have_no_interval() -> None:
    assert interval(ClipBootstrap(["a"] * 9), np.ones(9), np.arange(9)) is None


def test_clips_without_windows_are_as_if_they_were_not_there() -> None:
    bootstrap = ClipBootstrap(["a"] * 30)
    clip_N = np.arange(LEAST_CLIPS - 1)
    assert interval(bootstrap, clip_N.astype(float), clip_N) is None


@pytest.mark.slow
@pytest.mark.parametrize(("subjects", "clips"), [(1, 8), (1, 40), (4, 10)])
def test_intervals_hold_the_truth_as_often_as_they_say(subjects: int, clips: int) -> None:
    """Ranks of windows that overlap: each clip has a difficulty of its own, each subject another one."""
    rng = np.random.default_rng(clips)
    windows, runs = 6, 800
    clip_subjects = np.repeat(np.arange(subjects), clips)
    clip_N = np.repeat(np.arange(subjects * clips), windows)
    level_S = np.linspace(-0.5, 0.5, subjects) if subjects > 1 else np.zeros(1)
    many = level_S[rng.integers(0, subjects, 400_000)] + 0.3 * rng.standard_normal(400_000)
    ranks = _draw(rng, many)
    truth_share, truth_median = np.mean(_share(many) - 0.25), np.median(ranks)
    bootstrap = ClipBootstrap([str(subject) for subject in clip_subjects], resamples=500)
    held = np.zeros(2)
    for _ in range(runs):
        level_N = np.repeat(level_S[clip_subjects] + 0.3 * rng.standard_normal(subjects * clips), windows)
        rank_N = _draw(rng, level_N)
        for number, (figure_R, truth) in enumerate(
            (
                (bootstrap.means((rank_N <= 1).astype(float)[:, None], clip_N)[:, 0], truth_share),
                (bootstrap.medians(rank_N, clip_N), truth_median),
            )
        ):
            ends = bootstrap.interval(figure_R, clip_N)
            held[number] += ends is not None and ends[0] <= truth <= ends[1]
    assert (held / runs >= 0.92).all(), held / runs
    assert held[0] / runs <= 0.98, held / runs


def _share(level_N: Floats) -> Floats:
    """How likely rank 1 is at a level."""
    return np.asarray(1 / (1 + np.exp(-level_N)))


def _draw(rng: np.random.Generator, level_N: Floats) -> Floats:
    """Ranks: 1 with the likelihood of the level, else anything up to 1000, the higher the lower the level."""
    first_N = rng.random(len(level_N)) < _share(level_N) - 0.25
    return np.where(first_N, 1.0, np.ceil(1 + 999 * rng.random(len(level_N)) ** (1 + _share(level_N))))
