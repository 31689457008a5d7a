"""The page of `rxclip predict`: the predicted activities of a recording along its time, at every horizon."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from revalexo_clip.core.files import atomically
from revalexo_clip.core.text import counted
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.reports.conclusions.verdict import plain_name
from revalexo_clip.reports.html.activities import colours, keys, runs
from revalexo_clip.reports.html.page import Html, Section, figure, joined, page, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import COLOUR, WIDTH, bare, heading, panels, svg
from revalexo_clip.reports.values import when

_LENGTHS = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Lengths of a line of the drawing [s]."""
_LINES = 12
"""Most lines, if the recording has no gaps."""
_STRIP = 0.19
"""Height of a strip of activities [in]."""
_UNSURE = 0.3
"""Height of the curve of probabilities [in]."""
_AROUND = 0.42
"""Height of the heading and the axis of a line [in]."""


class Timeline(NamedTuple):
    """Predicted activities of a recording: N windows at K horizons."""

    name: str
    """Name of the recording."""
    end_N: Floats
    """Ends of the windows, ascending [s]."""
    label_NK: Ints
    """Numbers of the predicted activities."""
    probability_NK: Floats
    """Their probabilities."""
    activities: Sequence[str]
    horizons: Sequence[float]
    window: float
    """[s]"""
    stride: float
    """[s]"""
    about: Sequence[str]
    """Sentences on the classifier, and on what was left out."""


def write_timeline(path: Path, timeline: Timeline) -> None:
    """Write the page. Raises `WriteError` if it cannot be written."""
    written = timeline_page(timeline)
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def timeline_page(timeline: Timeline) -> str:
    """Return the page as HTML that needs no other file."""
    title = f"Predicted activities of {timeline.name}"
    first, last = timeline.end_N[0] - timeline.window, timeline.end_N[-1]
    facts = (
        f"{counted(len(timeline.end_N), 'window')} of {timeline.window:g} s, one every {timeline.stride:g} s, from "
        f"{first:.3f} s to {last:.3f} s of the recording."
    )
    head = joined([tag("h1", text(title)), *(paragraph(one, "quiet") for one in (facts, *timeline.about))], "\n")
    sections = [
        Section("timeline", "Timeline", _drawing(timeline)),
        Section("activities", "Activities", _activities(timeline)),
    ]
    return page(title, head, sections)


def _drawing(timeline: Timeline) -> Html:
    time_NK = timeline.end_N[:, None] + np.asarray(timeline.horizons)
    begin, end = float(time_NK.min()), float(time_NK.max()) + timeline.stride
    length = next((one for one in _LENGTHS if math.ceil((end - begin) / one) <= _LINES), _LENGTHS[-1])
    begin = math.floor(begin / length) * length
    lines = [begin + length * number for number in range(math.ceil((end - begin) / length))]
    lines = [line for line in lines if ((time_NK < line + length) & (time_NK + timeline.stride > line)).any()]
    roles = colours(timeline.label_NK.ravel())
    each = _STRIP * len(timeline.horizons) + _UNSURE + _AROUND
    drawn = panels(WIDTH, each * len(lines) + 0.3, rows=len(lines))
    for axes, line in zip(drawn, lines, strict=True):
        _line(axes, timeline, time_NK, roles, line, length)
    drawn[-1].set_xlabel("time from the beginning of the line [s]")
    several = len(timeline.horizons) > 1
    strips = "; one strip for each horizon, the first one at the top" if several else ""
    caption = (
        f"The most probable activity at the time that it is predicted for{strips}. A prediction is shown for "
        f"{timeline.stride:g} s, the time to the next one. Grey: its probability at the first horizon, from 0 to 1."
    )
    return figure(joined([keys(timeline.activities, roles), svg(drawn[0], "Predicted activities")]), caption)


def _line(  # noqa: PLR0917 (what a line shows)
    axes: Axes, timeline: Timeline, time_NK: Floats, roles: Mapping[int, str], line: float, length: float
) -> None:
    strips = len(timeline.horizons)
    unsure = _UNSURE / _STRIP
    for number in range(strips):
        start_N, label_N = time_NK[:, number], timeline.label_NK[:, number]
        bottom = unsure + strips - 1 - number
        bars: dict[int, list[tuple[float, float]]] = {}
        for label, first, end in runs(label_N, start_N, start_N + timeline.stride):
            left, right = max(first, line), min(end, line + length)
            if right > left:
                bars.setdefault(label, []).append((left - line, right - left))
        for label, spans in bars.items():
            axes.broken_barh(spans, (bottom + 0.06, 0.88), facecolor=COLOUR[roles[label]], linewidth=0)
    start_N = time_NK[:, 0]
    inside = (start_N + timeline.stride > line) & (start_N < line + length)
    edges_M2 = np.stack([start_N[inside], start_N[inside] + timeline.stride], axis=1) - line
    share_M2 = np.repeat(timeline.probability_NK[inside, :1], 2, axis=1)
    apart = np.flatnonzero(np.diff(start_N[inside]) > 1.5 * timeline.stride) + 1
    for edges, shares in zip(np.split(edges_M2, apart), np.split(share_M2, apart), strict=True):
        x, y = np.clip(edges.ravel(), 0, length), 0.9 * unsure * shares.ravel()
        axes.fill_between(x, y, color=COLOUR["muted"], alpha=0.35, linewidth=0)
    ticks = [unsure + strips - 0.5 - number for number in range(strips)]
    names = [f"+{horizon:g} s" if horizon else "end" for horizon in timeline.horizons]
    axes.set_yticks([*ticks, 0.45 * unsure], [*names, "probability"], fontsize=7.5)
    axes.set_xlim(0, length)
    axes.set_ylim(0, unsure + strips)
    axes.tick_params(axis="x", labelbottom=True, labelsize=8)
    heading(axes, f"{clock(line)} to {clock(line + length)}")
    bare(axes, "left", "bottom")


def clock(seconds: float) -> str:
    """Return a time of a recording, as a clock if it is less than 100 hours."""
    whole = round(seconds)
    if not 0 <= whole < 360_000:
        return f"{seconds:.0f} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _activities(timeline: Timeline) -> Html:
    """Return how long each activity was predicted at the first horizon."""
    label_N, start_N = timeline.label_NK[:, 0], timeline.end_N
    stretches = [label for label, _, _ in runs(label_N, start_N, start_N + timeline.stride)]
    rows = []
    for label in colours(label_N):
        own_N = label_N == label
        cells = [
            plain_name(timeline.activities[label]),
            f"{own_N.sum() * timeline.stride:.1f}",
            f"{own_N.mean():.1%}",
            str(stretches.count(label)),
            f"{timeline.probability_NK[own_N, 0].mean():.2f}",
        ]
        rows.append(row([text(cell) for cell in cells]))
    head = ["activity", "time [s]", "share", "stretches", "mean probability"]
    never = [plain_name(name) for number, name in enumerate(timeline.activities) if not (label_N == number).any()]
    parts = [
        paragraph(f"Predictions {when(timeline.horizons[0])}.", "quiet"),
        table(head, rows, kind="named"),
        *([paragraph(f"Never predicted: {', '.join(never)}.", "quiet")] if never else []),
    ]
    return joined(parts, "\n")
