"""What the test of an activity classifier looks like in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.terminal.tables import titled_table
from revalexo_clip.reports.values import list_of, object_of, percent, seconds

_SETS = {"all": "all windows", "steady": "in a steady state", "transition": "in a transition"}
_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
}
_LEAST_MISTAKEN = 0.05
"""Share of an activity's windows from which on it is said what they are taken for."""


def classifier_report(metrics: JsonObject) -> Iterator[RenderableType]:
    """What was measured, by horizon and set of windows, activity and subject; last, what could not be.

    `metrics` is what `measure_classification` gives, with `seen` (see `admission.leakage_warning`).
    """
    if told := leakage_warning(metrics["seen"]):
        yield Text(f"these figures {told}", style="yellow")
    place = _first_measured(metrics)
    if place is not None:
        yield _score_table(metrics)
        yield _class_table(metrics, place)
        if len(object_of(metrics["subjects"])) > 1:
            yield _subject_table(metrics, place)
    notes = [str(sentence) for sentence in list_of(metrics["missing"])]
    if metrics["interval_reason"]:
        notes.append(f"There are no intervals: {metrics['interval_reason']}.")
    for note in notes:
        yield Text(note, style="dim")


def _first_measured(metrics: JsonObject) -> int | None:
    """The place of the first horizon at which there are labels."""
    horizons = enumerate(map(object_of, list_of(metrics["horizons"])))
    return next((place for place, one in horizons if object_of(one["all"])["windows"]), None)


def _score_table(metrics: JsonObject) -> Table:
    subjects = counted(len(object_of(metrics["subjects"])), "test subject")
    clips = counted(int(str(metrics["clips"])), "clip")
    within = "" if metrics["interval_reason"] else ", 95% intervals"
    table = titled_table(f"Activities: {metrics['windows']} windows of {clips}, {subjects}{within}")
    table.add_column("after the window", no_wrap=True)
    table.add_column("windows", justify="right")
    for title in _SCORES.values():
        table.add_column(title, justify="right")
    for among, title in _SETS.items():
        found = [(one["horizon"], object_of(one[among])) for one in map(object_of, list_of(metrics["horizons"]))]
        measured = [figures for _, figures in found if figures["windows"]]
        if not measured:
            continue
        table.add_section()
        table.add_row(Text(title, "bold"))
        for horizon, figures in found:
            _add_scores(table, f"  {seconds(horizon)}", figures)
        chance = object_of(measured[0]["chance"])
        shares = (percent(chance[score]) for score in _SCORES)
        table.add_row(Text(f"  always {chance['activity']}"), "", *shares, style="dim")
    return table


def _class_table(metrics: JsonObject, place: int) -> Table:
    first = object_of(list_of(metrics["horizons"])[place])
    table = titled_table(f"By activity, {seconds(first['horizon'])} after the window")
    table.add_column("", overflow="fold", max_width=20)
    for title in ("windows", "precision", "recall", "F1", "trans. F1"):
        table.add_column(title, justify="right")
    table.add_column("taken for", overflow="fold")
    everything, moving = object_of(first["all"]), object_of(first["transition"])
    activities = list(map(str, list_of(metrics["activities"])))
    for label, (name, confused) in enumerate(zip(activities, list_of(everything["confusion"]), strict=True)):
        figures = object_of(object_of(everything["classes"])[name])
        if not figures["support"] and not figures["predicted"]:
            continue
        counts = [int(str(count)) for count in list_of(confused)]
        table.add_row(
            Text(name),
            str(figures["support"]),
            *(percent(figures[figure]) for figure in ("precision", "recall", "f1")),
            percent(object_of(object_of(moving["classes"])[name])["f1"]),
            Text(_mistaken(label, counts, activities)),
        )
    return table


def _mistaken(label: int, counts: list[int], activities: list[str]) -> str:
    """What an activity is most often taken for, where that is often."""
    others = [count if other != label else 0 for other, count in enumerate(counts)]
    most = max(range(len(others)), key=others.__getitem__)
    if not sum(counts) or others[most] < _LEAST_MISTAKEN * sum(counts):
        return ""
    return f"{activities[most]} {100 * others[most] / sum(counts):.0f}%"


def _subject_table(metrics: JsonObject, place: int) -> Table:
    subjects = object_of(metrics["subjects"])
    first = object_of(list_of(metrics["horizons"])[place])
    table = titled_table(f"By subject, {seconds(first['horizon'])} after the window")
    table.add_column("", no_wrap=True)
    table.add_column("windows", justify="right")
    for title in _SCORES.values():
        table.add_column(title, justify="right")
    for subject, value in subjects.items():
        _add_scores(table, subject, object_of(list_of(object_of(value)["horizons"])[place]))
    return table


def _add_scores(table: Table, title: str, figures: JsonObject) -> None:
    table.add_row(Text(title), str(figures["windows"]), *(percent(figures[score]) for score in _SCORES))
    intervals = object_of(figures["interval"])
    if any(intervals.values()):
        table.add_row("", "", *(_interval(intervals[score]) for score in _SCORES), style="dim")


def _interval(interval: JsonValue) -> str:
    if not isinstance(interval, list):
        return ""
    return "-".join(f"{100 * float(str(end)):.1f}" for end in interval)
