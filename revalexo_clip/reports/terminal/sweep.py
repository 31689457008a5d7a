"""The results of a sweep in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.sweep import (
    CHOSEN_ON_TEST,
    FEW_SEEDS,
    SEED_INTERVALS,
    about,
    columns,
    deviation,
    difference_of,
    figure,
    gain,
    interval,
    sentences,
    significant,
)
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.values import CORRECTED, MINUS, NONE, SIGNIFICANT, child, children, list_of, percent


def sweep_report(sweep: JsonObject) -> Iterator[RenderableType]:
    """Yield the settings with mean, deviation and difference to the first; test results; last, what has no result."""
    yield _table(sweep)
    if child(sweep, "grid"):
        if len(list_of(sweep["seeds"])) > 1:
            marks = f"{SIGNIFICANT['better']} better, {SIGNIFICANT['worse']} worse (the 95% interval excludes zero); "
            yield Text(f"{marks}{SIGNIFICANT['same']} the same with every seed; no mark: not significant", style="dim")
            yield Text(SEED_INTERVALS, style="dim")
            yield Text(f"{CORRECTED}\n", style="dim")
        else:
            yield Text(f"{FEW_SEEDS}\n", style="dim")
    yield from map(Text, sentences(sweep))
    if sweep["on_test_subjects"]:
        yield Text(CHOSEN_ON_TEST, style="yellow")
    if isinstance(test := sweep["test"], dict) and test["reason"] is None:
        yield Text("")
        yield _test_table(sweep, test)
    if unfinished := child(sweep, "unfinished"):
        yield Text(f"Without a result: {', '.join(unfinished)}.", style="yellow")


def _table(sweep: JsonObject) -> ReportTable:
    fields = columns(sweep)
    table = ReportTable(
        f"Sweep of {sweep['experiment']}, {about(sweep)}",
        [
            *(Column(name, text=True) for name in fields.values()),
            Column("seeds"),
            Column("mean", group=1),
            Column("dev.", group=1),
            *([Column(f"{MINUS} {sweep['baseline']}", group=1), Column("95% interval", group=1)] if fields else []),
        ],
    )
    for setting in children(sweep, "settings"):
        values, trials = child(setting, "values"), children_of(child(setting, "trials"))
        seeds = sum(1 for trial in trials if trial["value"] is not None)
        cells: list[str | Text] = [*(str(values[path]) for path in fields), str(seeds)]
        cells += [figure(sweep, setting["mean"]), deviation(sweep, setting["deviation"])]
        if setting["number"] != sweep["baseline"]:
            cells += _difference(sweep, setting)
        table.add_row(str(setting["number"]), *cells, style="bold" if setting["number"] == sweep["best"] else "")
    return table


def children_of(found: JsonObject) -> list[JsonObject]:
    """Return the objects among the values of an object."""
    return [one for one in found.values() if isinstance(one, dict)]


def _difference(sweep: JsonObject, setting: JsonObject) -> list[str | Text]:
    found = difference_of(sweep, setting)
    if found is None:
        return [NONE, ""]
    said = significant(sweep, setting)
    mark = "  " if said is None else f" {SIGNIFICANT[said]}"
    return [f"{gain(sweep, found.value)}{mark}", interval(sweep, found)]


_TESTED = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "balanced_accuracy": "balanced accuracy"}


def _test_table(sweep: JsonObject, test: JsonObject) -> ReportTable:
    found = child(test, "scores")
    heading = f"On the test subjects, mean over seeds, {test['windows']} windows"
    table = ReportTable(heading, [Column("seeds"), *map(Column, _TESTED.values())])
    for setting in children(sweep, "settings"):
        of = found.get(str(setting["number"]))
        if isinstance(of, dict):
            table.add_row(str(setting["number"]), str(of["seeds"]), *(percent(of[name]) for name in _TESTED))
    return table
