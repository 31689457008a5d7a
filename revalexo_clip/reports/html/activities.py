"""Colours, keys and runs of activities in timelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise

import numpy as np

from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.reports.conclusions.verdict import plain_name
from revalexo_clip.reports.html.page import Html, joined, tag, text

KINDS = 7
"""Activities with a colour of their own; the least frequent ones share another one."""
_OTHERS = f"c{KINDS + 1}"


def colours(label_M: Ints) -> dict[int, str]:
    """Return the colour of each activity that occurs, the most frequent one first."""
    found, counts = np.unique(label_M, return_counts=True)
    ordered = found[np.argsort(-counts, kind="stable")].tolist()
    return {label: f"c{rank + 1}" if rank < KINDS else _OTHERS for rank, label in enumerate(ordered)}


def keys(activities: Sequence[str], roles: Mapping[int, str]) -> Html:
    """Return the list of colours with their activities."""
    entries = []
    for role, group in groupby(roles, key=roles.__getitem__):
        names = ", ".join(plain_name(activities[label]) for label in group)
        entries.append(tag("li", joined([tag("i", style=f"background: var(--{role})"), text(names)])))
    return tag("ul", joined(entries), class_="keys")


def runs(kind_M: Ints, start_M: Floats, end_M: Floats) -> Iterator[tuple[int, float, float]]:
    """Yield each run of one kind, with the start of its first entry and the end of its last one [s].

    A run ends where the next entry starts later than the entry before it ends.
    """
    changed_M = (np.diff(kind_M) != 0) | (start_M[1:] - end_M[:-1] > 1e-6)
    edges = [0, *(np.flatnonzero(changed_M) + 1).tolist(), len(kind_M)]
    for first, end in pairwise(edges):
        yield int(kind_M[first]), float(start_M[first]), float(end_M[end - 1])
