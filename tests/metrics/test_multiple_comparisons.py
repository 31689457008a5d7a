"""Correction of p-values for the number of comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from revalexo_clip.metrics.multiple_comparisons import holm


def test_the_smallest_p_value_is_multiplied_most_and_order_is_kept() -> None:
    found = holm({"a": 0.03, "b": 0.01, "c": 0.02, "d": None})
    assert found == {"a": pytest.approx(0.04), "b": pytest.approx(0.03), "c": pytest.approx(0.04), "d": None}
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({"alone": 0.04}) == {"alone": 0.04}


def test_without_differences_at_most_one_family_in_twenty_has_a_significant_one() -> None:
    rng = np.random.default_rng(0)
    families = rng.random((4000, 5))
    wrong = sum(min(filter(None, holm(dict(enumerate(family))).values())) < 0.05 for family in families.tolist())
    assert 0.04 < wrong / 4000 < 0.055
