"""What the summary of folds looks like in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.terminal.tables import titled_table
from revalexo_clip.reports.values import list_of, object_of, percent, seconds

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
    """Fold by fold at the first horizon, then all horizons; last, the folds that have no result."""
    if pooled := summary["pooled"]:
        mean, deviation, everything = map(_rows, (summary["mean"], summary["deviation"], object_of(pooled)["horizons"]))
        yield _fold_table(object_of(summary["folds"]), mean[0], deviation[0], everything[0])
        if len(mean) > 1:
            yield _horizon_table(mean, deviation)
    if unfinished := object_of(summary["unfinished"]):
        yield Text(f"Without a result: {', '.join(unfinished)}.", style="yellow")


def _fold_table(folds: JsonObject, mean: JsonObject, deviation: JsonObject, pooled: JsonObject) -> Table:
    table = _table(f"{counted(len(folds), 'fold')}, {_horizon(mean)} after the window", "", "windows")
    for name, fold in folds.items():
        first = _rows(object_of(fold)["horizons"])[0]
        table.add_row(name, _windows(first), *_shares(first))
    table.add_section()
    table.add_row("mean", "", *_shares(mean))
    table.add_row("deviation", "", *_shares(deviation))
    table.add_row("all windows", _windows(pooled), *_shares(pooled))
    return table


def _horizon_table(mean: list[JsonObject], deviation: list[JsonObject]) -> Table:
    table = _table("Mean and deviation over folds", "after")
    for middle, spread in zip(mean, deviation, strict=True):
        pairs = zip(_shares(middle), _shares(spread), strict=True)
        table.add_row(_horizon(middle), *(one if other == _NOTHING else f"{one} ± {other}" for one, other in pairs))
    return table


def _table(title: str, *first: str) -> Table:
    table = titled_table(title)
    for place, heading in enumerate((*first, *_COLUMNS)):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    return table


def _horizon(row: JsonObject) -> str:
    return seconds(row["horizon"])


def _windows(row: JsonObject) -> str:
    return str(object_of(row["all"])["windows"])


def _shares(row: JsonObject) -> Iterator[str]:
    for among, score in _COLUMNS.values():
        value = object_of(row[among])[score]
        yield _NOTHING if value is None else percent(value)


def _rows(value: JsonValue) -> list[JsonObject]:
    return list(map(object_of, list_of(value)))
