"""Headline figures of an evaluation in a terminal: few labels, one subject, transitions, and the gap closed."""

from __future__ import annotations

from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports import headline
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import Measured, child, measured, percent, written, written_interval

FEATURES = {
    "imu": "IMU",
    "imu_untrained": "  untrained",
    "handcrafted": "  handcrafted",
    "imu_supervised": "  supervised",
    "video": "video",
    "both": "IMU and video",
}
"""Titles of probed features."""
OVER = {key: f"over {name}" for key, name in headline.OVER.items()}
"""Titles of gains."""


def headline_table(probe: JsonObject) -> ReportTable:
    """Return macro F1 with the fewest labels, with those of one subject and in transitions, and the gains."""
    table = ReportTable("Macro F1 of a linear probe: few labels, transitions", [*map(Column, headline.columns(probe))])
    for name in headline.shown_features(probe):
        table.add_row(FEATURES[name], *(percent(one.value) for one in headline.figures(probe, name)))
    for place, (over, title) in enumerate(OVER.items()):
        gained = headline.gains(probe, over)
        table.add_row(f"gain {title}", *(_signed(one) for one in gained), new_section=place == 0)
        if any(one.interval for one in gained):
            table.add_row("", *(_ends(one) for one in gained), style="dim")
    return table


def gap_line(probe: JsonObject) -> Text | None:
    """Return which share of the gap pretraining closes, in a sentence; None without a reference."""
    if not isinstance(probe["gap_closed"], dict):
        return None
    found = child(probe, "gap_closed")
    if reason := child(found, "reason")["macro_f1"]:
        return Text(f"Share of the gap between untrained and supervised: not known, because {reason}.\n")
    closed = measured(found, "macro_f1")
    ends = f" (95% interval {written_interval('share', closed.interval)}%)" if closed.interval else ""
    return Text(
        f"Pretraining closes {written('share', closed.value)}{ends} of the gap in macro F1 between the untrained and "
        "the supervised network.\n"
    )


def _signed(one: Measured) -> str:
    return "-" if one.value is None else f"{100 * one.value:+.1f}"


def _ends(one: Measured) -> str:
    if one.interval is None:
        return ""
    low, high = one.interval
    return f"{100 * low:.1f}{', ' if low < 0 else '-'}{100 * high:.1f}"
