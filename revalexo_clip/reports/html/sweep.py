"""`report.html` of a sweep: the settings, their differences to the first one, and every trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.reports.conclusions.sweep import (
    CHOSEN_ON_TEST,
    FEW_SEEDS,
    SEED_INTERVALS,
    TEST_INTERVALS,
    about,
    columns,
    deviation,
    difference_of,
    figure,
    gain,
    interval,
    significant,
    verdicts,
)
from revalexo_clip.reports.html.cells import as_list, difference, warning_box
from revalexo_clip.reports.html.page import Html, Section, joined, page, paragraph, row, table, tag, text
from revalexo_clip.reports.html.page import figure as with_caption
from revalexo_clip.reports.html.plots import COLOUR, ROW_HEIGHT, WIDTH, bare, heading, panels, svg
from revalexo_clip.reports.values import (
    CLASSIFICATION,
    MINUS,
    NONE,
    SIGNIFICANT,
    child,
    children,
    list_of,
    number,
    percent,
)


def write_sweep_report(path: Path, sweep: JsonObject) -> None:
    """Write the report on the content of `sweep.json`. Raises `WriteError` if it cannot be written."""
    title = f"Sweep of {sweep['experiment']}"
    written = page(title, _head(sweep, title), list(_sections(sweep)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def _head(sweep: JsonObject, title: str) -> Html:
    parts = [tag("h1", text(title)), paragraph(f"{about(sweep)}.", "quiet")]
    if sweep["on_test_subjects"]:
        parts.append(warning_box(CHOSEN_ON_TEST))
    parts.append(as_list(verdicts(sweep)))
    for name, why in child(sweep, "unfinished").items():
        parts.append(paragraph(f"{name} has no result{f': {why}' if why else '.'}"))
    return joined(parts, "\n")


def _sections(sweep: JsonObject) -> Iterator[Section]:
    yield Section("settings", "Settings", joined([_settings(sweep), _drawing(sweep)]))
    if isinstance(test := sweep["test"], dict):
        yield Section("test", "Test subjects", _test(sweep, test))
    yield Section("trials", "Trials", _trials(sweep))


def _settings(sweep: JsonObject) -> Html:
    fields = columns(sweep)
    titles = ["setting", *fields.values(), "seeds", f"mean {sweep['metric']}", "deviation"]
    if fields:
        titles += [f"{MINUS} {sweep['baseline']}", "95% interval"]
    rows = []
    for setting in children(sweep, "settings"):
        values = child(setting, "values")
        name = text(setting["number"])
        cells = [tag("strong", name) if setting["number"] == sweep["best"] else name]
        cells += [text(values[path]) for path in fields]
        cells += [text(len(_values(setting))), text(figure(sweep, setting["mean"]))]
        cells.append(text(deviation(sweep, setting["deviation"])))
        if fields:
            cells += _difference(sweep, setting)
        rows.append(row(cells))
    told = SEED_INTERVALS if len(list_of(sweep["seeds"])) > 1 else FEW_SEEDS
    return joined([table(titles, rows, kind="summary"), *([paragraph(told, "quiet")] if fields else [])])


_CLASSES = {"better": "yes", "worse": "no", "same": "open"}


def _difference(sweep: JsonObject, setting: JsonObject) -> list[Html]:
    found, said = difference_of(sweep, setting), significant(sweep, setting)
    if found is None:
        return [text(""), text("")]
    shown = text(gain(sweep, found.value))
    if said is not None:
        shown = tag("strong", joined([shown, text(f" {SIGNIFICANT[said]}")]), class_=_CLASSES[said])
    return [shown, tag("span", text(interval(sweep, found)), class_="quiet")]


def _values(setting: JsonObject) -> list[float]:
    found = [number(one["value"]) for one in child(setting, "trials").values() if isinstance(one, dict)]
    return [value for value in found if value is not None]


def _drawing(sweep: JsonObject) -> Html:
    """Return every trial as a dot, and the mean of each setting as a line."""
    settings = children(sweep, "settings")
    if not any(map(_values, settings)):
        return paragraph("No trial has a result.")
    (axes,) = panels(WIDTH, 0.9 + ROW_HEIGHT * len(settings))
    for place, setting in enumerate(settings):
        _draw(axes, place, _values(setting))
    axes.set_yticks(range(len(settings)), [f"setting {one['number']}" for one in settings])
    axes.set_ylim(len(settings) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.xaxis.set_major_formatter(lambda value, _: figure(sweep, float(value)))
    heading(axes, str(sweep["metric"]))
    bare(axes, "left", "bottom")
    return with_caption(
        svg(axes, f"{sweep['metric']} of all trials"), "A dot is a trial, a bar the mean of its setting."
    )


def _draw(axes: Axes, place: int, values: list[float]) -> None:
    if values:
        axes.plot(values, [place] * len(values), "o", color=COLOUR["c1"], alpha=0.7)
        axes.plot([sum(values) / len(values)] * 2, [place - 0.32, place + 0.32], color=COLOUR["ink"], linewidth=2.2)


def _test(sweep: JsonObject, test: JsonObject) -> Html:
    if test["reason"] is not None:
        return paragraph(f"No comparison on the test subjects: {test['reason']}.")
    titles, rows = ["setting", "seeds", *CLASSIFICATION.values()], []
    for setting in children(sweep, "settings"):
        key = str(setting["number"])
        of, gained = child(test, "scores").get(key), child(test, "differences").get(key)
        if isinstance(of, dict):
            rows.append(row([text(key), text(of["seeds"]), *(text(percent(of[name])) for name in CLASSIFICATION)]))
        if isinstance(gained, dict):
            shown = (joined(difference(name, gained), " ") for name in CLASSIFICATION)
            rows.append(row([text(f"{key} {MINUS} {sweep['baseline']}"), text(gained["seeds"]), *shown]))
    reason = test["interval_reason"]
    told = TEST_INTERVALS if reason is None else f"There are no intervals: {reason}."
    return joined([table(titles, rows, kind="summary"), paragraph(f"Means over seeds. {told}", "quiet")])


def _trials(sweep: JsonObject) -> Html:
    rows = []
    for setting in children(sweep, "settings"):
        for name, trial in child(setting, "trials").items():
            assert isinstance(trial, dict)
            folder = tag("a", text(name), href=f"trials/{name}/log.txt")
            rows.append(row([folder, text(trial["seed"]), text(figure(sweep, trial["value"]))]))
    for name, why in child(sweep, "unfinished").items():
        rows.append(row([text(name), text(""), text(NONE if why is None else "failed")]))
    return table(["trial", "seed", str(sweep["metric"])], rows, kind="named")
