"""The report, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.metrics.galleries import WHOLE
from revalexo_clip.reports.html import confusion, curves
from revalexo_clip.reports.html.evaluation import embedding_space as embedding_map
from revalexo_clip.reports.html.evaluation import examples, probe, retrieval, summary
from revalexo_clip.reports.html.evaluation.findings import Findings
from revalexo_clip.reports.html.evaluation.geometry import geometry_table
from revalexo_clip.reports.html.page import Html, Section, joined, page, paragraph
from revalexo_clip.reports.values import child, number


def write_report(path: Path, findings: Findings) -> None:
    """Write the report. Raises `DataError` where windows cannot be read, `WriteError` where the disk refuses."""
    head = summary.head(findings.name, findings.metrics)
    written = page(f"Evaluation of {findings.name}", head, list(sections(findings)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def sections(findings: Findings) -> Iterator[Section]:
    """All sections; one that has nothing to show says why."""
    metrics = findings.metrics
    yield Section("figures", "Figures", summary.tables(metrics))
    yield Section("retrieval", "Retrieval", retrieval.section_body(metrics, findings.galleries))
    yield Section("activities", "At what: by activity", _by_activity(metrics))
    yield Section("people", "For whom: by person", _by_person(metrics))
    yield from _of_the_probe(metrics)
    space = [embedding_map.section_body(findings.windows), geometry_table(child(metrics, "geometry"))]
    yield Section("map", "Map of the embeddings", joined(space))
    yield Section("training", "Training", curves.section_body(findings.log, int(number(metrics["epoch"]) or 0)))
    shown = examples.section_body(
        findings.windows, findings.galleries[WHOLE], findings.dataset, number(metrics["tolerance"]) or 0.0
    )
    yield Section("examples", "Examples", shown)


def _by_activity(metrics: JsonObject) -> Html:
    if not child(metrics, "activities"):
        return paragraph("No window has an activity at the first horizon.")
    return retrieval.part_plot(metrics, "activities")


def _by_person(metrics: JsonObject) -> Html:
    subjects = list(child(metrics, "subjects"))
    if len(subjects) == 1:
        only = f"One person was evaluated, {subjects[0]}: nothing is known of how figures vary from person to person."
        return paragraph(only)
    return retrieval.part_plot(metrics, "subjects")


def _of_the_probe(metrics: JsonObject) -> Iterator[Section]:
    if not isinstance(metrics["probe"], dict):
        yield Section("probe", "What the features know", paragraph(f"No probe: {metrics['probe_reason']}."))
        return
    found = child(metrics, "probe")
    yield Section("probe", "What the features know", probe.section_body(found))
    yield Section("confusion", "What is taken for what", confusion.section_body(found))
