"""The comparison of checkpoints in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.comparison import (
    FEATURES,
    Place,
    in_gallery,
    is_probed,
    of_probe,
    summaries,
    training_notes,
)
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import (
    CORRECTED,
    DIRECTIONS,
    GALLERIES,
    MINUS,
    NO_INTERVALS,
    SIGNIFICANT,
    TITLES,
    Measured,
    child,
    children,
    first_horizon,
    interval_note,
    measured,
    number,
    shown_galleries,
    when,
    written,
    written_difference,
)

_RETRIEVAL = ("r_at_1", "r_at_10", "mrr")
_PROBES = (
    ("linear", "weighted_f1", "weighted F1, linear probe"),
    ("linear", "macro_f1", "macro F1, linear probe"),
    ("knn", "weighted_f1", "weighted F1, nearest neighbours"),
)
Pairs = Sequence[tuple[JsonObject, JsonObject]]
"""Checkpoints, and their differences to the first."""


def comparison_report(metrics: JsonObject) -> Iterator[RenderableType]:
    """Yield the names of the checkpoints, their results side by side, and which differences are significant."""
    first, *others = children(metrics, "checkpoints")
    yield _letters([first, *others])
    yield Text("")
    subjects = counted(len(child(first, "subjects")), "subject")
    intervals = "" if metrics["interval_reason"] else ", 95% intervals"
    about = f"{metrics['windows']} windows of {metrics['clips']} clips ({metrics['split']}: {subjects}){intervals}"
    pairs = [*zip(others, children(metrics, "differences"), strict=True)]
    yield _table(about, metrics, first, pairs)
    if not is_probed(metrics):
        reasons = dict.fromkeys(str(one["probe_reason"]) for one in (first, *others) if one["probe"] is None)
        yield Text(f"No probe: {', '.join(reasons)}.", style="dim")
    else:
        moment = when(first_horizon(child(first, "probe")))
        yield Text(f"F1: activity {moment}, predicted from frozen features", style="dim")
        for note in training_notes(metrics):
            yield Text(note, style="yellow")
    if metrics["interval_reason"] is not None:
        yield Text(f"{NO_INTERVALS}: {metrics['interval_reason']}.")
        return
    marks = f"{SIGNIFICANT['better']} better, {SIGNIFICANT['worse']} worse (the 95% interval excludes zero); "
    yield Text(f"{marks}{SIGNIFICANT['same']} the same for every window; no mark: not significant", style="dim")
    yield Text(interval_note(metrics), style="dim")
    yield Text(CORRECTED, style="dim")
    for other, told in zip(others, summaries(metrics), strict=True):
        yield Text(f"{other['letter']} compared with {first['letter']}:  {told}")


def _letters(checkpoints: Sequence[JsonObject]) -> Table:
    """Return the checkpoint of each letter, with a warning if its results do not measure generalisation."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    for one in checkpoints:
        table.add_row(str(one["letter"]), Text(str(one["name"])), f"epoch {one['epoch']}")
        if warning := leakage_warning(child(one, "seen")):
            table.add_row("", Text(warning, style="yellow"))
    return table


def _table(title: str, metrics: JsonObject, first: JsonObject, pairs: Pairs) -> ReportTable:
    columns = [Column(str(first["letter"]))]
    for group, (other, _) in enumerate(pairs, start=1):
        headings = [str(other["letter"]), f"{other['letter']}{MINUS}{first['letter']}"]
        columns += [Column(heading, group=group) for heading in headings]
        if metrics["interval_reason"] is None:
            columns.append(Column("interval", group=group, style="dim"))
    table = ReportTable(title, columns)
    for label, name, place in _rows(metrics, first):
        if place is None:
            table.add_heading(label)
        else:
            cells = [cell for pair in pairs for cell in _cells(metrics, name, *map(place, pair))]
            table.add_row(label, written(name, number(place(first)[name])), *cells)
    return table


def _rows(metrics: JsonObject, first: JsonObject) -> Iterator[tuple[str, str, Place | None]]:
    """Yield label, name and place of the values of each row; a row without a place is a heading."""
    for gallery in shown_galleries(first):
        yield GALLERIES[gallery], "", None
        for direction, arrow in DIRECTIONS.items():
            for name in _RETRIEVAL:
                yield f" {TITLES[name]:4} {arrow}", name, in_gallery(gallery, direction)
    if is_probed(metrics):
        for kind, score, title in _PROBES:
            yield title, "", None
            for name, features in FEATURES.items():
                yield f" {features}", score, of_probe(kind, name)


def _cells(metrics: JsonObject, name: str, found: JsonObject, difference: JsonObject) -> list[str | Text]:
    """Return a checkpoint's value, its difference to the first with a mark if it is significant, and the interval."""
    gained, significant = measured(difference, name), child(difference, "significant")[name]
    mark = SIGNIFICANT[significant] if isinstance(significant, str) else " "
    by = Text(f"{written_difference(name, gained.value)}{mark}", "" if significant is None else "bold")
    interval = [_interval(name, gained)] if metrics["interval_reason"] is None else []
    return [written(name, number(found[name])), by, *interval]


def _interval(name: str, gained: Measured) -> str:
    if gained.interval is None:
        return ""
    scale, digits = (1, 2) if name == "mrr" else (100, 1)
    return ", ".join(f"{scale * end:.{digits}f}" for end in gained.interval).replace("-", MINUS)
