"""Scores compared with scikit-learn, for labels with missing classes."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from support.units import bootstrap_of

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import LEAST_BLOCKS
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES, ClassifierOutput, gain, measure, scores

CLASSES = 4


def plain(true_N: npt.ArrayLike, predicted_N: npt.ArrayLike) -> list[float]:
    macro, weighted = (f1_score(true_N, predicted_N, average=how, zero_division=0) for how in ("macro", "weighted"))
    return [accuracy_score(true_N, predicted_N), macro, weighted]


def made_output(seed: int, windows: int = 90, clips: int = 9) -> ClassifierOutput:
    rng = np.random.default_rng(seed)
    true_N = rng.integers(0, CLASSES, windows)
    predicted_N = np.where(rng.random(windows) < 0.7, true_N, rng.integers(0, CLASSES, windows))
    return ClassifierOutput(true_N, predicted_N, np.arange(windows) % clips, CLASSES)


@pytest.mark.long
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true_N, predicted_N = np.array(pairs).T
    found = ClassifierOutput(true_N, predicted_N, np.zeros(len(pairs), dtype=np.int64), CLASSES)
    assert found.confusion().tolist() == confusion_matrix(true_N, predicted_N, labels=range(CLASSES)).tolist()
    assert scores(found.confusion()[None])[0] == pytest.approx(plain(true_N, predicted_N))


def test_resampled_scores_are_those_of_the_windows_drawn() -> None:
    found, bootstrap = made_output(seed=0), bootstrap_of(["a"] * 9, resamples=20)
    for weight_J, values in zip(bootstrap.weight_RU, found.resampled(bootstrap), strict=True):
        rows = np.repeat(np.arange(90), weight_J.astype(int)[found.unit_N])
        assert values == pytest.approx(plain(found.true_N[rows], found.predicted_N[rows]))


@pytest.mark.long
def test_a_gain_is_the_difference_with_an_interval_of_its_own() -> None:
    better = made_output(seed=0)
    worse = ClassifierOutput(better.true_N, np.roll(better.predicted_N, 1), better.unit_N, CLASSES)
    bootstrap = bootstrap_of(["a"] * 9)
    found = gain(better, worse, bootstrap)
    difference = np.subtract(plain(better.true_N, better.predicted_N), plain(worse.true_N, worse.predicted_N))
    assert [found["accuracy"], found["macro_f1"], found["weighted_f1"]] == pytest.approx(difference.tolist())
    low, high = cast("list[float]", cast("JsonObject", found["interval"])["accuracy"])
    assert 0 < low < difference[0] < high


def test_an_activity_in_few_units_of_time_leaves_the_macro_f1_without_an_interval() -> None:
    found, bootstrap = made_output(seed=0), bootstrap_of(["a"] * 9)
    assert found.units().tolist() == [len(set(found.unit_N[found.true_N == one].tolist())) for one in range(CLASSES)]
    for clips, there in ((LEAST_BLOCKS, True), (LEAST_BLOCKS - 1, False)):
        rare = (found.true_N == 3) & (found.unit_N >= clips)
        true_N = np.where(rare, 0, found.true_N)
        measured = measure(ClassifierOutput(true_N, found.predicted_N, found.unit_N, CLASSES), bootstrap)
        intervals = cast("JsonObject", measured["interval"])
        assert (intervals["macro_f1"] is not None) == there
        assert intervals["accuracy"] is not None
        assert measured["macro_f1"] == pytest.approx(plain(true_N, found.predicted_N)[1])


def test_what_is_no_better_has_no_gain() -> None:
    found = gain(made_output(seed=0), made_output(seed=0), bootstrap_of(["a"] * 9))
    assert found["accuracy"] == 0
    assert cast("JsonObject", found["interval"])["accuracy"] is None


def test_no_window_has_no_scores() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    none = ClassifierOutput(nothing, nothing, nothing, CLASSES)
    for found in (measure(none, bootstrap_of(["a"])), gain(none, none, bootstrap_of(["a"]))):
        assert found["accuracy"] is found["macro_f1"] is found["weighted_f1"] is None


@pytest.mark.long
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Clips with two activities each, some of them rare, and a difficulty per clip; see docs/metrics.md."""
    rng, runs, clips = np.random.default_rng(0), 200, 80
    truth_4 = scores(simulated(rng, 10_000).confusion()[None], CLASSIFICATION_SCORES)[0]
    bootstrap = bootstrap_of(["a"] * clips, resamples=500)
    held_4 = np.zeros(4)
    for _ in range(runs):
        found = simulated(rng, clips)
        for place, figure_R in enumerate(found.resampled(bootstrap, CLASSIFICATION_SCORES).T):
            ends = bootstrap.interval(figure_R, found.unit_N)
            held_4[place] += ends is not None and ends[0] <= truth_4[place] <= ends[1]
    least = {"accuracy": 0.90, "balanced_accuracy": 0.86, "macro_f1": 0.83, "weighted_f1": 0.90}
    assert (held_4 / runs >= [least[name] for name in CLASSIFICATION_SCORES]).all(), held_4 / runs
    assert (held_4 / runs <= 0.99).all(), held_4 / runs


def simulated(rng: np.random.Generator, clips: int, windows: int = 20) -> ClassifierOutput:
    activity_J2 = rng.choice(5, size=(clips, 2), p=[0.45, 0.3, 0.15, 0.07, 0.03])
    first_JW = np.arange(windows) < rng.integers(4, 16, size=(clips, 1))
    true_JW = np.where(first_JW, activity_J2[:, :1], activity_J2[:, 1:])
    right_JW = rng.random((clips, windows)) < rng.beta(6, 1.5, size=(clips, 1))
    wrong_JW = (true_JW + rng.integers(1, 5, size=true_JW.shape)) % 5
    predicted_JW = np.where(right_JW, true_JW, wrong_JW)
    return ClassifierOutput(true_JW.ravel(), predicted_JW.ravel(), np.repeat(np.arange(clips), windows), 5)


def test_scores_of_each_subject_are_those_of_its_windows() -> None:
    found, bootstrap = made_output(seed=0, clips=12), bootstrap_of(list("ab" * 6))
    for subject, scored in enumerate(found.of_each_subject(bootstrap)):
        rows = found.unit_N % 2 == subject
        assert scored == pytest.approx(plain(found.true_N[rows], found.predicted_N[rows]))
    assert measure(found, bootstrap)["between_subjects"] is None
    several = cast("JsonObject", measure(found, bootstrap_of(list("abcdefghijkl")))["between_subjects"])
    assert set(several) == {"accuracy", "macro_f1", "weighted_f1"}
