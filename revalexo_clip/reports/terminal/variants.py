"""The comparison of variants in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.variants import (
    DECIDING,
    figures_at,
    horizon_of,
    others,
    percent,
    sentences,
    training_notes,
    variant_leakage_warning,
)
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import (
    CLASSIFICATION,
    CORRECTED,
    MINUS,
    NO_INTERVALS,
    NONE,
    SIGNIFICANT,
    child,
    children,
    interval_note,
    measured,
    number,
    written,
    written_difference,
    written_interval,
)

_SHOWN = (DECIDING, "balanced_accuracy")
"""Scores whose intervals can be trusted with few recordings."""

Cell = tuple[Text, str]
"""A value and its interval."""


def variant_report(comparison: JsonObject) -> Iterator[RenderableType]:
    """Yield the scores of variants at each share of the labels, and their differences; last, what has no result."""
    if warning := variant_leakage_warning(comparison):
        yield Text(warning, style="yellow")
    if comparison["windows"]:
        yield Text(_about(comparison), style="bold")
        for score in _SHOWN:
            yield _score_table(comparison, score)
        yield _difference_table(comparison)
        for note in training_notes(comparison):
            yield Text(note, style="yellow")
        yield from _significance(comparison)
    if unfinished := child(comparison, "unfinished"):
        yield Text(f"Without a result: {', '.join(unfinished)}.", style="yellow")


def _significance(comparison: JsonObject) -> Iterator[Text]:
    """Yield a sentence for each difference."""
    if comparison["interval_reason"] is not None:
        yield Text(f"{NO_INTERVALS}: {comparison['interval_reason']}.")
        return
    marks = f"{SIGNIFICANT['better']} better, {SIGNIFICANT['worse']} worse (the 95% interval excludes zero); "
    yield Text(f"{marks}{SIGNIFICANT['same']} the same for every window; no mark: not significant", style="dim")
    yield Text(interval_note(comparison), style="dim")
    yield Text(f"{CORRECTED}\n", style="dim")
    yield from map(Text, sentences(comparison))


def _about(comparison: JsonObject) -> str:
    subjects = comparison["subjects"]
    assert isinstance(subjects, list)
    intervals = "" if comparison["interval_reason"] else ", 95% intervals"
    clips = counted(int(number(comparison["clips"]) or 0), "clip")
    tested = counted(len(subjects), "test subject")
    return f"Did pretraining help? {comparison['windows']} windows of {clips}, {tested}{intervals}"


def _score_table(comparison: JsonObject, score: str) -> ReportTable:
    kinds = list(child(comparison, "variants"))
    table = _table(f"{_capitalized(CLASSIFICATION[score])}, {horizon_of(comparison)}", kinds)
    for label in children(comparison, "labels"):
        _add(table, label, [_figure(figures_at(comparison, label, "variants", kind), score) for kind in kinds])
    return table


def _difference_table(comparison: JsonObject) -> ReportTable:
    kinds, baseline = others(comparison), comparison["baseline"]
    title = f"Difference in {CLASSIFICATION[DECIDING]} [percentage points]"
    table = _table(title, [f"{kind} {MINUS} {baseline}" for kind in kinds])
    for label in children(comparison, "labels"):
        _add(table, label, [_difference(figures_at(comparison, label, "differences", kind)) for kind in kinds])
    return table


def _table(title: str, columns: list[str]) -> ReportTable:
    return ReportTable(title, [Column("windows"), *map(Column, columns)], label_title="labels")


def _add(table: ReportTable, label: JsonObject, cells: list[Cell]) -> None:
    figures, intervals = zip(*cells, strict=True)
    table.add_row(percent(label), str(label["training_windows"]), *figures)
    if any(intervals):
        table.add_row("", "", *intervals, style="dim")


def _capitalized(title: str) -> str:
    return f"{title[:1].upper()}{title[1:]}"


def _figure(found: JsonObject | None, score: str) -> Cell:
    if found is None:
        return Text(NONE), ""
    figure = measured(found, score)
    return Text(written(score, figure.value)), written_interval(score, figure.interval)


def _difference(found: JsonObject | None) -> Cell:
    """Return a difference with a mark if it is significant, and its interval."""
    if found is None:
        return Text(NONE), ""
    gained, significant = measured(found, DECIDING), child(found, "significant")[DECIDING]
    mark = f" {SIGNIFICANT[significant]}" if isinstance(significant, str) else "  "
    ends = gained.interval
    interval = "" if ends is None else ", ".join(written_difference(DECIDING, end) for end in ends)
    shown = Text(f"{written_difference(DECIDING, gained.value)}{mark}", "" if significant is None else "bold")
    return shown, interval
