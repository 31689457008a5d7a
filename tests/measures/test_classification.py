"""Scores against scikit-learn, on labels that leave classes out."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from revalexo_clip.component import JsonObject
from revalexo_clip.measures.bootstrap import ClipBootstrap
from revalexo_clip.measures.classification import Recognised, gain, measure, scores

CLASSES = 4


def plain(true_N: npt.ArrayLike, predicted_N: npt.ArrayLike) -> list[float]:
    macro, weighted = (f1_score(true_N, predicted_N, average=how, zero_division=0) for how in ("macro", "weighted"))
    return [accuracy_score(true_N, predicted_N), macro, weighted]


def recognised(seed: int, windows: int = 90, clips: int = 9) -> Recognised:
    rng = np.random.default_rng(seed)
    true_N = rng.integers(0, CLASSES, windows)
    predicted_N = np.where(rng.random(windows) < 0.7, true_N, rng.integers(0, CLASSES, windows))
    return Recognised(true_N, predicted_N, np.arange(windows) % clips, CLASSES)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true_N, predicted_N = np.array(pairs).T
    found = Recognised(true_N, predicted_N, np.zeros(len(pairs), dtype=np.int64), CLASSES)
    assert found.confusion().tolist() == confusion_matrix(true_N, predicted_N, labels=range(CLASSES)).tolist()
    assert scores(found.confusion()[None])[0] == pytest.approx(plain(true_N, predicted_N))


def test_resampled_scores_are_those_of_the_windows_drawn() -> None:
    found, bootstrap = recognised(seed=0), ClipBootstrap(["a"] * 9, resamples=20)
    for weight_J, values in zip(bootstrap.weight_RJ, found.resampled(bootstrap), strict=True):
        rows = np.repeat(np.arange(90), weight_J.astype(int)[found.clip_N])
        assert values == pytest.approx(plain(found.true_N[rows], found.predicted_N[rows]))


def test_a_gain_is_the_difference_with_an_interval_of_its_own() -> None:
    better = recognised(seed=0)
    worse = Recognised(better.true_N, np.roll(better.predicted_N, 1), better.clip_N, CLASSES)
    bootstrap = ClipBootstrap(["a"] * 9)
    found = gain(better, worse, bootstrap)
    difference = np.subtract(plain(better.true_N, better.predicted_N), plain(worse.true_N, worse.predicted_N))
    assert [found["accuracy"], found["macro_f1"], found["weighted_f1"]] == pytest.approx(difference.tolist())
    low, high = cast("list[float]", cast("JsonObject", found["interval"])["accuracy"])
    assert 0 < low < difference[0] < high


def test_what_is_no_better_has_no_gain() -> None:
    found = gain(recognised(seed=0), recognised(seed=0), ClipBootstrap(["a"] * 9))
    assert found["accuracy"] == 0
    assert cast("JsonObject", found["interval"])["accuracy"] is None


def test_no_window_has_no_scores() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    none = Recognised(nothing, nothing, nothing, CLASSES)
    for found in (measure(none, ClipBootstrap(["a"])), gain(none, none, ClipBootstrap(["a"]))):
        assert found["accuracy"] is found["macro_f1"] is found["weighted_f1"] is None
