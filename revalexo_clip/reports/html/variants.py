"""`report.html` of a comparison of variants: whether pretraining helped, by share of the labels."""

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
    training_notes,
    variant_leakage_warning,
    verdicts,
)
from revalexo_clip.reports.html.cells import as_list, cell, difference, warning_box
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
from revalexo_clip.reports.values import (
    CLASSIFICATION,
    MINUS,
    NO_INTERVALS,
    NONE,
    SETS,
    SIGNIFICANT,
    child,
    children,
    measured,
    number,
    resampled_text,
)


def write_variant_report(path: Path, comparison: JsonObject) -> None:
    """Write the report on the content of `comparison.json`. Raises `WriteError` if it cannot be written."""
    written = page(f"Did pretraining help {comparison['experiment']}?", head(comparison), list(sections(comparison)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def head(comparison: JsonObject) -> Html:
    """Return the question, the variants, a warning if there is one, and the answers; last, what has no result."""
    parts = [tag("h1", text(f"Did pretraining help {comparison['experiment']}?")), _variants(comparison)]
    if warning := variant_leakage_warning(comparison):
        parts.append(warning_box(warning))
    parts += [warning_box(note) for note in training_notes(comparison)]
    parts += [paragraph(_about(comparison), "quiet"), as_list(verdicts(comparison))]
    unfinished = child(comparison, "unfinished")
    parts += [paragraph(f"{name} has no result{f': {why}' if why else '.'}") for name, why in unfinished.items()]
    return joined(parts, "\n")


def _variants(comparison: JsonObject) -> Html:
    rows = [row([tag("strong", text(kind)), text(what)]) for kind, what in child(comparison, "variants").items()]
    return table(["variant", f"pretrained encoder: {comparison['encoder']}"], rows, kind="named")


def _about(comparison: JsonObject) -> str:
    windows, clips = (counted(int(number(comparison[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    subjects = comparison["subjects"]
    assert isinstance(subjects, list)
    about = (
        "Everything else is the same for all variants: the training windows, their order and augmentation, and the "
        f"initial weights of the heads. All were tested on the same {windows} of {clips} from "
        f"{counted(len(subjects), 'subject')}: {', '.join(map(str, subjects))}. "
    )
    if comparison["interval_reason"] is not None:
        return f"{about}{NO_INTERVALS}: {comparison['interval_reason']}."
    return (
        f"{about}In brackets: paired 95% intervals of the differences, {resampled_text(comparison)}, and not with "
        "another random seed of the training. The significance of answers is corrected for the number of comparisons; "
        "without that, about one difference in twenty is significant by chance if nothing differs."
    )


def sections(comparison: JsonObject) -> Iterator[Section]:
    """Yield all sections; a section with nothing to show says why."""
    yield Section("labels", "By share of the labels", curve(comparison))
    yield Section("differences", f"Differences to {comparison['baseline']}", forest(comparison))
    yield Section("results", "Results", result_tables(comparison))


def result_tables(comparison: JsonObject) -> Html:
    """Return scores at the first horizon with their intervals, and the differences to the baseline."""
    parts = []
    for among, title in SETS.items():
        rows = list(_rows(comparison, among))
        parts.append(table([title.capitalize(), "windows", *CLASSIFICATION.values()], rows, kind="summary"))
    marks = (
        f"{SIGNIFICANT['better']} better and {SIGNIFICANT['worse']} worse than {comparison['baseline']}: the 95% "
        f"interval of the difference excludes zero. {SIGNIFICANT['same']} the same for every window. No mark: not "
        "significant (the 95% interval includes zero)."
    )
    told = f"Activity {horizon_of(comparison)}; other horizons are in comparison.json. {marks}"
    return joined([*parts, paragraph(told, "quiet")])


def _rows(comparison: JsonObject, among: str) -> Iterator[Html]:
    columns = 2 + len(CLASSIFICATION)
    for label in children(comparison, "labels"):
        trained = counted(int(number(label["training_windows"]) or 0), "training window")
        yield group(f"{share_text(label).capitalize()}, {trained}", columns)
        for kind in child(comparison, "variants"):
            found = figures_at(comparison, label, "variants", kind, among)
            if found is None:
                yield row([text(kind), *[text(NONE)] * (columns - 1)])
            else:
                shown = (cell(score, measured(found, score)) for score in CLASSIFICATION)
                yield row([text(kind), text(found["windows"]), *shown])
        for kind in others(comparison):
            gained = figures_at(comparison, label, "differences", kind, among)
            if gained is not None:
                shown = (joined(difference(score, gained), " ") for score in CLASSIFICATION)
                yield row([text(f"{kind} {MINUS} {comparison['baseline']}"), text(""), *shown])


_ROLES = {"scratch": "ink", "frozen": "c1", "full": "c2"}
_MARKS = ("●", "◆")
"""`MARKERS` as text."""
_CURVES = (DECIDING, "balanced_accuracy")


def curve(comparison: JsonObject) -> Html:
    """Return scores over the share of the labels, on a logarithmic axis; a single share has no curve."""
    labels = children(comparison, "labels")
    if len(labels) < 2:
        return paragraph(
            "No curve: there is only one share of the labels. Pass several, for example --labels 0.01,0.1,0.5,1."
        )
    drawn = panels(WIDTH, 3.4, columns=len(_CURVES), share_y=True)
    for axes, score in zip(drawn, _CURVES, strict=True):
        _draw(axes, comparison, score)
        heading(axes, CLASSIFICATION[score])
        axes.set_xscale("log")
        axes.set_xticks([number(label["fraction"]) or 0.0 for label in labels], [percent(label) for label in labels])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("share of the labels")
        axes.set_ylim(0, 1.02)
        percent_axis(axes, "y")
    bands = " Bands are 95% intervals." if comparison["interval_reason"] is None else ""
    caption = f"Activity {horizon_of(comparison)}, all test windows.{bands}"
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
    """Return differences to the baseline with their intervals: all windows, steady states, and transitions."""
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
        f"Difference in {CLASSIFICATION[DECIDING]} to {comparison['baseline']}. Whiskers are paired 95% intervals. A "
        "hollow dot is not significant: its interval includes zero, or it has none."
    )
    return joined([_legend(kinds), figure(svg(drawn[0], f"Differences to {comparison['baseline']}"), caption)])


def _legend(kinds: list[str]) -> Html:
    keys = [
        tag("li", joined([tag("span", text(f"{mark} "), style=f"color: var(--{_ROLES[kind]})"), text(kind)]))
        for mark, kind in zip(_MARKS, kinds, strict=False)
    ]
    return tag("ul", joined(keys), class_="keys")
