"""Results of an activity classifier by activity, and its confusion matrices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.verdict import plain_name
from revalexo_clip.reports.html.cells import cell
from revalexo_clip.reports.html.confusion import LEGEND, matrix
from revalexo_clip.reports.html.page import Html, figure, group, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import ROW_HEIGHT, WIDTH, Row, draw, panels, svg, whiskers
from revalexo_clip.reports.values import (
    SETS,
    UNTRAINED,
    child,
    children,
    marked,
    measured,
    never_trained,
    number,
    when,
)

_FIGURES = {"precision": "precision", "recall": "recall", "f1": "F1"}


def activity_body(metrics: JsonObject) -> Html:
    """Return F1 of each activity, and a table for each horizon."""
    horizons = [one for one in children(metrics, "horizons") if number(child(one, "all")["windows"])]
    if not horizons:
        return paragraph("No window has a label.")
    about = (
        "Precision: share of the windows predicted as this activity that are this activity. Recall: share of the "
        "windows of this activity that are predicted as such. F1: harmonic mean of both."
    )
    first, untrained = horizons[0], never_trained(metrics)
    folded = (
        tag(
            "details",
            joined(
                [
                    tag("summary", text(f"{_title(one)}: all windows, steady state, transitions")),
                    _class_table(one, SETS, untrained),
                ]
            ),
        )
        for one in horizons
    )
    plot, now = _plot(first, untrained), _class_table(first, ["all"], untrained)
    return joined([paragraph(about), plot, tag("h3", text(_title(first))), now, *folded])


def _title(at_horizon: JsonObject) -> str:
    return f"Activity {when(at_horizon['horizon'])}"


def _shown(at_horizon: JsonObject, among: str) -> list[str]:
    """Return the activities that are true or predicted for some window."""
    classes = child(at_horizon, among, "classes")
    return [name for name in classes if child(classes, name)["support"] or child(classes, name)["predicted"]]


def _plot(at_horizon: JsonObject, untrained: Sequence[str]) -> Html:
    names = _shown(at_horizon, "all")
    sets = [among for among in SETS if number(child(at_horizon, among)["windows"])]
    drawn = panels(WIDTH, 0.75 + ROW_HEIGHT * len(names), columns=len(sets), share_y=True)
    drawn_rows = []
    for axes, among in zip(drawn, sets, strict=True):
        classes = child(at_horizon, among, "classes")
        rows = [
            Row(
                _label(name, child(at_horizon, "all", "classes", name)["support"], untrained),
                {"imu": measured(child(classes, name), "f1")},
            )
            for name in names
        ]
        draw(axes, rows, f"F1, {SETS[among]}", upto=1.0)
        drawn_rows.append(rows)
    caption = (
        f"F1 by activity {when(at_horizon['horizon'])}; number of windows in brackets. No dot: neither true nor "
        f"predicted in this set. {whiskers(drawn_rows, 'the activity occurs in too few recordings or blocks of them')}"
    )
    return figure(svg(drawn[0], "F1 by activity"), caption)


def _label(name: str, windows: JsonValue, untrained: Sequence[str]) -> str:
    remark = f"\n{UNTRAINED}" if name in untrained else ""
    return f"{plain_name(name)} ({windows}){remark}"


def _class_table(at_horizon: JsonObject, sets: Iterable[str], untrained: Sequence[str]) -> Html:
    rows = []
    for among in sets:
        names = _shown(at_horizon, among)
        if not names:
            continue
        rows.append(group(SETS[among], 2 + len(_FIGURES)))
        classes = child(at_horizon, among, "classes")
        for name in names:
            figures = (cell(figure, measured(child(classes, name), figure)) for figure in _FIGURES)
            label = plain_name(marked(name, untrained))
            rows.append(row([text(label), text(child(classes, name)["support"]), *figures]))
    return table(["", "windows", *_FIGURES.values()], rows, kind="summary")


def confusion_body(metrics: JsonObject) -> Html:
    """Return confusion matrices of all windows and of transitions, at the first and at the last horizon."""
    activities = metrics["activities"]
    assert isinstance(activities, list)
    horizons = [one for one in children(metrics, "horizons") if number(child(one, "all")["windows"])]
    if not horizons:
        return paragraph("No window has a label.")
    shown = horizons[:1] if len(horizons) == 1 else [horizons[0], horizons[-1]]
    named, untrained = list(map(str, activities)), never_trained(metrics)
    return joined([paragraph(LEGEND), *(_matrices(one, named, untrained) for one in shown)])


def _matrices(at_horizon: JsonObject, activities: Sequence[str], untrained: Sequence[str]) -> Html:
    return joined(
        matrix(
            child(at_horizon, among)["confusion"],
            activities,
            f"Predicted activity, {when(at_horizon['horizon'])}: {SETS[among]}",
            untrained,
        )
        for among in ("all", "transition")
        if number(child(at_horizon, among)["windows"])
    )
