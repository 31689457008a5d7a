"""What a comparison of variants looks like in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.variants import (
    DECIDING,
    figures_at,
    horizon_of,
    others,
    percent,
    sentence,
    variant_leakage_warning,
)
from revalexo_clip.reports.terminal.tables import titled_table
from revalexo_clip.reports.values import (
    NONE,
    RECOGNITION,
    SIGNIFICANT,
    child,
    children,
    measured,
    number,
    written,
    written_difference,
    written_interval,
)

_SHOWN = (DECIDING, "balanced_accuracy")
"""Both have intervals that can be trusted with few clips."""

Cell = tuple[Text, str]
"""A figure, and its interval."""


def variant_report(comparison: JsonObject) -> Iterator[RenderableType]:
    """Variants side by side at each share of the labels, what they differ by, and what that settles; last, who failed."""
    if told := variant_leakage_warning(comparison):
        yield Text(told, style="yellow")
    if comparison["windows"]:
        yield Text(_about(comparison), style="bold")
        for score in _SHOWN:
            yield _figure_table(comparison, score)
        yield _difference_table(comparison)
        yield from _is_significant(comparison)
    if unfinished := child(comparison, "unfinished"):
        yield Text(f"Without a result: {', '.join(unfinished)}.", style="yellow")


def _is_significant(comparison: JsonObject) -> Iterator[Text]:
    """What the differences say, one by one."""
    if comparison["interval_reason"] is not None:
        yield Text(f"Nothing is settled, for want of intervals: {comparison['interval_reason']}.")
        return
    marks = f"{SIGNIFICANT['better']} better, {SIGNIFICANT['worse']} worse: the interval leaves out zero; "
    yield Text(f"{marks}{SIGNIFICANT['same']} the same for every window\n", style="dim")
    for label in children(comparison, "labels"):
        for kind in others(comparison):
            yield Text(sentence(comparison, label, kind))


def _about(comparison: JsonObject) -> str:
    subjects = comparison["subjects"]
    assert isinstance(subjects, list)
    within = "" if comparison["interval_reason"] else ", 95% intervals"
    clips = counted(int(number(comparison["clips"]) or 0), "clip")
    people = counted(len(subjects), "test subject")
    return f"Did pretraining help? {comparison['windows']} windows of {clips}, {people}{within}"


def _figure_table(comparison: JsonObject, score: str) -> Table:
    kinds = list(child(comparison, "variants"))
    table = _table(f"{RECOGNITION[score]}, {horizon_of(comparison)} after the window", kinds)
    for label in children(comparison, "labels"):
        _add(table, label, [_figure(figures_at(comparison, label, "variants", kind), score) for kind in kinds])
    return table


def _difference_table(comparison: JsonObject) -> Table:
    kinds = others(comparison)
    table = _table(f"{RECOGNITION[DECIDING]}, points more than {comparison['baseline']}", kinds)
    for label in children(comparison, "labels"):
        _add(table, label, [_difference(figures_at(comparison, label, "differences", kind)) for kind in kinds])
    return table


def _table(title: str, columns: list[str]) -> Table:
    table = titled_table(title)
    table.add_column("labels", min_width=6)
    table.add_column("windows", justify="right")
    for column in columns:
        table.add_column(column, justify="right", min_width=12, no_wrap=True)
    return table


def _add(table: Table, label: JsonObject, cells: list[Cell]) -> None:
    figures, intervals = zip(*cells, strict=True)
    table.add_row(percent(label), str(label["training_windows"]), *figures)
    if any(intervals):
        table.add_row("", "", *intervals, style="dim")


def _figure(found: JsonObject | None, score: str) -> Cell:
    if found is None:
        return Text(NONE), ""
    figure = measured(found, score)
    return Text(written(score, figure.value)), written_interval(score, figure.interval)


def _difference(found: JsonObject | None) -> Cell:
    """Marked where it is settled."""
    if found is None:
        return Text(NONE), ""
    gained, settled = measured(found, DECIDING), child(found, "significant")[DECIDING]
    mark = f" {SIGNIFICANT[settled]}" if isinstance(settled, str) else "  "
    ends = gained.interval
    within = "" if ends is None else ", ".join(written_difference(DECIDING, end) for end in ends)
    shown = Text(f"{written_difference(DECIDING, gained.value)}{mark}", "" if settled is None else "bold")
    return shown, within
