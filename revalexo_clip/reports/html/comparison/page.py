"""The report on several checkpoints: which is better, at what, and whether that is settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.comparison import Answer, Question, is_probed, questions
from revalexo_clip.reports.conclusions.evaluation import Verdict
from revalexo_clip.reports.html.cells import as_list
from revalexo_clip.reports.html.comparison import differences
from revalexo_clip.reports.html.comparison import tables as comparison_tables
from revalexo_clip.reports.html.page import Html, Section, joined, page, paragraph, tag, text
from revalexo_clip.reports.leakage import seen_text
from revalexo_clip.reports.values import TITLES, child, children, measured, number, within, written, written_difference

_SAID: dict[Answer, str] = {
    "better": "{other} is better than {first}",
    "in part better": "{other} is in part better than {first}",
    "worse": "{first} is better than {other}",
    "in part worse": "{first} is in part better than {other}",
    "mixed": "{other} and {first} are each better one way",
    "the same": "{other} and {first} are the same",
    "not settled": "{other} or {first}: not settled",
}
Pairs = Sequence[tuple[JsonObject, JsonObject]]
"""Checkpoints, and by how much they differ from the first."""


def write_comparison(path: Path, metrics: JsonObject) -> None:
    """Write the report on what `comparison.json` holds. Raises `WriteError` where the disk refuses."""
    names = [str(one["name"]) for one in children(metrics, "checkpoints")]
    written_page = page(f"Comparison of {', '.join(names)}", head(metrics), list(sections(metrics)))
    with atomically(path) as temporary:
        temporary.write_text(written_page, encoding="utf-8")


def head(metrics: JsonObject) -> Html:
    """The title, what was compared, first of all whether figures flatter; and the answers."""
    checkpoints = children(metrics, "checkpoints")
    parts = [tag("h1", text(f"Comparison of {counted(len(checkpoints), 'checkpoint')}"))]
    parts.append(comparison_tables.checkpoints(checkpoints))
    for one in checkpoints:
        if told := seen_text(child(one, "seen")):
            strong = tag("strong", text(f"⚠ Figures of {one['letter']} flatter it: "))
            parts.append(tag("p", joined([strong, text(f"it was {told}.")]), class_="warning"))
    parts.append(paragraph(_about(metrics), "quiet"))
    return joined([*parts, as_list(verdicts(metrics))], "\n")


def _about(metrics: JsonObject) -> str:
    windows, clips = (counted(int(number(metrics[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    subjects = list(child(children(metrics, "checkpoints")[0], "subjects"))
    people = "1 person" if len(subjects) == 1 else f"{len(subjects)} people"
    about = f"All were measured on the same {windows} of {clips} from {people}, {', '.join(subjects)}. "
    if metrics["interval_reason"] is not None:
        return f"{about}Nothing is settled, for want of intervals: {metrics['interval_reason']}."
    return (
        f"{about}In brackets: 95% intervals of the differences, for both of the same resampled clips. They say how a "
        "difference would vary with other clips of the same people, not with other people, and not with the same "
        "experiment trained again."
    )


def verdicts(metrics: JsonObject) -> Iterator[Verdict]:
    """The answer to each question for each checkpoint beside the first, and the figures that it rests on."""
    first, *others = children(metrics, "checkpoints")
    pairs = [*zip(others, children(metrics, "differences"), strict=True)]
    for question in questions(metrics):
        answers = [question.answer(difference) for _, difference in pairs]
        short = "; ".join(
            _SAID[answer].format(first=first["letter"], other=other["letter"])
            for answer, (other, _) in zip(answers, pairs, strict=True)
        )
        yield Verdict(
            question.asked, "open" if "not settled" in answers else "yes", short, _reasons(question, first, pairs)
        )
    if len(child(first, "subjects")) > 1:
        yield _for_whom(first, pairs)


def _reasons(question: Question, first: JsonObject, pairs: Pairs) -> str:
    """The figures of each, and by how much they differ: `MRR, IMU → video: A 0.214, B 0.239 (+0.025 [...]); ...`."""
    name = question.figure
    told = []
    for title, place in question.places.items():
        figures = [f"{first['letter']} {written(name, number(place(first)[name]))}"]
        for other, difference in pairs:
            gained = measured(place(difference), name)
            by = f"{written_difference(name, gained.value)} {within(name, gained.interval)}".strip()
            figures.append(f"{other['letter']} {written(name, number(place(other)[name]))} ({by})")
        told.append(f"{title.removeprefix('a ')}: {', '.join(figures)}")
    return f"{TITLES[name]}, {'; '.join(told)}."


def _for_whom(first: JsonObject, pairs: Pairs) -> Verdict:
    """How many people it holds for, which intervals say nothing of."""
    told = []
    for other, difference in pairs:
        subjects = child(difference, "subjects")
        gained = [number(child(subjects, name, "imu_to_video")["mrr"]) or 0.0 for name in subjects]
        ahead, behind = sum(one > 0 for one in gained), sum(one < 0 for one in gained)
        told.append(f"{other['letter']} is ahead for {ahead} and behind for {behind} of {len(gained)} people")
    reasons = (
        f"Counted against {first['letter']}, by the MRR from IMU to video among all windows, whether settled or not: "
        "the only figure here that says something of other people."
    )
    return Verdict("For everyone?", "told", "; ".join(told), reasons)


def sections(metrics: JsonObject) -> Iterator[Section]:
    """All sections; one that has nothing to show says why."""
    yield Section("settings", "What is not the same about them", comparison_tables.settings(metrics))
    yield Section("figures", "Figures", comparison_tables.figures(metrics))
    yield Section("retrieval", "Differences in retrieval", differences.retrieval(metrics))
    if is_probed(metrics):
        yield Section("probe", "Differences in what the features know", differences.probe(metrics))
    else:
        reasons = {str(one["probe_reason"]) for one in children(metrics, "checkpoints") if one["probe"] is None}
        yield Section("probe", "Differences in what the features know", paragraph(f"No probe: {', '.join(reasons)}."))
    first = children(metrics, "checkpoints")[0]
    if child(first, "activities"):
        yield Section("activities", "At what: by activity", differences.parts(metrics, "activities"))
    if len(child(first, "subjects")) > 1:
        yield Section("people", "For whom: by person", differences.parts(metrics, "subjects"))
