"""Dots with whiskers: figures of several things below each other, their intervals, and what guessing gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from revalexo_clip.html_report.figures import Measured
from revalexo_clip.html_report.plot import COLOUR, bare, heading, percent_axis

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


def draw(axes: Axes, rows: Sequence[Row], title: str, *, from_zero: bool = True) -> None:
    """Draw shares from the top down. Guessing is a bar across the row."""
    for place, row in enumerate(rows):
        if row.chance is not None:
            axes.plot([row.chance] * 2, [place - 0.36, place + 0.36], color=COLOUR["muted"], linewidth=2.2)
        below = np.linspace(-0.18, 0.18, len(row.dots)) if len(row.dots) > 1 else (0.0,)
        for (role, dot), shift, marker in zip(row.dots.items(), below, MARKERS, strict=False):
            _draw_dot(axes, dot, place + shift, COLOUR[role], marker)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if from_zero:
        axes.set_xlim(left=0)
    heading(axes, title)
    percent_axis(axes, "x")
    bare(axes, "left", "bottom")


def _draw_dot(axes: Axes, dot: Measured, y: float, colour: str, marker: str) -> None:
    if dot.value is None:
        return
    if dot.interval is not None:
        axes.plot(dot.interval, [y, y], color=colour, linewidth=1.5, solid_capstyle="butt")
    axes.plot([dot.value], [y], marker, color=colour, markersize=6.5)
