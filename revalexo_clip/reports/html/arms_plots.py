"""Arms against the share of the labels, and their differences to the first around a line at zero."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.variants import DECIDING, figures_at, horizon_of, others, percent
from revalexo_clip.reports.html import dots
from revalexo_clip.reports.html.page import Html, figure, joined, paragraph, tag, text
from revalexo_clip.reports.html.plots import COLOUR, WIDTH, band, heading, label_ends, panels, percent_axis, svg
from revalexo_clip.reports.values import RECOGNITION, SETS, child, children, measured, number

_ROLES = {"scratch": "ink", "frozen": "c1", "full": "c2"}
_MARKS = ("●", "◆")
"""As `dots.MARKERS` are drawn."""
_CURVES = (DECIDING, "balanced_accuracy")


def curve(comparison: JsonObject) -> Html:
    """Scores over the share of the labels, on a logarithmic axis; with a single share there is nothing to draw."""
    labels = children(comparison, "labels")
    if len(labels) < 2:
        return paragraph("There is one share of the labels, so there is no curve; --labels 0.01,0.1,0.5,1 has four.")
    drawn = panels(WIDTH, 3.4, columns=len(_CURVES), share_y=True)
    for axes, score in zip(drawn, _CURVES, strict=True):
        _draw(axes, comparison, score)
        heading(axes, RECOGNITION[score])
        axes.set_xscale("log")
        axes.set_xticks([number(label["fraction"]) or 0.0 for label in labels], [percent(label) for label in labels])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("share of the labels")
        axes.set_ylim(0, 1.02)
        percent_axis(axes, "y")
    bands = " Bands are 95% intervals." if comparison["interval_reason"] is None else ""
    caption = f"The activity {horizon_of(comparison)} after the window, all test windows.{bands}"
    return figure(svg(drawn[0], "Scores by share of the labels"), caption)


def _draw(axes: Axes, comparison: JsonObject, score: str) -> None:
    ends = []
    for kind in child(comparison, "arms"):
        at = {
            number(label["fraction"]) or 0.0: measured(found, score)
            for label in children(comparison, "labels")
            if (found := figures_at(comparison, label, "arms", kind)) is not None and found[score] is not None
        }
        if at:
            x, values = [*at], [found.value or 0.0 for found in at.values()]
            band(axes, x, [*at.values()], COLOUR[_ROLES[kind]])
            axes.plot(x, values, "o-", color=COLOUR[_ROLES[kind]], markersize=4)
            ends.append((x[-1], values[-1], kind, _ROLES[kind]))
    label_ends(axes, ends, gap=0.075)


def forest(comparison: JsonObject) -> Html:
    """Differences to the first arm with their intervals: of all windows, steady ones, and those in a transition."""
    labels, kinds = children(comparison, "labels"), others(comparison)
    drawn = panels(WIDTH, 0.95 + dots.ROW_HEIGHT * len(kinds) * len(labels), columns=len(SETS), share_y=True)
    for axes, (among, title) in zip(drawn, SETS.items(), strict=True):
        rows = [
            dots.Row(
                percent(label),
                {
                    _ROLES[kind]: measured(found, DECIDING)
                    for kind in kinds
                    if (found := figures_at(comparison, label, "differences", kind, among)) is not None
                },
            )
            for label in labels
        ]
        dots.draw_gains(axes, rows, title)
    drawn[0].set_ylabel("share of the labels")
    caption = (
        f"By how much the {RECOGNITION[DECIDING]} is above that of {comparison['less']}. Whiskers are paired 95% "
        "intervals; where they cross the line the dot is hollow, and nothing is settled."
    )
    return joined([_legend(kinds), figure(svg(drawn[0], f"Differences to {comparison['less']}"), caption)])


def _legend(kinds: list[str]) -> Html:
    keys = [
        tag("li", joined([tag("span", text(f"{mark} "), style=f"color: var(--{_ROLES[kind]})"), text(kind)]))
        for mark, kind in zip(_MARKS, kinds, strict=False)
    ]
    return tag("ul", joined(keys), class_="keys")
