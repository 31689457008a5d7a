"""`report.html` of an activity classifier's test: its head, its table of scores, and the order of its sections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.classifier import verdicts
from revalexo_clip.reports.conclusions.verdict import plain_name
from revalexo_clip.reports.findings import ClassifierFindings
from revalexo_clip.reports.html import curves
from revalexo_clip.reports.html.cells import as_list, cell, warning_box
from revalexo_clip.reports.html.classifier import by_class as classes
from revalexo_clip.reports.html.classifier import timelines
from revalexo_clip.reports.html.classifier.by_horizon_and_subject import by_horizon, by_subject
from revalexo_clip.reports.html.page import Html, Section, group, joined, page, paragraph, row, table, tag, text
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.values import (
    CLASSIFICATION,
    EXACT,
    NO_MACRO_F1,
    SETS,
    Measured,
    child,
    children,
    horizon_text,
    interval_note,
    measured,
    number,
    resampled_text,
)

_USES = {"pretrain": "Pretrained on", "train": "Trained on", "val": "Selected on", "test": "Tested on"}


def head(findings: ClassifierFindings) -> Html:
    """Return the title, what was tested, a warning if there is one, conclusions, and what could not be measured."""
    metrics = findings.metrics
    subjects = child(metrics, "subjects")
    windows, clips = (counted(int(number(metrics[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    about = (
        f"{windows} of {clips} from {counted(len(subjects), 'subject')}. "
        f"Checkpoint {metrics['checkpoint']}, epoch {metrics['epoch']}, SHA-256 {str(metrics['sha256'])[:12]}."
    )
    if metrics["interval_reason"] is None:
        about += " In brackets: 95% intervals."
    parts = [tag("h1", text(f"Activity classification by {findings.name}")), paragraph(about, "quiet")]
    if warning := leakage_warning(metrics["seen"]):
        parts.append(warning_box(warning))
    return joined([*parts, as_list(verdicts(metrics)), subject_table(findings), _missing(metrics)], "\n")


def subject_table(findings: ClassifierFindings) -> Html:
    """Return the subjects by use: training, model selection, test."""
    rows = [
        row([text(use), text(len(names)), text(", ".join(names))])
        for key, use in _USES.items()
        if (names := findings.subjects.get(key))
    ]
    return table(["Use", "subjects", "names"], rows, kind="named")


def _missing(metrics: JsonObject) -> Html:
    sentences = metrics["missing"]
    assert isinstance(sentences, list)
    return joined(paragraph(str(sentence), "quiet") for sentence in sentences)


def score_table(metrics: JsonObject) -> Html:
    """Return every score at every horizon: all windows, steady state, transitions."""
    horizons = children(metrics, "horizons")
    rows = []
    for among, title in SETS.items():
        found = [(one["horizon"], child(one, among)) for one in horizons if number(child(one, among)["windows"])]
        if not found:
            continue
        rows.append(group(title, 2 + len(CLASSIFICATION)))
        for horizon, figures in found:
            shown = (cell(score, measured(figures, score)) for score in CLASSIFICATION)
            rows.append(row([text(horizon_text(horizon)), text(figures["windows"]), *shown]))
        chance = child(found[0][1], "chance")
        blind = (cell(score, Measured(number(chance[score]))) for score in CLASSIFICATION)
        always = tag("span", text(f"always {plain_name(str(chance['activity']))}"), class_="open")
        rows.append(row([always, text(""), *blind]))
    return joined(
        [table(["Prediction horizon", "windows", *CLASSIFICATION.values()], rows, kind="summary"), _legend(metrics)]
    )


def _legend(metrics: JsonObject) -> Html:
    if metrics["interval_reason"] is not None:
        return paragraph(interval_note(metrics), "quiet")
    within = (
        f"Below each value: its 95% interval, {resampled_text(metrics)} (see By subject). {EXACT} Balanced "
        "accuracy and macro F1 weight all activities equally; weighted F1 weights them by their number of windows. "
        f"{NO_MACRO_F1}"
    )
    return paragraph(within, "quiet")


def write_classifier_report(path: Path, findings: ClassifierFindings) -> None:
    """Write the report. Raises `WriteError` if it cannot be written."""
    written = page(f"Activity classification by {findings.name}", head(findings), list(sections(findings)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def sections(findings: ClassifierFindings) -> Iterator[Section]:
    """Yield all sections; a section with nothing to show says why."""
    metrics = findings.metrics
    yield Section("results", "Results", score_table(metrics))
    yield Section("horizons", "By prediction horizon", by_horizon(metrics))
    yield Section("activities", "By activity", classes.activity_body(metrics))
    yield Section("confusion", "Confusion matrix", classes.confusion_body(metrics))
    yield Section("subjects", "By subject", by_subject(metrics))
    yield Section("clips", "Timelines of clips", timelines.section_body(findings.predictions))
    epoch = int(number(metrics["epoch"]) or 0)
    yield Section("training", "Training", curves.of_classifier(findings.log, epoch))
