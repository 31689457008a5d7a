"""Dots with whiskers: figures of several things below each other, their intervals, and what guessing gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from revalexo_clip.reports.html.plots import COLOUR, bare, heading, percent_axis
from revalexo_clip.reports.values import Measured, points

ROW_HEIGHT = 0.34
"""Of a row in a drawing [in]."""
MARKERS = ("o", "D")
"""Of the dots in a row, from the top."""


@dataclass(frozen=True)
class Row:
    """One thing, and its figures by role of colour."""

    label: str
    dots: Mapping[str, Measured]
    chance: float | None = None
    """What guessing gives."""


def draw(axes: Axes, rows: Sequence[Row], title: str) -> None:
    """Draw shares from the top down. Guessing is a bar across the row."""
    _draw_rows(axes, rows, title)
    axes.set_xlim(left=0)


def draw_gains(axes: Axes, rows: Sequence[Row], title: str) -> None:
    """Draw differences of shares around a line at zero. Dots are hollow where the interval does not leave it out."""
    axes.axvline(0, color=COLOUR["muted"], linewidth=1.2)
    _draw_rows(axes, rows, title, hollow_around=0.0)
    ends = [end for row in rows for one in row.dots.values() for end in (one.interval or (one.value or 0.0,))]
    reach = 1.15 * max(map(abs, ends), default=0.0) or 0.01
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter(lambda share, _: points(share).removesuffix(".0") if share else "0")
    axes.set_xlabel("percentage points")


def _draw_rows(axes: Axes, rows: Sequence[Row], title: str, hollow_around: float | None = None) -> None:
    for place, row in enumerate(rows):
        if row.chance is not None:
            axes.plot([row.chance] * 2, [place - 0.36, place + 0.36], color=COLOUR["muted"], linewidth=2.2)
        below = np.linspace(-0.18, 0.18, len(row.dots)) if len(row.dots) > 1 else (0.0,)
        for (role, dot), shift, marker in zip(row.dots.items(), below, MARKERS, strict=False):
            hollow = hollow_around is not None and dot.may_be(hollow_around)
            _draw_dot(axes, dot, place + shift, COLOUR[role], marker, hollow=hollow)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    heading(axes, title)
    percent_axis(axes, "x")
    bare(axes, "left", "bottom")


def _draw_dot(axes: Axes, dot: Measured, y: float, colour: str, marker: str, *, hollow: bool) -> None:
    if dot.value is None:
        return
    if dot.interval is not None:
        axes.plot(dot.interval, [y, y], color=colour, linewidth=1.5, solid_capstyle="butt")
    fill = COLOUR["ground"] if hollow else colour
    axes.plot([dot.value], [y], marker, color=colour, markerfacecolor=fill, markersize=6.5)
