"""The report on variants: what they are, whether pretraining helped, and all figures.

Variants against the share of the labels, and their differences to the first around a line at zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.variants import (
    DECIDING,
    figures_at,
    horizon_of,
    others,
    percent,
    share_text,
    variant_leakage_warning,
    verdicts,
)
from revalexo_clip.reports.html.cells import as_list, cell, difference
from revalexo_clip.reports.html.page import Html, Section, figure, group, joined, page, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import (
    COLOUR,
    ROW_HEIGHT,
    WIDTH,
    Row,
    band,
    draw_gains,
    heading,
    label_ends,
    panels,
    percent_axis,
    svg,
)
from revalexo_clip.reports.values import NONE, RECOGNITION, SETS, SIGNIFICANT, child, children, measured, number


def write_variant_report(path: Path, comparison: JsonObject) -> None:
    """Write the report on what `comparison.json` holds. Raises `WriteError` where the disk refuses."""
    written = page(f"Did pretraining help {comparison['experiment']}?", head(comparison), list(sections(comparison)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def head(comparison: JsonObject) -> Html:
    """The question, what was compared, whether figures flatter, and the answers; last, what has no result."""
    parts = [tag("h1", text(f"Did pretraining help {comparison['experiment']}?")), _variants(comparison)]
    if told := variant_leakage_warning(comparison):
        strong, _, why = told.partition(":")
        parts.append(tag("p", joined([tag("strong", text(f"⚠ {strong}:")), text(why)]), class_="warning"))
    parts += [paragraph(_about(comparison), "quiet"), as_list(verdicts(comparison))]
    unfinished = child(comparison, "unfinished")
    parts += [paragraph(f"{name} has no result{f': {why}' if why else '.'}") for name, why in unfinished.items()]
    return joined(parts, "\n")


def _variants(comparison: JsonObject) -> Html:
    rows = [row([tag("strong", text(kind)), text(what)]) for kind, what in child(comparison, "variants").items()]
    return table(["variant", f"pretrained: {comparison['encoder']}"], rows, kind="named")


def _about(comparison: JsonObject) -> str:
    windows, clips = (counted(int(number(comparison[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    subjects = comparison["subjects"]
    assert isinstance(subjects, list)
    people = "1 person" if len(subjects) == 1 else f"{len(subjects)} people"
    about = (
        "Everything else is the same for all variants: the training windows, their order and augmentation, the weights "
        f"that heads begin with. All were tested on the same {windows} of {clips} from {people}, "
        f"{', '.join(map(str, subjects))}. "
    )
    if comparison["interval_reason"] is not None:
        return f"{about}Nothing is settled, for want of intervals: {comparison['interval_reason']}."
    return (
        f"{about}In brackets: 95% intervals of the differences, for both of the same resampled clips. They say how a "
        "difference would vary with other clips of the same people, not with other people, and not with the same "
        "trainings under another seed. Of twenty that do not differ about one is settled by chance."
    )


def sections(comparison: JsonObject) -> Iterator[Section]:
    """All sections; one that has nothing to show says why."""
    yield Section("labels", "With how many labels", curve(comparison))
    yield Section("differences", f"Differences to {comparison['baseline']}", forest(comparison))
    yield Section("figures", "Figures", figure_tables(comparison))


def figure_tables(comparison: JsonObject) -> Html:
    """Scores at the first horizon with their intervals, and the differences to the first variant."""
    parts = []
    for among, title in SETS.items():
        rows = list(_rows(comparison, among))
        parts.append(table([title.capitalize(), "windows", *RECOGNITION.values()], rows, kind="summary"))
    told = (
        f"The activity {horizon_of(comparison)} after the window; other horizons are in comparison.json. "
        f"{SIGNIFICANT['better']} better and {SIGNIFICANT['worse']} worse than {comparison['baseline']}: the 95% interval of the "
        "difference leaves out zero. = the same for every window. No mark: not settled."
    )
    return joined([*parts, paragraph(told, "quiet")])


def _rows(comparison: JsonObject, among: str) -> Iterator[Html]:
    columns = 2 + len(RECOGNITION)
    for label in children(comparison, "labels"):
        trained = counted(int(number(label["training_windows"]) or 0), "training window")
        yield group(f"{share_text(label).capitalize()}, {trained}", columns)
        for kind in child(comparison, "variants"):
            found = figures_at(comparison, label, "variants", kind, among)
            if found is None:
                yield row([text(kind), *[text(NONE)] * (columns - 1)])
            else:
                shown = (cell(score, measured(found, score)) for score in RECOGNITION)
                yield row([text(kind), text(found["windows"]), *shown])
        for kind in others(comparison):
            gained = figures_at(comparison, label, "differences", kind, among)
            if gained is not None:
                shown = (joined(difference(score, gained), " ") for score in RECOGNITION)
                yield row([text(f"{kind} less {comparison['baseline']}"), text(""), *shown])


_ROLES = {"scratch": "ink", "frozen": "c1", "full": "c2"}


_MARKS = ("●", "◆")
"""As `MARKERS` are drawn."""


_CURVES = (DECIDING, "balanced_accuracy")


def curve(comparison: JsonObject) -> Html:
    """Scores over the share of the labels, on a logarithmic axis; with a single share there is nothing to draw."""
    labels = children(comparison, "labels")
    if len(labels) < 2:
        return paragraph("There is one share of the labels, so there is no curve; --labels 0.01,0.1,0.5,1 has four.")
    drawn = panels(WIDTH, 3.4, columns=len(_CURVES), share_y=True)
    for axes, score in zip(drawn, _CURVES, strict=True):
        _draw(axes, comparison, score)
        heading(axes, RECOGNITION[score])
        axes.set_xscale("log")
        axes.set_xticks([number(label["fraction"]) or 0.0 for label in labels], [percent(label) for label in labels])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("share of the labels")
        axes.set_ylim(0, 1.02)
        percent_axis(axes, "y")
    bands = " Bands are 95% intervals." if comparison["interval_reason"] is None else ""
    caption = f"The activity {horizon_of(comparison)} after the window, all test windows.{bands}"
    return figure(svg(drawn[0], "Scores by share of the labels"), caption)


def _draw(axes: Axes, comparison: JsonObject, score: str) -> None:
    ends = []
    for kind in child(comparison, "variants"):
        at = {
            number(label["fraction"]) or 0.0: measured(found, score)
            for label in children(comparison, "labels")
            if (found := figures_at(comparison, label, "variants", kind)) is not None and found[score] is not None
        }
        if at:
            x, values = [*at], [found.value or 0.0 for found in at.values()]
            band(axes, x, [*at.values()], COLOUR[_ROLES[kind]])
            axes.plot(x, values, "o-", color=COLOUR[_ROLES[kind]], markersize=4)
            ends.append((x[-1], values[-1], kind, _ROLES[kind]))
    label_ends(axes, ends, gap=0.075)


def forest(comparison: JsonObject) -> Html:
    """Differences to the first variant with their intervals: of all windows, steady ones, and those in a transition."""
    labels, kinds = children(comparison, "labels"), others(comparison)
    drawn = panels(WIDTH, 0.95 + ROW_HEIGHT * len(kinds) * len(labels), columns=len(SETS), share_y=True)
    for axes, (among, title) in zip(drawn, SETS.items(), strict=True):
        rows = [
            Row(
                percent(label),
                {
                    _ROLES[kind]: measured(found, DECIDING)
                    for kind in kinds
                    if (found := figures_at(comparison, label, "differences", kind, among)) is not None
                },
            )
            for label in labels
        ]
        draw_gains(axes, rows, title)
    drawn[0].set_ylabel("share of the labels")
    caption = (
        f"By how much the {RECOGNITION[DECIDING]} is above that of {comparison['baseline']}. Whiskers are paired 95% "
        "intervals; where they cross the line the dot is hollow, and nothing is settled."
    )
    return joined([_legend(kinds), figure(svg(drawn[0], f"Differences to {comparison['baseline']}"), caption)])


def _legend(kinds: list[str]) -> Html:
    keys = [
        tag("li", joined([tag("span", text(f"{mark} "), style=f"color: var(--{_ROLES[kind]})"), text(kind)]))
        for mark, kind in zip(_MARKS, kinds, strict=False)
    ]
    return tag("ul", joined(keys), class_="keys")
