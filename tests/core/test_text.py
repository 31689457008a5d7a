"""Names that differ only in how they are spelled."""

from __future__ import annotations

import pytest

from revalexo_clip.core.text import spelled_twice


@pytest.mark.parametrize("other", ["stairs up", "stairs-up", "Stairs_Up", "stairs__up", " stairs up "])
def test_one_activity_in_two_spellings_is_found(other: str) -> None:
    told = spelled_twice(["walking", "stairs_up", other])
    assert repr(other) in told
    assert "'stairs_up'" in told
    assert "use one spelling for both" in told


def test_different_activities_stay_apart() -> None:
    assert spelled_twice(["stairs_up", "stairs_down", "stairsup", "stairs_up_2", "x$\\frac{$"]) == ""
