"""The list of runs in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import child, number, written

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def run_table(runs: Sequence[JsonObject]) -> ReportTable:
    """Return a table of runs, as JSON."""
    columns = [
        Column("started"),
        Column("kind", text=True),
        Column("state", text=True),
        Column("key figures", text=True),
        Column("size"),
    ]
    table = ReportTable("", columns, label_title="experiment")
    for run in runs:
        figures = ", ".join(f"{name} {_figure(name, number(value))}" for name, value in child(run, "figures").items())
        stamp = str(run["path"]).rpartition("/")[2]
        table.add_row(
            str(run["experiment"]),
            stamp,
            str(run["kind"]),
            str(run["state"]),
            figures,
            size_text(number(run["size"]) or 0.0),
        )
    return table


def _figure(name: str, value: float | None) -> str:
    last = name.rpartition("/")[2]
    return f"{value:.4f}" if last == "loss" and value is not None else written(last, value)


def size_text(size: float) -> str:
    """Format a number of bytes: `1.2 GiB`."""
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"
