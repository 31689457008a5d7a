"""Intervals between subjects, against SciPy's t interval."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from scipy import stats

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.between_subjects import LEAST_SUBJECTS, between_subjects
from revalexo_clip.metrics.bootstrap import SHARE


def test_it_is_the_t_interval_of_the_subjects_own_figures() -> None:
    figure_S1 = np.random.default_rng(0).uniform(0.4, 0.6, (9, 1))
    found = cast("JsonObject", cast("JsonObject", between_subjects(("mrr",), figure_S1))["mrr"])
    expected = stats.ttest_1samp(figure_S1[:, 0], 0).confidence_interval(0.95)
    assert found["mean"] == pytest.approx(figure_S1.mean())
    assert found["interval"] == pytest.approx([expected.low, expected.high])


def test_few_subjects_have_none() -> None:
    assert between_subjects(("mrr",), np.random.default_rng(0).random((LEAST_SUBJECTS - 1, 1))) is None


def test_subjects_that_are_all_alike_have_no_interval() -> None:
    assert between_subjects(("mrr",), np.ones((7, 1))) == {"mrr": {"mean": 1.0, "interval": None}}


def test_a_share_stays_between_none_and_all() -> None:
    figure_S1 = np.array([[0.0], [0.0], [1.0], [0.0], [0.0], [0.0]])
    found = cast("JsonObject", cast("JsonObject", between_subjects(("mrr",), figure_S1, {"mrr": SHARE}))["mrr"])
    low, high = cast("list[float]", found["interval"])
    assert low == 0.0
    assert 1 / 6 < high < 1
