"""Timelines of clips: the true and the predicted activity of each window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.reports.html.activities import colours, keys, runs
from revalexo_clip.reports.html.page import Html, figure, joined, paragraph
from revalexo_clip.reports.html.plots import COLOUR, WIDTH, bare, panels, svg
from revalexo_clip.reports.values import when

EACH = 2
"""Number of clips shown of the best, of the worst, and of the others."""
_ROW = 0.62
"""Height of a clip in the drawing [in]."""


@dataclass(frozen=True)
class Shown:
    """A clip, why it is shown, and its accuracy at the first horizon."""

    clip: int
    why: str
    accuracy: float


def choose(predictions: Predictions) -> list[Shown]:
    """Choose the best, the worst and some random clips; if possible, clips in which the activity changes."""
    label_N, predicted_N = predictions.label_NK[:, 0], predictions.predicted()[:, 0]
    accuracy, changing = {}, []
    for clip in np.unique(predictions.clip_N[label_N != UNLABELLED]).tolist():
        rows = (predictions.clip_N == clip) & (label_N != UNLABELLED)
        accuracy[clip] = float((label_N[rows] == predicted_N[rows]).mean())
        if len(np.unique(label_N[rows])) > 1:
            changing.append(clip)
    ordered = sorted(changing or accuracy, key=lambda clip: (-accuracy[clip], clip))
    best, rest = ordered[:EACH], ordered[EACH:]
    worst, middle = rest[::-1][:EACH], rest[: max(len(rest) - EACH, 0)]
    drawn = np.random.default_rng(0).permutation(middle)[:EACH].tolist()
    parts = {"best": best, "drawn at random": drawn, "worst": worst}
    return [Shown(int(clip), why, accuracy[clip]) for why, clips in parts.items() for clip in clips]


def section_body(predictions: Predictions) -> Html:
    """Return the chosen clips, one below the other."""
    shown = choose(predictions)
    if not shown:
        return paragraph(f"No window has a label {when(predictions.horizons[0])}.")
    roles = _roles(predictions, shown)
    drawn = panels(WIDTH, 0.5 + _ROW * len(shown), rows=len(shown))
    for axes, one in zip(drawn, shown, strict=True):
        _draw(axes, predictions, one, roles)
    drawn[-1].set_xlabel("start of the window [s]")
    caption = (
        f"Activity {when(predictions.horizons[0])}: true (upper half) and predicted (lower half). A line between them "
        "marks a transition."
    )
    drawing = joined([keys(predictions.activities, roles), svg(drawn[0], "Timelines of clips")])
    return figure(drawing, caption)


def _roles(predictions: Predictions, shown: Sequence[Shown]) -> dict[int, str]:
    """Return the colour of each activity that is true or predicted in the clips."""
    rows = np.isin(predictions.clip_N, [one.clip for one in shown])
    both = np.concatenate([predictions.label_NK[rows, 0], predictions.predicted()[rows, 0]])
    return colours(both[both != UNLABELLED])


def _draw(axes: Axes, predictions: Predictions, shown: Shown, roles: Mapping[int, str]) -> None:
    rows = np.flatnonzero(predictions.clip_N == shown.clip)
    rows = rows[np.argsort(predictions.start_N[rows], kind="stable")]
    start_M = predictions.start_N[rows]
    end_M = np.append(start_M[1:], start_M[-1] + (np.diff(start_M).min() if len(rows) > 1 else 1.0))
    for label_M, bottom in (
        (predictions.label_NK[rows, 0], 0.06),
        (predictions.predicted()[rows, 0], -1.0),
    ):
        for label, first, end in runs(label_M, start_M, end_M):
            if label != UNLABELLED:
                axes.broken_barh([(first, end - first)], (bottom, 0.94), facecolor=COLOUR[roles[label]])
    for moving, first, end in runs(predictions.transition_NK[rows, 0].astype(np.int64), start_M, end_M):
        if moving:
            axes.plot([first, end], [0.03, 0.03], color=COLOUR["ink"], linewidth=1.6, solid_capstyle="butt")
    name = predictions.clip_names[shown.clip]
    axes.set_yticks([0.03], [f"{name}\n{shown.why}: {100 * shown.accuracy:.0f}% correct"])
    axes.set_ylim(-1.15, 1.15)
    bare(axes, "left", "bottom")
