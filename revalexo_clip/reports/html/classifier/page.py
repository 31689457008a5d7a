"""The head of the page: what was tested, on whom, whether that may be trusted; and the table of scores.

The report of an activity classifier's test, section by section.

What an activity classifier's report is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.classifier import verdicts
from revalexo_clip.reports.conclusions.evaluation import plain_name
from revalexo_clip.reports.findings import ClassifierFindings
from revalexo_clip.reports.html import curves
from revalexo_clip.reports.html.cells import as_list, cell
from revalexo_clip.reports.html.classifier import by_class as classes
from revalexo_clip.reports.html.classifier import timelines
from revalexo_clip.reports.html.classifier.by_horizon_and_subject import by_horizon, by_subject
from revalexo_clip.reports.html.page import Html, Section, group, joined, page, paragraph, row, table, tag, text
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.values import (
    RECOGNITION,
    SETS,
    Measured,
    child,
    children,
    horizon_text,
    measured,
    number,
)

_USES = {"pretrain": "Pretrained on", "train": "Trained on", "val": "Selected on", "test": "Tested on"}


def head(findings: ClassifierFindings) -> Html:
    """The title, what was tested, whether figures flatter, answers, and what could not be measured."""
    metrics = findings.metrics
    people = list(child(metrics, "subjects"))
    windows, clips = (counted(int(number(metrics[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    about = (
        f"{windows} of {clips} from {'1 person' if len(people) == 1 else f'{len(people)} people'}. "
        f"Checkpoint {metrics['checkpoint']}, epoch {metrics['epoch']}, SHA-256 {str(metrics['sha256'])[:12]}."
    )
    if metrics["interval_reason"] is None:
        about += " In brackets: 95% intervals."
    parts = [tag("h1", text(f"Activity classification by {findings.name}")), paragraph(about, "quiet")]
    if told := leakage_warning(metrics["seen"]):
        how, _, why = told.partition(":")
        warning = joined([tag("strong", text(f"⚠ These figures {how}:")), text(f"{why}.")])
        parts.append(tag("p", warning, class_="warning"))
    return joined([*parts, as_list(verdicts(metrics)), people_table(findings), _missing(metrics)], "\n")


def people_table(findings: ClassifierFindings) -> Html:
    """Who was trained, selected and tested on."""
    rows = [
        row([text(use), text(len(names)), text(", ".join(names))])
        for key, use in _USES.items()
        if (names := findings.subjects.get(key))
    ]
    return table(["People", "", ""], rows, kind="named")


def _missing(metrics: JsonObject) -> Html:
    sentences = metrics["missing"]
    assert isinstance(sentences, list)
    return joined(paragraph(str(sentence), "quiet") for sentence in sentences)


def score_table(metrics: JsonObject) -> Html:
    """Every score at every horizon, of all windows, of steady ones and of those in a transition."""
    horizons = children(metrics, "horizons")
    rows = []
    for among, title in SETS.items():
        found = [(one["horizon"], child(one, among)) for one in horizons if number(child(one, among)["windows"])]
        if not found:
            continue
        rows.append(group(title, 2 + len(RECOGNITION)))
        for horizon, figures in found:
            shown = (cell(score, measured(figures, score)) for score in RECOGNITION)
            rows.append(row([text(horizon_text(number(horizon) or 0.0)), text(figures["windows"]), *shown]))
        chance = child(found[0][1], "chance")
        blind = (cell(score, Measured(number(chance[score]))) for score in RECOGNITION)
        always = tag("span", text(f"always {plain_name(str(chance['activity']))}"), class_="open")
        rows.append(row([always, text(""), *blind]))
    return joined(
        [table(["After the window", "windows", *RECOGNITION.values()], rows, kind="summary"), _legend(metrics)]
    )


def _legend(metrics: JsonObject) -> Html:
    if metrics["interval_reason"] is not None:
        return paragraph(f"There are no intervals: {metrics['interval_reason']}.", "quiet")
    within = (
        "Below each figure its 95% interval, from resampled clips: how it would vary with other clips of the same "
        "people. Balanced accuracy and macro F1: activities count alike; weighted F1: as often as they occur."
    )
    return paragraph(within, "quiet")


def write_classifier_report(path: Path, findings: ClassifierFindings) -> None:
    """Write the report. Raises `WriteError` where the disk refuses."""
    written = page(f"Activity classification by {findings.name}", head(findings), list(sections(findings)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def sections(findings: ClassifierFindings) -> Iterator[Section]:
    """All sections; one that has nothing to show says why."""
    metrics = findings.metrics
    yield Section("figures", "Figures", score_table(metrics))
    yield Section("ahead", "Ahead of time", by_horizon(metrics))
    yield Section("activities", "At what: by activity", classes.activity_body(metrics))
    yield Section("confusion", "What is taken for what", classes.confusion_body(metrics))
    yield Section("people", "For whom: by person", by_subject(metrics))
    yield Section("clips", "Clips from beginning to end", timelines.section_body(findings.predictions))
    epoch = int(number(metrics["epoch"]) or 0)
    yield Section("training", "Training", curves.of_classifier(findings.log, epoch))
