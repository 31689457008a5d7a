"""The lags of a dataset in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import MINUS
from revalexo_clip.sync.command import SyncCheck
from revalexo_clip.sync.result import Estimate, Sync

_MOST_NOTES = 20
STYLES = {"in time": "green", "off": "bold red", "cannot tell": "yellow"}


def sync_table(result: SyncCheck) -> ReportTable:
    """Return a table with a row for each recording."""
    of = f", sensor {result.sensor}" if result.sensor else ""
    table = ReportTable(
        f"Lag of IMU against video{of}: what to add to the IMU's times, with 95% intervals",
        [Column("lag [ms]"), Column("drift [ppm]"), Column("frame [ms]"), Column("verdict", text=True)],
        "recording",
    )
    for found in result.results:
        table.add_row(
            found.recording,
            milliseconds(found.lag),
            drift(found),
            f"{1e3 * found.frame:.1f}" if found.frame else "",
            Text(found.verdict, STYLES[found.verdict]),
        )
    return table


def milliseconds(lag: Estimate | None) -> str:
    """Format a lag with its interval [ms]."""
    return "" if lag is None else f"{round(1e3 * lag.value, 1) + 0.0:+.1f} ± {1e3 * lag.within:.1f}".replace("-", MINUS)


def drift(found: Sync) -> str:
    """Format a drift with its interval [ppm]; nothing if it was not measured."""
    if found.drift is None:
        return ""
    rate = found.drift.rate
    return f"{round(1e6 * rate.value, 1) + 0.0:+.1f} ± {1e6 * rate.within:.1f}".replace("-", MINUS)


def notes_of(result: SyncCheck) -> Iterator[str]:
    """Yield what else is said of each recording, in lines: of the first `_MOST_NOTES`."""
    lines = [
        f"{found.recording}: {sentence}"
        for found in result.results
        for sentence in (*((f"{found.reason}.",) if found.reason else ()), *found.notes)
    ]
    yield from lines[:_MOST_NOTES]
    if len(lines) > _MOST_NOTES:
        yield f"and {len(lines) - _MOST_NOTES} more such lines, see --json or --out"
