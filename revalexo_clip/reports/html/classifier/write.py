"""The report of a recogniser's test, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.files import atomically
from revalexo_clip.reports.html import curves
from revalexo_clip.reports.html.classifier import by_class as classes
from revalexo_clip.reports.html.classifier import by_horizon_and_subject as horizons
from revalexo_clip.reports.html.classifier import page as summary
from revalexo_clip.reports.html.classifier import people, timelines
from revalexo_clip.reports.html.classifier.findings import RecognitionFindings
from revalexo_clip.reports.html.page import Section, page
from revalexo_clip.reports.values import number


def write_recognition_report(path: Path, findings: RecognitionFindings) -> None:
    """Write the report. Raises `WriteError` where the disk refuses."""
    written = page(f"Recognition by {findings.name}", summary.head(findings), list(sections(findings)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def sections(findings: RecognitionFindings) -> Iterator[Section]:
    """All sections; one that has nothing to show says why."""
    metrics = findings.metrics
    yield Section("figures", "Figures", summary.score_table(metrics))
    yield Section("ahead", "Ahead of time", horizons.section_body(metrics))
    yield Section("activities", "At what: by activity", classes.activity_body(metrics))
    yield Section("confusion", "What is taken for what", classes.confusion_body(metrics))
    yield Section("people", "For whom: by person", people.section_body(metrics))
    yield Section("clips", "Clips from beginning to end", timelines.section_body(findings.predictions))
    epoch = int(number(metrics["epoch"]) or 0)
    yield Section("training", "Training", curves.of_recogniser(findings.log, epoch))
