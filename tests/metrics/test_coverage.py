"""Coverage of the 95% intervals, in simulations with known truth.

Windows of a clip depend on each other: each clip has a difficulty of its own, each subject another one.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from support.units import bootstrap_of

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.classification import ClassifierOutput, gain, measure, scores
from revalexo_clip.metrics.evaluated import Floats, Ints

RUNS = 800
WINDOWS = 8
"""In each clip."""
MANY = 100_000
"""Clips that show the truth."""
FREQUENCY = (0.4, 0.3, 0.2, 0.1)
"""Of the activities."""
EASE = (1.2, 0.8)
"""Separation of the classes for each of two probes."""


@pytest.mark.slow
@pytest.mark.parametrize(("subjects", "clips"), [(1, 8), (1, 40), (4, 10)])
def test_of_ranks(subjects: int, clips: int) -> None:
    rng = np.random.default_rng(clips)
    many = draw_ranks(rng, np.arange(MANY) % subjects, subjects)
    truth_3 = np.array([*rank_values(many).mean(axis=0), np.median(many)])
    subject_J = np.repeat(np.arange(subjects), clips)
    clip_N = np.repeat(np.arange(len(subject_J)), WINDOWS)
    bootstrap = bootstrap_of(subject_J.astype(str).tolist(), resamples=500)
    held_3 = np.zeros(3)
    for _ in range(RUNS):
        rank_N = draw_ranks(rng, subject_J, subjects)
        figures_3R = (*bootstrap.means(rank_values(rank_N), clip_N).T, bootstrap.medians(rank_N, clip_N))
        ends = [bootstrap.interval(figure_R, clip_N) for figure_R in figures_3R]
        held_3 += [
            found is not None and found[0] <= truth <= found[1] for found, truth in zip(ends, truth_3, strict=True)
        ]
    assert (held_3 / RUNS >= 0.92).all(), held_3 / RUNS
    assert (held_3 / RUNS <= 0.98).all(), held_3 / RUNS


@pytest.mark.slow
@pytest.mark.parametrize(("subjects", "clips", "has_macro"), [(1, 10, False), (1, 40, True), (4, 10, True)])
def test_of_scores_and_gains(subjects: int, clips: int, has_macro: bool) -> None:
    rng = np.random.default_rng(clips)
    better, worse = draw_probes(rng, np.arange(MANY) % subjects, subjects)
    truth_2 = scores(better.confusion()[None])[0][:2]
    truth_4 = np.concatenate([truth_2, truth_2 - scores(worse.confusion()[None])[0][:2]])
    subject_J = np.repeat(np.arange(subjects), clips)
    bootstrap = bootstrap_of(subject_J.astype(str).tolist(), resamples=500)
    held_4, had_4 = np.zeros(4), np.zeros(4)
    for _ in range(RUNS):
        better, worse = draw_probes(rng, subject_J, subjects)
        found = (measure(better, bootstrap), gain(better, worse, bootstrap))
        ends = [cast("JsonObject", one["interval"])[name] for one in found for name in ("accuracy", "macro_f1")]
        for place, (interval, truth) in enumerate(zip(ends, truth_4, strict=True)):
            if interval is not None:
                low, high = cast("list[float]", interval)
                had_4[place] += 1
                held_4[place] += low <= truth <= high
    assert (had_4[[0, 2, 3]] == RUNS).all()
    assert (had_4[1] > RUNS / 2) == has_macro  # of so few clips there is an activity in fewer than six
    asserted = [0, 1, 2, 3] if has_macro else [0, 2, 3]
    share = held_4[asserted] / had_4[asserted]
    assert (share >= 0.92).all(), share
    assert (share <= 0.98).all(), share


def levels(rng: np.random.Generator, subject_J: Ints, subjects: int, spread: float) -> Floats:
    """How easy each clip is."""
    of_subject = np.linspace(-0.5, 0.5, subjects) if subjects > 1 else np.zeros(1)
    return np.asarray(of_subject[subject_J] + spread * rng.standard_normal(len(subject_J)))


def likely(level: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-level)))


def draw_ranks(rng: np.random.Generator, subject_J: Ints, subjects: int) -> Floats:
    """Ranks: 1 with the likelihood of the level, else anything up to 1000, the higher the lower the level."""
    share_N = likely(np.repeat(levels(rng, subject_J, subjects, spread=0.3), WINDOWS))
    elsewhere_N = np.ceil(1 + 999 * rng.random(len(share_N)) ** (1 + share_N))
    return np.where(rng.random(len(share_N)) < share_N - 0.25, 1.0, elsewhere_N)


def rank_values(rank_N: Floats) -> Floats:
    """Whether it is the first, and the reciprocal: their means are R@1 and MRR."""
    return np.stack([rank_N <= 1, 1 / rank_N], axis=1)


def draw_probes(rng: np.random.Generator, subject_J: Ints, subjects: int) -> tuple[ClassifierOutput, ClassifierOutput]:
    """What two probes make of clips in which one activity follows another. Rare ones are harder."""
    level_J1 = levels(rng, subject_J, subjects, spread=0.6)[:, None]
    clips, classes = len(subject_J), len(FREQUENCY)
    first_J1, then_J1 = rng.choice(classes, (2, clips, 1), p=FREQUENCY)
    true_JW = np.where(np.arange(WINDOWS) < rng.integers(0, WINDOWS + 1, (clips, 1)), first_J1, then_J1)
    found = []
    for ease in EASE:
        right_JW = likely(level_J1 + ease + 0.4 * rng.standard_normal((clips, 1)) - 0.3 * true_JW)
        mistake_JW = (true_JW + rng.choice([1, 2, 3], true_JW.shape, p=[0.6, 0.3, 0.1])) % classes
        predicted_JW = np.where(rng.random(true_JW.shape) < right_JW, true_JW, mistake_JW)
        clip_N = np.repeat(np.arange(clips), WINDOWS)
        found.append(ClassifierOutput(true_JW.ravel(), predicted_JW.ravel(), clip_N, classes))
    return found[0], found[1]
