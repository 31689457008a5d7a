"""The report of a recogniser's test, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.files import atomically
from revalexo_clip.html_report import curves
from revalexo_clip.html_report.figures import number
from revalexo_clip.html_report.page import Section, page
from revalexo_clip.html_report.recogniser import classes, horizons, people, summary, timelines
from revalexo_clip.html_report.recogniser.findings import RecognitionFindings


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
