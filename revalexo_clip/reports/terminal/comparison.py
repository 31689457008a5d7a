"""What a comparison looks like in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.comparison import FEATURES, Place, in_gallery, is_probed, of_probe, summary
from revalexo_clip.reports.leakage import seen_text
from revalexo_clip.reports.values import (
    DIRECTIONS,
    GALLERIES,
    MINUS,
    SIGNIFICANT,
    TITLES,
    Measured,
    child,
    children,
    first_horizon,
    horizon_text,
    measured,
    number,
    shown_galleries,
    written,
    written_difference,
)

_RETRIEVAL = ("r_at_1", "r_at_10", "mrr")
_PROBES = (
    ("linear", "weighted_f1", "weighted F1, linear probe"),
    ("linear", "macro_f1", "macro F1, linear probe"),
    ("knn", "weighted_f1", "weighted F1, neighbours"),
)
_BESIDE = 2
"""Checkpoints that there is room for beside the first."""
_WIDEST = 17
"""Titles of rows are broken into lines where they are longer."""

Pairs = Sequence[tuple[JsonObject, JsonObject]]
"""Checkpoints, and by how much they differ from the first."""


def comparison_report(metrics: JsonObject) -> Iterator[RenderableType]:
    """Which checkpoints there are, their figures side by side, and what the differences settle."""
    first, *others = children(metrics, "checkpoints")
    yield _letters([first, *others])
    subjects = counted(len(child(first, "subjects")), "subject")
    within = "" if metrics["interval_reason"] else ", 95% intervals"
    about = f"{metrics['windows']} windows of {metrics['clips']} clips ({metrics['split']}: {subjects}){within}"
    yield Text(about, style="bold")
    pairs = [*zip(others, children(metrics, "differences"), strict=True)]
    for start in range(0, len(pairs), _BESIDE):
        yield _table(metrics, first, pairs[start : start + _BESIDE])
    if not is_probed(metrics):
        reasons = dict.fromkeys(str(one["probe_reason"]) for one in (first, *others) if one["probe"] is None)
        yield Text(f"No probe: {', '.join(reasons)}.", style="dim")
    else:
        horizon = horizon_text(first_horizon(child(first, "probe")))
        yield Text(f"F1: of the activity {horizon} after the window, told from frozen features", style="dim")
    if metrics["interval_reason"] is not None:
        yield Text(f"Nothing is settled, for want of intervals: {metrics['interval_reason']}.")
        return
    marks = f"{SIGNIFICANT['better']} better, {SIGNIFICANT['worse']} worse: the interval leaves out zero; "
    yield Text(f"{marks}{SIGNIFICANT['same']} the same for every window", style="dim")
    for other, difference in pairs:
        yield Text(f"{other['letter']} against {first['letter']}  {summary(metrics, difference)}")


def _letters(checkpoints: Sequence[JsonObject]) -> Table:
    """What the letters stand for, however long that is; and whose figures flatter."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    for one in checkpoints:
        table.add_row(str(one["letter"]), Text(str(one["name"])), f"epoch {one['epoch']}")
        if told := seen_text(child(one, "seen")):
            table.add_row("", Text(f"these figures flatter it: it was {told}", style="yellow"))
    return table


def _table(metrics: JsonObject, first: JsonObject, pairs: Pairs) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("", max_width=_WIDEST)
    table.add_column(str(first["letter"]), justify="right")
    for other, _ in pairs:
        for heading in (str(other["letter"]), f"{other['letter']}{MINUS}{first['letter']}"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("interval" if metrics["interval_reason"] is None else "", justify="right", style="dim")
    for title, name, place in _rows(metrics, first):
        if place is None:
            table.add_section()
            table.add_row(Text(title, "bold"))
        else:
            cells = (cell for pair in pairs for cell in _cells(name, *map(place, pair)))
            table.add_row(title, written(name, number(place(first)[name])), *cells)
    return table


def _rows(metrics: JsonObject, first: JsonObject) -> Iterator[tuple[str, str, Place | None]]:
    """Titles of rows, which figures they hold, and where these are; a title alone begins a section."""
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


def _cells(name: str, found: JsonObject, difference: JsonObject) -> tuple[str, Text, str]:
    """A checkpoint's figure, its difference to the first's with a mark where it is settled, and the interval."""
    gained, settled = measured(difference, name), child(difference, "significant")[name]
    mark = SIGNIFICANT[settled] if isinstance(settled, str) else " "
    by = Text(f"{written_difference(name, gained.value)}{mark}", "" if settled is None else "bold")
    return written(name, number(found[name])), by, _interval(name, gained)


def _interval(name: str, gained: Measured) -> str:
    if gained.interval is None:
        return ""
    scale, digits = (1, 2) if name == "mrr" else (100, 1)
    return ", ".join(f"{scale * end:.{digits}f}" for end in gained.interval).replace("-", MINUS)
