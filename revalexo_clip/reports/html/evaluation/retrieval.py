"""Plots of retrieval: by gallery, rank, subject and activity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import FuncFormatter
from scipy.stats import hypergeom

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.galleries import ACTIVITY, CLIP, WHOLE, Gallery
from revalexo_clip.metrics.retrieval import Ranks
from revalexo_clip.reports.conclusions.verdict import plain_name
from revalexo_clip.reports.html.page import Html, figure, joined, paragraph, tag, text
from revalexo_clip.reports.html.plots import (
    COLOUR,
    ROW_HEIGHT,
    WIDTH,
    Row,
    draw,
    heading,
    panels,
    percent_axis,
    svg,
    whiskers,
)
from revalexo_clip.reports.values import (
    DIRECTIONS,
    GALLERIES,
    RETRIEVAL,
    Measured,
    child,
    few_units,
    measured,
    number,
    shown_galleries,
)

ROLES = {"imu_to_video": "imu", "video_to_imu": "video"}
_RECALLS = ("r_at_1", "r_at_5", "r_at_10")


def legend(*, chance: bool = True) -> Html:
    """Return the marks of the two directions and, if wanted, of chance."""
    marks = [("●", "imu_to_video"), ("◆", "video_to_imu")]
    keys = [
        tag("li", joined([tag("span", text(f"{mark} "), style=f"color: var(--{ROLES[name]})"), text(DIRECTIONS[name])]))
        for mark, name in marks
    ]
    if chance:
        keys.append(tag("li", joined([tag("span", text("❙ "), class_="open"), text("chance")])))
    return tag("ul", joined(keys), class_="keys")


def gallery_plot(metrics: JsonObject) -> Html:
    """Return R@1, R@5 and R@10 in each gallery."""
    found = {_gallery_label(metrics, name): child(metrics, name) for name in shown_galleries(metrics)}
    drawn = panels(WIDTH, 0.75 + 0.55 * len(found), columns=3, share_y=True)
    rows_of = {
        name: [Row(label, _both_ways(one, name), _chance(one, name)) for label, one in found.items()]
        for name in _RECALLS
    }
    for axes, (name, rows) in zip(drawn, rows_of.items(), strict=True):
        draw(axes, rows, RETRIEVAL[name])
    caption = (
        "Share of queries whose partner is the nearest, or among the 5 or 10 nearest. "
        f"{whiskers(rows_of.values(), few_units(metrics))}"
    )
    drawing = svg(drawn[0], "Recall at 1, 5 and 10 in each gallery")
    return figure(joined([legend(), drawing]), caption)


def _gallery_label(metrics: JsonObject, gallery: str) -> str:
    size = number(child(metrics, gallery)["gallery_size"]) or 0.0
    return f"{GALLERIES[gallery]}\n({size:.0f} windows)"


def _both_ways(found: JsonObject, name: str) -> Mapping[str, Measured]:
    return {role: measured(child(found, direction), name) for direction, role in ROLES.items()}


def _chance(found: JsonObject, name: str) -> float | None:
    return number(child(found, "chance")[name])


def rank_plot(metrics: JsonObject, galleries: Mapping[str, Gallery]) -> Html:
    """Return the share of partners found up to each rank."""
    shown = shown_galleries(metrics)
    drawn = panels(WIDTH, 3.0, columns=len(shown), share_y=True)
    for axes, name in zip(drawn, shown, strict=True):
        ranks = galleries[name].ranks
        largest = int(ranks.gallery_N.max())
        rank_R = np.unique(np.geomspace(1, max(largest, 2), 200).round().astype(np.int64))
        axes.plot(rank_R, chance_share(ranks, rank_R), "--", color=COLOUR["muted"], linewidth=1.3)
        for found_N, role in ((ranks.imu_to_video_N, "imu"), (ranks.video_to_imu_N, "video")):
            share_R = (found_N.numpy()[:, None] <= rank_R).mean(axis=0)
            axes.step(rank_R, share_R, where="post", color=COLOUR[role])
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:g}"))
        axes.minorticks_off()
        axes.set_xlim(1, max(largest, 2))
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("rank")
        heading(axes, f"{GALLERIES[name]} ({number(child(metrics, name)['gallery_size']) or 0:.0f})")
        percent_axis(axes, "y")
    caption = (
        "Share of queries whose partner is found up to each rank; closer to the upper left is better. Blue: IMU → "
        "video, orange: video → IMU, dashed: chance."
    )
    return figure(svg(drawn[0], "Share of queries whose partner is found up to each rank"), caption)


def chance_share(ranks: Ranks, rank_R: Ints) -> Floats:
    """Return the share of queries that find a partner up to each rank in random order, [R]."""
    queries = Counter(zip(ranks.gallery_N.tolist(), ranks.answers_N.tolist(), strict=True))
    missed_R = sum(
        count * hypergeom.pmf(0, size, answers, np.minimum(rank_R, size)) for (size, answers), count in queries.items()
    )
    return np.asarray(1 - missed_R / len(ranks.gallery_N))


def part_plot(metrics: JsonObject, parts: str) -> Html:
    """Return recall of each subject or activity: of all windows, of the same subject and activity, of the same clip."""
    found = child(metrics, parts)
    shown = {WHOLE: "r_at_10", ACTIVITY: "r_at_1", CLIP: "r_at_1"}  # a gallery of few windows has hardly more than ten
    if metrics[ACTIVITY] is None:
        del shown[ACTIVITY]
    drawn = panels(WIDTH, 0.75 + ROW_HEIGHT * len(found), columns=len(shown), share_y=True)
    rows_of = {
        gallery: [_part_row(part, child(found, part), gallery, name) for part in found]
        for gallery, name in shown.items()
    }
    for axes, (gallery, name) in zip(drawn, shown.items(), strict=True):
        draw(axes, rows_of[gallery], f"{RETRIEVAL[name]}, {GALLERIES[gallery]}")
    what = {"subjects": "subject", "activities": "activity", "motion": "motion"}[parts]
    intervals = whiskers(rows_of.values(), few_units(metrics))
    caption = f"Recall by {what}; number of windows in brackets. {intervals}"
    return figure(joined([legend(), svg(drawn[0], f"Recall by {what}")]), caption)


def _part_row(part: str, found: JsonObject, gallery: str, name: str) -> Row:
    inside = found if gallery == WHOLE else found[gallery.removeprefix(f"{WHOLE}_")]
    label = f"{plain_name(part)} ({found['windows']})"
    if not isinstance(inside, dict):
        return Row(label, {})
    return Row(label, _both_ways(inside, name), _chance(inside, name))


def section_body(metrics: JsonObject, galleries: Mapping[str, Gallery]) -> Html:
    """Return the plots by gallery and by rank."""
    parts = [
        paragraph(
            "Each window of one modality is a query for its partner in the other modality. Among all windows, it may "
            "be enough to distinguish subjects and places; among windows of the same subject, to distinguish "
            "activities; among windows of the same subject and activity, to distinguish clips. Among windows of the "
            "same clip, only the moment itself differs."
        )
    ]
    if len(child(metrics, "subjects")) == 1:
        parts.append(paragraph("Only one subject was evaluated, so all windows are of the same subject.", "quiet"))
    if metrics[ACTIVITY] is None:
        parts.append(paragraph("No window has an activity, so there is no gallery of the same activity.", "quiet"))
    if metrics["tolerance"]:
        near = f"Windows of a recording that start less than {metrics['tolerance']} s apart count as one answer."
        parts.append(paragraph(near, "quiet"))
    return joined([*parts, gallery_plot(metrics), rank_plot(metrics, galleries)])
