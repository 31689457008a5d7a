"""The report on arms: what they are, whether pretraining helped, and all figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.evaluation.held_out import flattery
from revalexo_clip.reports.conclusions.evaluation import as_list
from revalexo_clip.reports.conclusions.variants import figures_at, horizon_of, others, share_text, verdicts
from revalexo_clip.reports.html import arms_plots as plots
from revalexo_clip.reports.html.comparison.tables import SETTLED, difference
from revalexo_clip.reports.html.evaluation.summary import cell
from revalexo_clip.reports.html.page import Html, Section, group, joined, page, paragraph, row, table, tag, text
from revalexo_clip.reports.terminal.tables import counted
from revalexo_clip.reports.values import NONE, RECOGNITION, SETS, child, children, measured, number


def write_arm_report(path: Path, comparison: JsonObject) -> None:
    """Write the report on what `comparison.json` holds. Raises `WriteError` where the disk refuses."""
    written = page(f"Did pretraining help {comparison['experiment']}?", head(comparison), list(sections(comparison)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def head(comparison: JsonObject) -> Html:
    """The question, what was compared, whether figures flatter, and the answers; last, what has no result."""
    parts = [tag("h1", text(f"Did pretraining help {comparison['experiment']}?")), _arms(comparison)]
    if told := flattered(comparison):
        strong, _, why = told.partition(":")
        parts.append(tag("p", joined([tag("strong", text(f"⚠ {strong}:")), text(why)]), class_="warning"))
    parts += [paragraph(_about(comparison), "quiet"), as_list(verdicts(comparison))]
    unfinished = child(comparison, "unfinished")
    parts += [paragraph(f"{name} has no result{f': {why}' if why else '.'}") for name, why in unfinished.items()]
    return joined(parts, "\n")


def _arms(comparison: JsonObject) -> Html:
    rows = [row([tag("strong", text(kind)), text(what)]) for kind, what in child(comparison, "arms").items()]
    return table(["arm", f"pretrained: {comparison['encoder']}"], rows, kind="named")


def flattered(comparison: JsonObject) -> str:
    """In which way figures of arms flatter them; empty where all test subjects are new to all of them."""
    told: dict[str, list[str]] = {}
    for label in children(comparison, "labels"):
        for kind, arm in child(label, "arms").items():
            assert isinstance(arm, dict)
            if (how := flattery(arm["seen"])) and kind not in told.setdefault(how, []):
                told[how].append(kind)
    return " ".join(f"The figures of {' and '.join(kinds)} {how}." for how, kinds in told.items())


def _about(comparison: JsonObject) -> str:
    windows, clips = (counted(int(number(comparison[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    subjects = comparison["subjects"]
    assert isinstance(subjects, list)
    people = "1 person" if len(subjects) == 1 else f"{len(subjects)} people"
    about = (
        "Everything else is the same for all arms: the training windows, their order and augmentation, the weights "
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
    yield Section("labels", "With how many labels", plots.curve(comparison))
    yield Section("differences", f"Differences to {comparison['less']}", plots.forest(comparison))
    yield Section("figures", "Figures", figure_tables(comparison))


def figure_tables(comparison: JsonObject) -> Html:
    """Scores at the first horizon with their intervals, and the differences to the first arm."""
    parts = []
    for among, title in SETS.items():
        rows = list(_rows(comparison, among))
        parts.append(table([title.capitalize(), "windows", *RECOGNITION.values()], rows, kind="summary"))
    told = (
        f"The activity {horizon_of(comparison)} after the window; other horizons are in comparison.json. "
        f"{SETTLED['better']} better and {SETTLED['worse']} worse than {comparison['less']}: the 95% interval of the "
        "difference leaves out zero. = the same for every window. No mark: not settled."
    )
    return joined([*parts, paragraph(told, "quiet")])


def _rows(comparison: JsonObject, among: str) -> Iterator[Html]:
    columns = 2 + len(RECOGNITION)
    for label in children(comparison, "labels"):
        trained = counted(int(number(label["training_windows"]) or 0), "training window")
        yield group(f"{share_text(label).capitalize()}, {trained}", columns)
        for kind in child(comparison, "arms"):
            found = figures_at(comparison, label, "arms", kind, among)
            if found is None:
                yield row([text(kind), *[text(NONE)] * (columns - 1)])
            else:
                shown = (cell(score, measured(found, score)) for score in RECOGNITION)
                yield row([text(kind), text(found["windows"]), *shown])
        for kind in others(comparison):
            gained = figures_at(comparison, label, "differences", kind, among)
            if gained is not None:
                shown = (joined(difference(score, gained), " ") for score in RECOGNITION)
                yield row([text(f"{kind} less {comparison['less']}"), text(""), *shown])
