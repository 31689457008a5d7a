"""`report.html` of a comparison of checkpoints: its head, its conclusions, and the order of its sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.core.text import counted
from revalexo_clip.metrics.galleries import WHOLE
from revalexo_clip.reports.conclusions.comparison import Answer, Question, is_probed, questions, training_notes
from revalexo_clip.reports.conclusions.verdict import Answer as Mark
from revalexo_clip.reports.conclusions.verdict import Verdict
from revalexo_clip.reports.html.cells import as_list, warning_box
from revalexo_clip.reports.html.comparison import differences
from revalexo_clip.reports.html.comparison import tables as comparison_tables
from revalexo_clip.reports.html.page import Html, Section, joined, page, paragraph, tag, text
from revalexo_clip.reports.leakage import leakage_warning, warning_about
from revalexo_clip.reports.values import (
    MINUS,
    NO_INTERVALS,
    NOT_SIGNIFICANT,
    SUBJECT_DIFFERENCES,
    TITLES,
    child,
    children,
    mean_of_subjects,
    measured,
    number,
    resampled_text,
    within,
    written,
    written_difference,
)

_SENTENCES: dict[Answer, str] = {
    "better": "{other} is better than {first}",
    "in part better": "{other} is in part better than {first}",
    "worse": "{first} is better than {other}",
    "in part worse": "{first} is in part better than {other}",
    "mixed": "{other} and {first} are each better in one direction",
    "the same": "{other} and {first} are the same",
    "not significant": "{other} {MINUS} {first} is not significant",
}
Pairs = Sequence[tuple[JsonObject, JsonObject]]
"""Checkpoints, and their differences to the first."""


def write_comparison(path: Path, metrics: JsonObject) -> None:
    """Write the report on the content of `comparison.json`. Raises `WriteError` if it cannot be written."""
    names = [str(one["name"]) for one in children(metrics, "checkpoints")]
    written_page = page(f"Comparison of {', '.join(names)}", head(metrics), list(sections(metrics)))
    with atomically(path) as temporary:
        temporary.write_text(written_page, encoding="utf-8")


def head(metrics: JsonObject) -> Html:
    """Return the title, what was compared, warnings if there are any, and the answers."""
    checkpoints = children(metrics, "checkpoints")
    parts = [tag("h1", text(f"Comparison of {counted(len(checkpoints), 'checkpoint')}"))]
    parts.append(comparison_tables.checkpoints(checkpoints))
    warnings = (warning_about(f"Checkpoint {one['letter']}", leakage_warning(one["seen"])) for one in checkpoints)
    parts += [warning_box(warning) for warning in warnings if warning]
    parts.append(paragraph(_about(metrics), "quiet"))
    parts += [warning_box(note) for note in training_notes(metrics)]
    return joined([*parts, as_list(verdicts(metrics))], "\n")


def _about(metrics: JsonObject) -> str:
    windows, clips = (counted(int(number(metrics[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    subjects = list(child(children(metrics, "checkpoints")[0], "subjects"))
    about = (
        f"All were evaluated on the same {windows} of {clips} from {counted(len(subjects), 'subject')}: "
        f"{', '.join(subjects)}. "
    )
    if metrics["interval_reason"] is not None:
        return f"{about}{NO_INTERVALS}: {metrics['interval_reason']}."
    return (
        f"{about}In brackets: paired 95% intervals of the differences, {resampled_text(metrics)}, and not with another "
        "training run of the same experiment. The significance of answers is corrected for the number of comparisons "
        "of each question."
    )


def verdicts(metrics: JsonObject) -> Iterator[Verdict]:
    """Yield the answer to each question for each checkpoint but the first, and the results behind it."""
    first, *others = children(metrics, "checkpoints")
    pairs = [*zip(others, children(metrics, "differences"), strict=True)]
    for question in questions(metrics):
        answers = question.answers([difference for _, difference in pairs])
        short = "; ".join(
            _SENTENCES[answer].format(MINUS=MINUS, first=first["letter"], other=other["letter"])
            for answer, (other, _) in zip(answers, pairs, strict=True)
        )
        mark: Mark = "open" if NOT_SIGNIFICANT in answers else "told"  # which one is better is neither good nor bad
        yield Verdict(question.asked, mark, short, _reasons(question, first, pairs))
    if len(child(first, "subjects")) > 1:
        yield _by_subject(first, pairs)


def _reasons(question: Question, first: JsonObject, pairs: Pairs) -> str:
    """Return results and differences: `MRR, IMU → video: A 0.214, B 0.239 (+0.025 [...])`."""
    name = question.figure
    told = []
    for title, place in question.places.items():
        figures = [f"{first['letter']} {written(name, number(place(first)[name]))}"]
        for other, difference in pairs:
            gained = measured(place(difference), name)
            by = f"{written_difference(name, gained.value)} {within(name, gained.interval)}".strip()
            figures.append(f"{other['letter']} {written(name, number(place(other)[name]))} ({by})")
        told.append(f"{title}: {', '.join(figures)}")
    return f"{TITLES[name]}, {'; '.join(told)}."


def _by_subject(first: JsonObject, pairs: Pairs) -> Verdict:
    """Return for how many subjects each checkpoint is better, about which intervals say nothing."""
    told = []
    for other, difference in pairs:
        subjects = child(difference, "subjects")
        gained = [number(child(subjects, name, "imu_to_video")["mrr"]) or 0.0 for name in subjects]
        ahead, behind = sum(one > 0 for one in gained), sum(one < 0 for one in gained)
        mean = mean_of_subjects(child(difference, WHOLE, "imu_to_video"), "mrr")
        by = "" if mean is None else f" (mean {written_difference('mrr', mean.value)} {within('mrr', mean.interval)})"
        told.append(f"{other['letter']} is better for {ahead} and worse for {behind} of {len(gained)} subjects{by}")
    reasons = (
        f"Compared with {first['letter']} by the MRR from IMU to video among all windows, significant or not. Only "
        f"this result says something about other subjects: {SUBJECT_DIFFERENCES}"
    )
    return Verdict("Is it better for every subject?", "told", "; ".join(told), reasons)


def sections(metrics: JsonObject) -> Iterator[Section]:
    """Yield all sections; a section with nothing to show says why."""
    yield Section("settings", "Different settings", comparison_tables.settings(metrics))
    yield Section("results", "Results", comparison_tables.results(metrics))
    yield Section("retrieval", "Differences in retrieval", differences.retrieval(metrics))
    if is_probed(metrics):
        yield Section("probe", "Differences in probes", differences.probe(metrics))
    else:
        reasons = {str(one["probe_reason"]) for one in children(metrics, "checkpoints") if one["probe"] is None}
        yield Section("probe", "Differences in probes", paragraph(f"No probe: {', '.join(reasons)}."))
    first = children(metrics, "checkpoints")[0]
    if child(first, "activities"):
        yield Section("activities", "Differences by activity", differences.parts(metrics, "activities"))
    if len(child(first, "subjects")) > 1:
        yield Section("subjects", "Differences by subject", differences.parts(metrics, "subjects"))
