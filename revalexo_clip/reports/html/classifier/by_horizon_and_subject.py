"""F1 against the horizon: of all windows, in a steady state, in transitions, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.html.page import Html, figure, paragraph
from revalexo_clip.reports.html.plots import COLOUR, WIDTH, band, heading, label_ends, panels, percent_axis, svg
from revalexo_clip.reports.values import SETS, child, children, measured, number

_ROLES = {"all": "ink", "steady": "c1", "transition": "c2"}
_TITLES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1"}


def section_body(metrics: JsonObject) -> Html:
    """The curves; with a single horizon there is nothing to draw."""
    horizons = children(metrics, "horizons")
    x = [number(one["horizon"]) or 0.0 for one in horizons if number(child(one, "all")["windows"])]
    if len(x) < 2:
        return paragraph("Fewer than two horizons have labels, so there is no curve.")
    drawn = panels(WIDTH, 3.4, columns=2, share_y=True)
    for axes, (score, title) in zip(drawn, _TITLES.items(), strict=True):
        _draw(axes, horizons, score)
        heading(axes, title)
        axes.set_xticks(x, [f"{seconds:g}" for seconds in x])
        axes.set_xlabel("after the window's end [s]")
        percent_axis(axes, "y")
    bands = " Bands are 95% intervals." if metrics["interval_reason"] is None else ""
    caption = (
        f"The activity at the window's end and later.{bands} Dashed: always naming the most frequent activity, over "
        "all windows."
    )
    return figure(svg(drawn[0], "F1 by prediction horizon"), caption)


def _draw(axes: Axes, horizons: Sequence[JsonObject], score: str) -> None:
    ends = []
    for among, role in _ROLES.items():
        known = [
            (number(one["horizon"]) or 0.0, measured(child(one, among), score))
            for one in horizons
            if child(one, among)[score] is not None
        ]
        if not known:
            continue
        x, figures = [at for at, _ in known], [found for _, found in known]
        values = [found.value or 0.0 for found in figures]
        band(axes, x, figures, COLOUR[role])
        axes.plot(x, values, "o-", color=COLOUR[role], markersize=4)
        ends.append((x[-1], values[-1], SETS[among], role))
    blind = [
        (number(one["horizon"]) or 0.0, value)
        for one in horizons
        if (value := number(child(one, "all", "guessing")[score])) is not None
    ]
    axes.plot(*zip(*blind, strict=True), "--", color=COLOUR["muted"], linewidth=1.3)
    axes.set_ylim(0, 1.02)
    label_ends(axes, ends, gap=0.075)
