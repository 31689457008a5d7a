"""Zero-shot results in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports import zero_shot
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import RETRIEVAL, child, measured, number, written, written_interval


def zero_shot_tables(found: JsonObject) -> Iterator[RenderableType]:
    """Yield the scores of zero-shot classification and of retrieval by sentences."""
    table = ReportTable(zero_shot.heading(found), [Column(title) for title in zero_shot.SCORES.values()])
    for modality, title in zero_shot.measured_modalities(found).items():
        _add(table, title, child(found, modality), zero_shot.SCORES)
    chance = child(found, "chance")
    table.add_row("chance", *(written(name, number(chance[name])) for name in zero_shot.SCORES), style="dim")
    yield table
    if isinstance(found["retrieval"], dict):
        table = ReportTable("Retrieval by sentences", [Column(title) for title in RETRIEVAL.values()])
        for way, result in child(found, "retrieval").items():
            assert isinstance(result, dict)
            _add(table, f"{zero_shot.WAYS[way]} ({result['gallery_size']})", result, RETRIEVAL)
            blind = child(result, "chance")
            table.add_row("  chance", *(written(name, number(blind[name])) for name in RETRIEVAL), style="dim")
        yield table
    for note in zero_shot.notes(found):
        yield Text(note, style="dim")
    yield Text("")


def _add(table: ReportTable, title: str, found: JsonObject, names: Mapping[str, str]) -> None:
    """Add a row of figures, and one of their intervals."""
    shown = [measured(found, name) for name in names]
    table.add_row(title, *(written(name, one.value) for name, one in zip(names, shown, strict=True)))
    ends = [written_interval(name, one.interval) for name, one in zip(names, shown, strict=True)]
    if any(ends):
        table.add_row("", *ends, style="dim")
