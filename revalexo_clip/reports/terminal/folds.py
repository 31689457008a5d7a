"""The summary of cross-validation in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue
from rich.console import RenderableType
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import (
    NONE,
    SUBJECT_INTERVALS,
    horizon_text,
    list_of,
    mean_of_subjects,
    object_of,
    percent,
    untrained_note,
    when,
    written_interval,
)

_COLUMNS = {
    "accuracy": ("all", "accuracy"),
    "macro F1": ("all", "macro_f1"),
    "weighted F1": ("all", "weighted_f1"),
    "steady F1": ("steady", "weighted_f1"),
    "trans. F1": ("transition", "weighted_f1"),
}
"""Set of windows and score of each column."""

_NOTHING = "-"


def fold_report(summary: JsonObject) -> Iterator[RenderableType]:
    """Yield the folds at the first horizon, then all horizons; last, the folds without a result."""
    if pooled := summary["pooled"]:
        mean, deviation, everything = map(_rows, (summary["mean"], summary["deviation"], object_of(pooled)["horizons"]))
        yield _fold_table(object_of(summary["folds"]), mean[0], deviation[0], everything[0])
        for name, fold in object_of(summary["folds"]).items():
            if note := untrained_note(object_of(fold)):
                yield Text(f"{name}: {note[0].lower()}{note[1:]}", style="yellow")
        if object_of(everything[0]["all"])["between_subjects"]:
            yield Text(f"{SUBJECT_INTERVALS}\n", style="dim")
        if len(mean) > 1:
            yield _horizon_table(mean, deviation)
    if unfinished := object_of(summary["unfinished"]):
        yield Text(f"Without a result: {', '.join(unfinished)}.", style="yellow")


def _fold_table(folds: JsonObject, mean: JsonObject, deviation: JsonObject, pooled: JsonObject) -> ReportTable:
    title = f"{counted(len(folds), 'fold')}, {when(mean['horizon'])}"
    table = ReportTable(title, [Column("windows"), *map(Column, _COLUMNS)])
    for name, fold in folds.items():
        first = _rows(object_of(fold)["horizons"])[0]
        table.add_row(name, _windows(first), *_shares(first))
    table.add_row("mean", "", *_shares(mean), new_section=True)
    table.add_row("deviation", "", *_shares(deviation))
    table.add_row("all windows", _windows(pooled), *_shares(pooled))
    means = [mean_of_subjects(object_of(pooled[among]), score) for among, score in _COLUMNS.values()]
    if any(means):
        table.add_row("mean of subjects", "", *(percent(one.value if one else None) for one in means))
        intervals = (written_interval("share", one.interval).replace(NONE, "-") if one else "" for one in means)
        table.add_row("", "", *intervals, style="dim")
    return table


def _horizon_table(mean: list[JsonObject], deviation: list[JsonObject]) -> ReportTable:
    title = "Mean and standard deviation over folds"
    table = ReportTable(title, [*map(Column, _COLUMNS)], label_title="horizon")
    for middle, spread in zip(mean, deviation, strict=True):
        pairs = zip(_shares(middle), _shares(spread), strict=True)
        cells = (one if other == _NOTHING else f"{one} ± {other}" for one, other in pairs)
        table.add_row(horizon_text(middle["horizon"]), *cells)
    return table


def _windows(row: JsonObject) -> str:
    return str(object_of(row["all"])["windows"])


def _shares(row: JsonObject) -> Iterator[str]:
    for among, score in _COLUMNS.values():
        value = object_of(row[among])[score]
        yield _NOTHING if value is None else percent(value)


def _rows(value: JsonValue) -> list[JsonObject]:
    return list(map(object_of, list_of(value)))
