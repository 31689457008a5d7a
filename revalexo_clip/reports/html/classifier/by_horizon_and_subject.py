"""Results of an activity classifier by prediction horizon and by subject."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.html.cells import cell, mean_cell
from revalexo_clip.reports.html.page import Html, figure, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import (
    COLOUR,
    ROW_HEIGHT,
    WIDTH,
    Row,
    band,
    draw,
    heading,
    label_ends,
    panels,
    percent_axis,
    svg,
    whiskers,
)
from revalexo_clip.reports.values import (
    NO_MACRO_F1,
    SETS,
    SUBJECT_INTERVALS,
    TOO_FEW_SUBJECTS,
    child,
    children,
    horizon_text,
    measured,
    number,
    when,
)

_ROLES = {"all": "ink", "steady": "c1", "transition": "c2"}
_TITLES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1"}


def by_horizon(metrics: JsonObject) -> Html:
    """Return F1 over the prediction horizon; a single horizon has no curve."""
    horizons = children(metrics, "horizons")
    x = [number(one["horizon"]) or 0.0 for one in horizons if number(child(one, "all")["windows"])]
    if len(x) < 2:
        return paragraph("No curve: fewer than two horizons have labels.")
    drawn = panels(WIDTH, 3.4, columns=2, share_y=True)
    for axes, (score, title) in zip(drawn, _TITLES.items(), strict=True):
        _draw(axes, horizons, score)
        heading(axes, title)
        axes.set_xticks(x, [f"{seconds:g}" for seconds in x])
        axes.set_xlabel("prediction horizon [s]")
        percent_axis(axes, "y")
    caption = (
        f"Horizon 0 is the end of the window.{_bands(horizons)} Dashed: always predicting the most frequent activity, "
        "over all windows."
    )
    return figure(svg(drawn[0], "F1 by prediction horizon"), caption)


def _bands(horizons: Sequence[JsonObject]) -> str:
    """Return what the bands are, and which curves have none."""
    found = {
        (score, among): [measured(child(one, among), score) for one in horizons if child(one, among)["windows"]]
        for score in _TITLES
        for among in _ROLES
    }
    drawn = {key: sum(one.interval is not None for one in ones) for key, ones in found.items()}
    if not any(drawn.values()):
        return " There are no intervals."
    bare = [
        f"{_TITLES[score]}, {SETS[among]}" for (score, among), ones in found.items() if drawn[score, among] < len(ones)
    ]
    told = f" Parts without a band have no interval ({'; '.join(bare)}). {NO_MACRO_F1}" if bare else ""
    return f" Bands are 95% intervals.{told}"


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
        if (value := number(child(one, "all", "chance")[score])) is not None
    ]
    axes.plot(*zip(*blind, strict=True), "--", color=COLOUR["muted"], linewidth=1.3)
    axes.set_ylim(0, 1.02)
    label_ends(axes, ends, gap=0.075)


_DOTS = {"weighted_f1": ("●", "imu", "weighted F1"), "macro_f1": ("◆", "video", "macro F1")}


def by_subject(metrics: JsonObject) -> Html:
    """Return F1 of each subject: a plot for the first and the last horizon, and a table of all horizons."""
    subjects = child(metrics, "subjects")
    labelled = [
        place for place, one in enumerate(children(metrics, "horizons")) if number(child(one, "all")["windows"])
    ]
    if not labelled:
        return paragraph("No window has a label.")
    if len(subjects) == 1:
        (only,) = subjects
        return paragraph(f"Only one subject was tested, {only}, so the variation between subjects is not known.")
    return joined([_plot(metrics, sorted({labelled[0], labelled[-1]})), _table(metrics)])


def _plot(metrics: JsonObject, places: list[int]) -> Html:
    subjects = child(metrics, "subjects")
    drawn = panels(WIDTH, 0.75 + 1.2 * ROW_HEIGHT * len(subjects), columns=len(places), share_y=True)
    drawn_rows = []
    for axes, place in zip(drawn, places, strict=True):
        at = {name: children(subjects, name, "horizons")[place] for name in subjects}
        rows = [
            Row(
                f"{name} ({child(subjects, name)['windows']})",
                {role: measured(found, score) for score, (_, role, _) in _DOTS.items()},
            )
            for name, found in at.items()
        ]
        draw(axes, rows, f"F1 {when(next(iter(at.values()))['horizon'])}", upto=1.0)
        drawn_rows.append(rows)
    missing = f"there are too few {metrics['interval_unit']}, in all or of an activity"
    caption = f"F1 by subject; number of windows in brackets. {whiskers(drawn_rows, missing)}"
    return figure(joined([_legend(), svg(drawn[0], "F1 by subject")]), caption)


def _legend() -> Html:
    keys = (
        tag("li", joined([tag("span", text(f"{mark} "), style=f"color: var(--{role})"), text(title)]))
        for mark, role, title in _DOTS.values()
    )
    return tag("ul", joined(keys), class_="keys")


def _table(metrics: JsonObject) -> Html:
    """Return the weighted F1 of each subject at each horizon, and the mean with its interval for other subjects."""
    subjects, everything = child(metrics, "subjects"), [child(one, "all") for one in children(metrics, "horizons")]
    titles = [horizon_text(one["horizon"]) for one in children(metrics, "horizons")]
    rows = []
    for name in subjects:
        figures = (measured(one, "weighted_f1") for one in children(subjects, name, "horizons"))
        rows.append(row([text(name), *(cell("weighted_f1", found) for found in figures)]))
    has_mean = any(one["between_subjects"] for one in everything)
    if has_mean:
        rows.append(row([tag("strong", text("mean")), *(mean_cell("weighted_f1", one) for one in everything)]))
    about = paragraph(SUBJECT_INTERVALS if has_mean else TOO_FEW_SUBJECTS, "quiet")
    return joined([table(["Weighted F1, horizon", *titles], rows, kind="summary"), about])
