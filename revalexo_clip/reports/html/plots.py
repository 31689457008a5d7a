"""Matplotlib plots as SVG in the fonts and colours of the page.

Matplotlib draws with a placeholder colour for each role. In the SVG each placeholder is replaced by a variable of the
style sheet, so that one drawing fits light mode, dark mode and paper.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from revalexo_clip.reports.html.page import Html, text
from revalexo_clip.reports.values import Measured, points

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # of recent releases

ROLES = ("ground", "ink", "muted", "grid", "imu", "video", *(f"c{number}" for number in range(1, 9)))
"""Colours of `page.css`; `c1` to `c8` are for up to eight categories."""
COLOUR = {role: f"#0{number:x}f00d" for number, role in enumerate(ROLES)}
"""Placeholder colour of each role."""
WIDTH = 10.2
"""Width of the page's text [in], at 96 px per inch."""

_STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": COLOUR["ink"],
    "axes.labelcolor": COLOUR["muted"],
    "axes.labelsize": 9.5,
    "axes.edgecolor": COLOUR["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": COLOUR["muted"],
    "ytick.color": COLOUR["muted"],
    "xtick.labelcolor": COLOUR["ink"],
    "ytick.labelcolor": COLOUR["ink"],
    "grid.color": COLOUR["grid"],
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_POINT = 4 / 3
"""Size of a point [px]."""


def panels(width: float, height: float, columns: int = 1, rows: int = 1, *, share_y: bool = False) -> list[Axes]:
    """Return axes in a new drawing of the given size [in], row by row."""
    with rc_context(_STYLE):
        drawing = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.06))
        grid = drawing.subplots(rows, columns, squeeze=False, sharey=share_y, sharex=rows > 1)
        return list(np.ravel(grid))


def svg(axes: Axes, description: str) -> Html:
    """Return the drawing of the axes as SVG, with a description for screen readers."""
    drawing = axes.get_figure(root=True)
    assert drawing is not None
    for written in drawing.findobj(Text):
        written.set_parse_math(False)  # names of activities and recordings may contain dollar signs
    buffer = StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": description}):
        drawing.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return _part_of_the_page(buffer.getvalue(), description)


def _part_of_the_page(drawn: str, description: str) -> Html:
    drawn = drawn[drawn.index("<svg") :]
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    assert found is not None
    width = _POINT * float(found[1])
    body = drawn[drawn.index(">") + 1 :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", body)  # names of groups, which other drawings have as well
    body = re.sub(r" ?font-family: [^;\"]+;?", "", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r"\s*\n\s*", "\n", body)
    for role, colour in COLOUR.items():
        body = body.replace(colour, f"var(--{role})")
    return Html(
        f'<svg class="plot" role="img" aria-label="{text(description)}" {found[0]} style="width: {width:.0f}px">{body}'
    )


def heading(axes: Axes, title: str) -> None:
    """Write a title above the axes."""
    axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold", color=COLOUR["ink"])


def percent_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Label an axis of shares in percent, and draw its grid lines."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    axes.grid(axis=which)
    axis.set_tick_params(length=0)


def bare(axes: Axes, *sides: Literal["left", "bottom"]) -> None:
    """Remove the lines on these sides."""
    for side in sides:
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


def band(axes: Axes, x: Sequence[float], figures: Sequence[Measured], colour: str) -> None:
    """Draw the intervals along a line, if there are any."""
    held = [(at, found.interval) for at, found in zip(x, figures, strict=True) if found.interval is not None]
    if held:
        low, high = zip(*(ends for _, ends in held), strict=True)
        axes.fill_between([at for at, _ in held], low, high, color=colour, alpha=0.13, linewidth=0)


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], gap: float) -> None:
    """Write names beside the right ends of lines, at least `gap` apart: (x, y, name, role) each."""
    apart = spread([y for _, y, _, _ in ends], gap)
    for (x, _, name, role), y in zip(ends, apart, strict=True):
        axes.annotate(
            name, (x, y), xytext=(8, 0), textcoords="offset points", va="center", color=COLOUR[role], clip_on=False
        )


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart so that no two are closer than `gap`; their order and mean stay the same."""
    if not values:
        return []
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    placed = np.maximum.accumulate(np.asarray(values)[order] - steps) + steps
    moved = np.empty(len(values))
    moved[order] = placed - (placed.mean() - np.mean(values))
    return moved.tolist()


ROW_HEIGHT = 0.34
"""Height of a row in a drawing [in]."""
_MARGIN = 0.04
"""Free part of an axis on both sides, so that dots at its ends are whole."""
_DOT = 0.03
"""Width of a dot, as a share of an axis."""
MARKERS = ("o", "D")
"""Markers of the dots in a row, from the top."""


@dataclass(frozen=True)
class Row:
    """A row of a dot plot: its label, and its values by role of colour."""

    label: str
    dots: Mapping[str, Measured]
    chance: float | None = None
    """Value at chance level."""


def draw(axes: Axes, rows: Sequence[Row], title: str, *, upto: float | None = None) -> None:
    """Draw shares with their intervals, a row for each label. Chance is a bar across the row.

    The axis ends behind `upto`, by default the largest of the shares and interval ends.
    """
    _draw_rows(axes, rows, title)
    reach = upto or largest([rows]) or 0.01
    axes.set_xlim(-_MARGIN * reach, (1 + 2 * _MARGIN) * reach)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))


def largest(panels_of_rows: Iterable[Sequence[Row]]) -> float:
    """Return the largest share, interval end or chance level of some rows; zero if there is none."""
    found = [
        end
        for rows in panels_of_rows
        for row in rows
        for end in (row.chance, *(end for one in row.dots.values() for end in (one.value, *(one.interval or ()))))
    ]
    return max((end for end in found if end is not None), default=0.0)


def whiskers(panels_of_rows: Collection[Sequence[Row]], missing: str, *, what: str = "95% intervals") -> str:
    """Return what the whiskers of a dot plot are, as far as there are any; `missing` says why a dot has none."""
    dots = [one for rows in panels_of_rows for row in rows for one in row.dots.values() if one.value is not None]
    held = [one for one in dots if one.interval is not None]
    if not held:
        return f"There are no intervals: {missing}." if dots else ""
    told = f"Whiskers are {what}"
    told += "." if len(held) == len(dots) else f"; a dot without one has no interval: {missing}."
    least = min(one.interval[1] - one.interval[0] for one in dots if one.interval is not None)
    hidden = least < _DOT * max(largest([rows]) for rows in panels_of_rows)
    return f"{told} Intervals narrower than a dot are hidden by it." if hidden else told


def draw_gains(axes: Axes, rows: Sequence[Row], title: str) -> None:
    """Draw differences of shares around a line at zero. Dots are hollow if the interval includes zero."""
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
    axes.plot([dot.value], [y], marker, color=colour, markerfacecolor=fill, markersize=5.5, clip_on=False)
