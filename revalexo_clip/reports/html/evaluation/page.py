"""`report.html` of an evaluation: its head, its table of results, and the order of its sections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.core.text import counted
from revalexo_clip.data import WindowDataset
from revalexo_clip.metrics.galleries import WHOLE
from revalexo_clip.metrics.moving import LEAST_DEVIATION
from revalexo_clip.reports import headline
from revalexo_clip.reports.conclusions.evaluation import verdicts
from revalexo_clip.reports.findings import Findings
from revalexo_clip.reports.html import confusion, curves
from revalexo_clip.reports.html.cells import as_list, cell, mean_cell, warning_box
from revalexo_clip.reports.html.evaluation import embedding_space as embedding_map
from revalexo_clip.reports.html.evaluation import examples, probe, retrieval, robustness, zero_shot
from revalexo_clip.reports.html.evaluation.embedding_space import geometry_table
from revalexo_clip.reports.html.page import Html, Section, group, joined, page, paragraph, row, table, tag, text
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.values import (
    DIRECTIONS,
    EXACT,
    FEATURES,
    GALLERIES,
    IMU_ALONE,
    NO_MACRO_F1,
    NONE,
    RETRIEVAL,
    SCORES,
    SUBJECT_INTERVALS,
    TOO_FEW_SUBJECTS,
    Measured,
    child,
    children,
    first_horizon,
    interval_note,
    is_imu_alone,
    measured,
    number,
    probed_features,
    resampled_text,
    shown_galleries,
    when,
    within,
    written_difference,
)


def write_report(path: Path, findings: Findings) -> None:
    """Write the report. Raises `DataError` if windows cannot be read, `WriteError` if it cannot be written."""
    opening = head(findings.name, findings.metrics)
    written = page(f"Evaluation of {findings.name}", opening, list(sections(findings)))
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def sections(findings: Findings) -> Iterator[Section]:
    """Yield all sections; a section with nothing to show says why."""
    metrics = findings.metrics
    yield Section("results", "Results", tables(metrics))
    if isinstance(metrics.get("zero_shot"), dict):
        yield Section("zero-shot", "Zero-shot", zero_shot.section_body(child(metrics, "zero_shot")))
    if is_imu_alone(metrics):
        yield from _sections_of_imu(findings)
        return
    yield Section("retrieval", "Retrieval", retrieval.section_body(metrics, findings.galleries))
    if child(metrics, "motion"):
        yield Section("motion", "Still and moving", _by_motion(metrics))
    yield Section("activities", "By activity", _by_activity(metrics))
    yield Section("subjects", "By subject", _by_subject(metrics))
    yield from _probe_sections(metrics)
    if isinstance(metrics.get("robustness"), dict):
        yield Section("robustness", "Robustness", robustness.section_body(child(metrics, "robustness")))
    yield _map(findings)
    yield Section("training", "Training", curves.section_body(findings.log, int(number(metrics["epoch"]) or 0)))
    assert isinstance(findings.dataset, WindowDataset)
    shown = examples.section_body(
        findings.windows, findings.galleries[WHOLE], findings.dataset, number(metrics["tolerance"]) or 0.0
    )
    yield Section("examples", "Examples", shown)


def _sections_of_imu(findings: Findings) -> Iterator[Section]:
    """Yield the sections of a checkpoint of IMU alone, which has no retrieval."""
    metrics = findings.metrics
    yield Section("subjects", "By subject", joined([paragraph(IMU_ALONE), *_probe_means(metrics)]))
    yield from _probe_sections(metrics)
    yield _map(findings)
    yield Section("training", "Training", curves.of_imu_alone(findings.log, int(number(metrics["epoch"]) or 0)))


def _map(findings: Findings) -> Section:
    space = [embedding_map.section_body(findings.windows), geometry_table(child(findings.metrics, "geometry"))]
    return Section("map", "Embedding map", joined(space))


def _by_motion(metrics: JsonObject) -> Html:
    about = (
        "Windows in which the body is still look the same, and cannot be told apart. A window moves if the standard "
        f"deviation of its accelerometers reaches {LEAST_DEVIATION['m/s^2']:g} m/s² or that of its gyroscopes "
        f"{LEAST_DEVIATION['rad/s']:g} rad/s. Both kinds are searched among all windows of a gallery."
    )
    return joined([paragraph(about), retrieval.part_plot(metrics, "motion")])


def _by_activity(metrics: JsonObject) -> Html:
    if not child(metrics, "activities"):
        return paragraph("No window has an activity at the first horizon.")
    return retrieval.part_plot(metrics, "activities")


def _by_subject(metrics: JsonObject) -> Html:
    subjects = list(child(metrics, "subjects"))
    if len(subjects) == 1:
        only = f"Only one subject was evaluated, {subjects[0]}, so the variation between subjects is not known."
        return paragraph(only)
    return joined([retrieval.part_plot(metrics, "subjects"), *_mean_tables(metrics)])


def _mean_tables(metrics: JsonObject) -> Iterator[Html]:
    """Yield means over subjects with their intervals for other subjects; if there are too few subjects, a sentence."""
    if not isinstance(child(metrics, WHOLE, "imu_to_video")["between_subjects"], dict):
        yield paragraph(TOO_FEW_SUBJECTS, "quiet")
        return
    rows = []
    for gallery in shown_galleries(metrics):
        rows.append(group(GALLERIES[gallery], 1 + len(RETRIEVAL)))
        for direction, arrow in DIRECTIONS.items():
            found = child(metrics, gallery, direction)
            rows.append(row([text(arrow), *(mean_cell(name, found) for name in RETRIEVAL)]))
    yield table(["Mean of subjects, gallery", *RETRIEVAL.values()], rows, kind="summary")
    yield from _probe_means(metrics)
    yield paragraph(SUBJECT_INTERVALS, "quiet")


def _probe_means(metrics: JsonObject) -> Iterator[Html]:
    if isinstance(metrics["probe"], dict):
        features = probed_features(child(metrics, "probe"))
        now = {name: child(children(metrics, "probe", "linear", name)[0], "all") for name in features}
        probed = [
            row([text(title), *(mean_cell(score, now[name]) for score in SCORES)]) for name, title in features.items()
        ]
        yield table(["Mean of subjects, linear probe", *SCORES.values()], probed, kind="summary")


def _probe_sections(metrics: JsonObject) -> Iterator[Section]:
    if not isinstance(metrics["probe"], dict):
        yield Section("probe", "Linear probe", paragraph(f"No probe: {metrics['probe_reason']}."))
        return
    found = child(metrics, "probe")
    yield Section("probe", "Linear probe", probe.section_body(found))
    yield Section("confusion", "Confusion matrix", confusion.section_body(found))


def head(name: str, metrics: JsonObject) -> Html:
    """Return the title, what was evaluated, a warning if there is one, and conclusions."""
    subjects = list(child(metrics, "subjects"))
    windows, clips = (counted(int(number(metrics[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    about = (
        f"{windows} of {clips} from {counted(len(subjects), 'subject')}: {', '.join(subjects)}. "
        f"Checkpoint {metrics['checkpoint']}, epoch {metrics['epoch']}, SHA-256 {str(metrics['sha256'])[:12]}."
    )
    if metrics["interval_reason"] is None:
        about += " In brackets: 95% intervals."
    parts = [tag("h1", text(f"Evaluation of {name}")), paragraph(about, "quiet")]
    if warning := leakage_warning(metrics["seen"]):
        parts.append(warning_box(warning))
    return joined([*parts, as_list(verdicts(metrics))], "\n")


def tables(metrics: JsonObject) -> Html:
    """Return the main results with their intervals."""
    parts = [paragraph(IMU_ALONE)] if is_imu_alone(metrics) else [_retrieval_table(metrics)]
    if isinstance(metrics["probe"], dict):
        found = child(metrics, "probe")
        parts = [_headline_table(found), *parts, _probe_table(found)]
    if metrics["interval_reason"] is None:
        within = f"Below each value: its 95% interval, {resampled_text(metrics)} (see By subject). {EXACT}"
        if not is_imu_alone(metrics):
            within += " R@k: share of queries whose partner is among the k nearest. MRR: mean of 1 / rank."
        if isinstance(metrics["probe"], dict):
            within += f" {NO_MACRO_F1}"
    else:
        within = interval_note(metrics)
    return joined([*parts, paragraph(within, "quiet")])


def _retrieval_table(metrics: JsonObject) -> Html:
    rows = []
    for gallery in shown_galleries(metrics):
        found = child(metrics, gallery)
        size = number(found["gallery_size"]) or 0.0
        rows.append(group(f"{GALLERIES[gallery]} ({size:.0f})", 1 + len(RETRIEVAL)))
        for direction, arrow in DIRECTIONS.items():
            figures = (cell(name, measured(child(found, direction), name)) for name in RETRIEVAL)
            rows.append(row([text(arrow), *figures]))
        blind = (cell(name, Measured(number(child(found, "chance")[name]))) for name in RETRIEVAL)
        rows.append(row([tag("span", text("chance"), class_="open"), *blind]))
    return table(["Retrieval, gallery", *RETRIEVAL.values()], rows, kind="summary")


def _headline_table(found: JsonObject) -> Html:
    """Return macro F1 with the fewest labels, with those of one subject and in transitions, and the gains."""
    rows = [
        row([text(FEATURES[name]), *(cell("macro_f1", one) for one in headline.figures(found, name))])
        for name in headline.shown_features(found)
    ]
    for over, baseline in headline.OVER.items():
        cells = (_gain_cell(one) for one in headline.gains(found, over))
        rows.append(row([text(f"gain over {baseline}"), *cells]))
    return table(["Macro F1, linear probe", *headline.columns(found)], rows, kind="summary")


def _gain_cell(gained: Measured) -> Html:
    if gained.value is None:
        return text(NONE)
    ends = tag("span", text(within("macro_f1", gained.interval)), class_="interval")
    return joined([text(written_difference("macro_f1", gained.value)), ends])


def _probe_table(probe: JsonObject) -> Html:
    features = probed_features(probe)
    now = {name: child(children(probe, "linear", name)[0], "all") for name in features}
    rows = [
        row([text(title), *(cell(score, measured(now[name], score)) for score in SCORES)])
        for name, title in features.items()
    ]
    return table([f"Linear probe: activity {when(first_horizon(probe))}", *SCORES.values()], rows, kind="summary")
