"""Robustness to perturbed IMU in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import SUBJECT, WHOLE
from revalexo_clip.reports import perturbations
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import DIRECTIONS, child, children, number

_COLUMNS = {
    "R@1": (WHOLE, "r_at_1"),
    "MRR": (WHOLE, "mrr"),
    "R@1, subject": (SUBJECT, "r_at_1"),
    "MRR, subject": (SUBJECT, "mrr"),
}


def robustness_tables(robustness: JsonObject) -> Iterator[RenderableType]:
    """Yield the table of all perturbations, each with its differences below it, and notes."""
    title = "Robustness: perturbed IMU [%; MRR], IMU → video / video → IMU, and differences"
    table = ReportTable(title, [*map(Column, _COLUMNS), Column("macro F1")])
    table.add_row("as recorded", *_cells(perturbations.as_recorded(robustness)))
    for one in children(robustness, "perturbations"):
        table.add_row(perturbations.title(one, robustness), *_cells(child(one, "perturbed")))
        table.add_row("", *_cells(child(one, "difference"), sign="+"), style="dim")
    yield table
    for note in perturbations.notes(robustness):
        yield Text(note, style="dim")


def _cells(found: JsonObject, sign: str = "") -> list[str]:
    """Return the figures of all columns; differences are signed."""
    cells = [
        "/".join(_written(name, number(child(found, gallery, way)[name]), sign) for way in DIRECTIONS)
        for gallery, name in _COLUMNS.values()
    ]
    return [*cells, _written("macro_f1", number(child(found, "probe")["macro_f1"]), sign)]


def _written(name: str, value: float | None, sign: str) -> str:
    if value is None:
        return "-"
    return f"{value:{sign}.2f}" if name == "mrr" else f"{100 * value:{sign}.1f}"
