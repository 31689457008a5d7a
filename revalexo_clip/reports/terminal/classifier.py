"""The test report of an activity classifier in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue
from rich.console import RenderableType
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import (
    CLASSIFICATION,
    NONE,
    SETS,
    SUBJECT_INTERVALS,
    TOO_FEW_SUBJECTS,
    Measured,
    horizon_text,
    interval_note,
    list_of,
    marked,
    mean_of_subjects,
    never_trained,
    object_of,
    percent,
    when,
    written_interval,
)

_SCORES = CLASSIFICATION | {"balanced_accuracy": "balanced"}
_LEAST_CONFUSED = 0.05
"""Share of an activity's windows from which on its most frequent confusion is shown."""


def classifier_report(metrics: JsonObject) -> Iterator[RenderableType]:
    """Yield the scores by horizon and set of windows, by activity and by subject; last, what could not be measured.

    `metrics` is what `measure_classification` returns, with `seen` (see `leakage_warning`).
    """
    if warning := leakage_warning(metrics["seen"]):
        yield Text(warning, style="yellow")
    place = _first_measured(metrics)
    if place is not None:
        yield _score_table(metrics)
        if metrics["interval_reason"] is None:
            yield Text(interval_note(metrics), style="dim")
        yield _class_table(metrics, place)
        if len(object_of(metrics["subjects"])) > 1:
            yield _subject_table(metrics, place)
            first = object_of(object_of(list_of(metrics["horizons"])[place])["all"])
            yield Text(SUBJECT_INTERVALS if first["between_subjects"] else TOO_FEW_SUBJECTS, style="dim")
    notes = [str(sentence) for sentence in list_of(metrics["missing"])]
    if metrics["interval_reason"]:
        notes.append(interval_note(metrics))
    for note in notes:
        yield Text(note, style="dim")


def _first_measured(metrics: JsonObject) -> int | None:
    """Return the place of the first horizon that has labels."""
    horizons = enumerate(map(object_of, list_of(metrics["horizons"])))
    return next((place for place, one in horizons if object_of(one["all"])["windows"]), None)


def _score_table(metrics: JsonObject) -> ReportTable:
    subjects = counted(len(object_of(metrics["subjects"])), "test subject")
    clips = counted(int(str(metrics["clips"])), "clip")
    intervals = "" if metrics["interval_reason"] else ", 95% intervals"
    title = f"Activity classification: {metrics['windows']} windows of {clips}, {subjects}{intervals}"
    table = ReportTable(title, [Column("windows"), *map(Column, _SCORES.values())], label_title="horizon")
    for among, name in SETS.items():
        found = [(one["horizon"], object_of(one[among])) for one in map(object_of, list_of(metrics["horizons"]))]
        measured = [figures for _, figures in found if figures["windows"]]
        if not measured:
            continue
        table.add_heading(name)
        for horizon, figures in found:
            _add_scores(table, f"  {horizon_text(horizon)}", figures)
        chance = object_of(measured[0]["chance"])
        shares = (percent(chance[score]) for score in _SCORES)
        table.add_row(f"  always {chance['activity']}", "", *shares, style="dim")
    return table


def _class_table(metrics: JsonObject, place: int) -> ReportTable:
    first = object_of(list_of(metrics["horizons"])[place])
    figures = ("windows", "precision", "recall", "F1", "trans. F1")
    columns = [*map(Column, figures), Column("most confused with", text=True)]
    table = ReportTable(f"By activity, {when(first['horizon'])}", columns)
    everything, moving = object_of(first["all"]), object_of(first["transition"])
    activities, untrained = list(map(str, list_of(metrics["activities"]))), never_trained(metrics)
    for label, (name, confused) in enumerate(zip(activities, list_of(everything["confusion"]), strict=True)):
        of_class = object_of(object_of(everything["classes"])[name])
        if not of_class["support"] and not of_class["predicted"]:
            continue
        counts = [int(str(count)) for count in list_of(confused)]
        table.add_row(
            marked(name, untrained),
            str(of_class["support"]),
            *(percent(of_class[figure]) for figure in ("precision", "recall", "f1")),
            percent(object_of(object_of(moving["classes"])[name])["f1"]),
            _most_confused(label, counts, activities),
        )
    return table


def _most_confused(label: int, counts: list[int], activities: list[str]) -> str:
    """Return the most frequent wrong prediction for an activity, if it is frequent."""
    others = [count if other != label else 0 for other, count in enumerate(counts)]
    most = max(range(len(others)), key=others.__getitem__)
    if not sum(counts) or others[most] < _LEAST_CONFUSED * sum(counts):
        return ""
    return f"{100 * others[most] / sum(counts):.0f}% {activities[most]}"


def _subject_table(metrics: JsonObject, place: int) -> ReportTable:
    first = object_of(list_of(metrics["horizons"])[place])
    columns = [Column("windows"), *map(Column, _SCORES.values())]
    table = ReportTable(f"By subject, {when(first['horizon'])}", columns)
    for subject, value in object_of(metrics["subjects"]).items():
        _add_scores(table, subject, object_of(list_of(object_of(value)["horizons"])[place]))
    means = [mean_of_subjects(object_of(first["all"]), score) for score in _SCORES]
    if any(means):
        table.add_row("mean", "", *(percent(mean.value if mean else None) for mean in means))
        table.add_row("", "", *(_ends(mean) for mean in means), style="dim")
    return table


def _add_scores(table: ReportTable, title: str, figures: JsonObject) -> None:
    table.add_row(title, str(figures["windows"]), *(percent(figures[score]) for score in _SCORES))
    intervals = object_of(figures["interval"])
    if any(intervals.values()):
        table.add_row("", "", *(_interval(intervals[score]) for score in _SCORES), style="dim")


def _ends(mean: Measured | None) -> str:
    return "" if mean is None else written_interval("share", mean.interval).replace(NONE, "-")


def _interval(interval: JsonValue) -> str:
    if not isinstance(interval, list):
        return ""
    return "-".join(f"{100 * float(str(end)):.1f}" for end in interval)
