"""Correction of p-values for the number of comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")


def holm(p_values: Mapping[Key, float | None]) -> dict[Key, float | None]:
    """Return p-values corrected for the number of those that are known (Holm, 1979, jstor.org/stable/4615733).

    If all differences are zero, the probability that any corrected p-value is below 0.05 is at most 0.05, however the
    comparisons depend on each other.
    """
    known = sorted((p, place) for place, p in enumerate(p_values.values()) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min((len(known) - rank) * p, 1.0))
        corrected[place] = largest
    return dict(zip(p_values, corrected, strict=True))
