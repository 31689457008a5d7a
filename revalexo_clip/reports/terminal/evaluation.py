"""The report of an evaluation in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue
from rich.console import RenderableType
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.metrics.galleries import WHOLE
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.terminal.headline import FEATURES, OVER, gap_line, headline_table
from revalexo_clip.reports.terminal.report_table import Column, ReportTable
from revalexo_clip.reports.terminal.robustness import robustness_tables
from revalexo_clip.reports.terminal.zero_shot import zero_shot_tables
from revalexo_clip.reports.values import (
    DIRECTIONS,
    GALLERIES,
    IMU_ALONE,
    MODALITIES,
    NONE,
    RETRIEVAL,
    SCORES,
    SUBJECT_INTERVALS,
    TOO_FEW_SUBJECTS,
    Measured,
    horizon_text,
    interval_note,
    is_imu_alone,
    list_of,
    mean_of_subjects,
    number,
    object_of,
    percent,
    shown_galleries,
    undecidable_probe,
    untrained_note,
    when,
    written_interval,
)

_FIGURES = RETRIEVAL | {"median_rank": "median"}


def evaluation_report(metrics: JsonObject) -> Iterator[RenderableType]:
    """Yield the tables of an evaluation; if test subjects were used in training, a warning comes first."""
    if warning := leakage_warning(metrics["seen"]):
        yield Text(warning, style="yellow")
    probe = metrics["probe"]
    if isinstance(probe, dict):
        yield headline_table(probe)
    if is_imu_alone(metrics):
        yield Text(f"{IMU_ALONE} {interval_note(metrics)}\n", style="dim")
    else:
        yield from _retrieval_tables(metrics)
    yield _geometry_table(object_of(metrics["geometry"]))
    if isinstance(probe, dict):
        yield from _probe_tables(probe)
        for warning in filter(None, (undecidable_probe(probe), untrained_note(probe))):
            yield Text(warning, style="yellow")
    else:
        yield Text(f"No probe: {metrics['probe_reason']}.", style="dim")
    if isinstance(metrics.get("zero_shot"), dict):
        yield from zero_shot_tables(object_of(metrics["zero_shot"]))
    if isinstance(metrics.get("robustness"), dict):
        yield from robustness_tables(object_of(metrics["robustness"]))


def _retrieval_tables(metrics: JsonObject) -> Iterator[RenderableType]:
    yield _retrieval_table(metrics)
    yield Text(f"{interval_note(metrics)}\n", style="dim")
    galleries = _galleries(metrics)
    if object_of(metrics["motion"]):
        yield _parts_table("Windows that move, and still ones", object_of(metrics["motion"]), galleries)
    if len(object_of(metrics["subjects"])) > 1:
        table = _parts_table("By subject", object_of(metrics["subjects"]), galleries)
        has_mean = _add_means(table, metrics, galleries)
        yield table
        yield Text(f"{SUBJECT_INTERVALS if has_mean else TOO_FEW_SUBJECTS}\n", style="dim")
    if len(object_of(metrics["activities"])) > 1:
        yield _parts_table("By activity", object_of(metrics["activities"]), galleries)


def _retrieval_table(metrics: JsonObject) -> ReportTable:
    subjects = counted(len(object_of(metrics["subjects"])), "subject")
    clips = counted(int(str(metrics["clips"])), "clip")
    intervals = "" if metrics["interval_reason"] else ", 95% intervals"
    title = f"Retrieval: {metrics['windows']} windows of {clips} ({metrics['split']}: {subjects}){intervals}"
    table = ReportTable(title, [Column(heading) for heading in _FIGURES.values()])
    for name in shown_galleries(metrics):
        found = object_of(metrics[name])
        table.add_heading(GALLERIES[name])
        for direction, arrow in DIRECTIONS.items():
            figures = object_of(found[direction])
            table.add_row(f"  {arrow}", *(_figure(name, figures[name]) for name in _FIGURES))
            _add_intervals(table, figures, _FIGURES)
        chance = object_of(found["chance"])
        size = f"{float(str(found['gallery_size'])):.0f}"
        table.add_row(f"  chance among {size}", *(_figure(name, chance[name]) for name in _FIGURES), style="dim")
    return table


def _galleries(metrics: JsonObject) -> dict[str, str]:
    """Return titles of the galleries that differ, also of one without windows."""
    shown = shown_galleries({**metrics, **{name: {} for name in GALLERIES}})
    return {name: GALLERIES[name] for name in shown}


def _parts_table(title: str, parts: JsonObject, galleries: Mapping[str, str]) -> ReportTable:
    """Return R@1 of each subject or activity in each gallery, both directions."""
    columns = [Column("windows"), *map(Column, galleries.values())]
    table = ReportTable(f"{title}: R@1 [%], IMU → video / video → IMU", columns)
    for part, value in parts.items():
        figures = object_of(value)
        within = (figures if name == WHOLE else figures[name.removeprefix(f"{WHOLE}_")] for name in galleries)
        table.add_row(part, str(figures["windows"]), *map(_both_ways, within))
    return table


def _add_means(table: ReportTable, metrics: JsonObject, galleries: Mapping[str, str]) -> bool:
    """Add means over subjects with their intervals for other subjects; return whether there are any."""
    found = [metrics[name] for name in galleries]
    known = False
    for direction, arrow in DIRECTIONS.items():
        means = [
            mean_of_subjects(object_of(one[direction]), "r_at_1") if isinstance(one, dict) else None for one in found
        ]
        if any(means):
            table.add_row(f"mean {arrow}", "", *(_decimals(mean.value if mean else None) for mean in means))
            intervals = (_ends(mean) for mean in means)
            table.add_row("", "", *intervals, style="dim")
            known = True
    return known


def _ends(mean: Measured | None) -> str:
    return "" if mean is None else written_interval("r_at_1", mean.interval).replace(NONE, "-")


def _both_ways(found: JsonValue) -> str:
    if not isinstance(found, dict):
        return "-"
    return "/".join(_decimals(number(object_of(found[direction])["r_at_1"])) for direction in DIRECTIONS)


def _decimals(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _geometry_table(geometry: JsonObject) -> ReportTable:
    table = ReportTable("Embedding geometry", [Column("value"), Column("reference values", text=True, style="dim")])
    uniformity, rank = object_of(geometry["uniformity"]), object_of(geometry["effective_rank"])
    measured = {modality: MODALITIES[modality] for modality in uniformity}
    if geometry["alignment"] is not None:
        table.add_row("alignment", _decimal(geometry["alignment"]), "0: partners coincide; 2: unrelated")
    for modality, title in measured.items():
        table.add_row(f"uniformity, {title}", _decimal(uniformity[modality]), "-4: spread evenly; 0: one point")
    if geometry["modality_gap"] is not None:
        table.add_row("modality gap", _decimal(geometry["modality_gap"]), "0: no gap; 2: on opposite sides")
    for modality, title in measured.items():
        meaning = f"{geometry['dimensions']}: all dimensions; 1: collapsed"
        table.add_row(f"effective rank, {title}", f"{float(str(rank[modality])):.1f}", meaning)
    return table


def _probe_tables(probe: JsonObject) -> Iterator[RenderableType]:
    horizons = list_of(probe["horizons"])
    if probe["protocol"] == "leave_one_subject_out":
        how = "leave one subject out"
    else:
        how = f"trained on {counted(len(list_of(probe['trained_on'])), 'training subject')}"
    linear = object_of(probe["linear"])
    features = {name: title for name, title in FEATURES.items() if name in linear}
    now = {name: object_of(list_of(linear[name])[0]) for name in features}
    columns = [Column(title) for title in (*SCORES.values(), "steady F1", "trans. F1")]
    table = ReportTable(f"Linear probe: activity {when(horizons[0])}, {how}", columns)
    for name, title in features.items():
        everything, *parts = (object_of(now[name][among]) for among in ("all", "steady", "transition"))
        figures = (percent(everything[score]) for score in SCORES)
        table.add_row(title, *figures, *(percent(part["macro_f1"]) for part in parts))
        _add_intervals(table, everything, SCORES)
    for place, (kind, by) in enumerate((("linear", "linear probe"), ("knn", "neighbours"))):
        table.add_row(f"gain, {by}", new_section=place == 0)
        for name, title in OVER.items():
            gained = object_of(list_of(object_of(object_of(probe["gain"])[kind])[name])[0])
            table.add_row(f"  {title}", *(_signed(gained[score]) for score in SCORES))
            _add_intervals(table, gained, SCORES)
    yield table
    if line := gap_line(probe):
        yield line
    yield _horizons_table(probe, horizons, features)
    yield _few_labels_table(probe)


def _horizons_table(probe: JsonObject, horizons: Sequence[JsonValue], shown: Mapping[str, str]) -> ReportTable:
    title = "Macro F1 [%] by prediction horizon, linear probe / nearest neighbours"
    table = ReportTable(title, [Column(horizon_text(horizon)) for horizon in horizons])
    linear, knn = object_of(probe["linear"]), object_of(probe["knn"])
    for name, features in shown.items():
        pairs = zip(list_of(linear[name]), list_of(knn[name]), strict=True)
        table.add_row(features, *("/".join(_whole_percent(one) for one in pair) for pair in pairs))
    return table


def _few_labels_table(probe: JsonObject) -> ReportTable:
    few, single = object_of(probe["few_labels"]), object_of(probe["one_subject"])
    shares = [float(str(object_of(point)["fraction"])) for point in list_of(few["imu"])]
    title = "Macro F1 by share of the labels, and with one labelled subject; linear probe"
    table = ReportTable(title, [Column("1 subject"), *(Column(f"{100 * share:g}%") for share in shares)])
    for name, features in FEATURES.items():
        if name in few:
            points = [single[name], *list_of(few[name])]
            table.add_row(features, *(percent(object_of(point)["macro_f1"]) for point in points))
    for over, gains in object_of(probe["few_labels_gain"]).items():
        points = [object_of(probe["one_subject_gain"])[over], *list_of(gains)]
        table.add_row(f"gain {OVER[over]}", *(_signed(object_of(point)["macro_f1"]) for point in points))
        ends = [object_of(object_of(point)["interval"])["macro_f1"] for point in points]
        if any(ends):
            table.add_row("", *(_interval("macro_f1", one) for one in ends), style="dim")
    return table


def _add_intervals(table: ReportTable, figures: JsonObject, names: Mapping[str, str]) -> None:
    intervals = object_of(figures["interval"])
    if any(intervals.values()):
        table.add_row("", *(_interval(name, intervals[name]) for name in names), style="dim")


def _figure(name: str, value: JsonValue) -> str:
    if name.startswith("r_at"):
        return percent(value)
    return f"{float(str(value)):.3f}" if name == "mrr" else f"{float(str(value)):.1f}"


def _interval(name: str, interval: JsonValue) -> str:
    if not isinstance(interval, list):
        return ""
    low, high = (float(str(end)) for end in interval)
    if name == "mrr":
        return f"{low:.2f}-{high:.2f}"
    if name == "median_rank":
        return f"{low:.0f}-{high:.0f}"
    between = ", " if low < 0 else "-"
    return f"{100 * low:.1f}{between}{100 * high:.1f}"


def _whole_percent(at_horizon: JsonValue) -> str:
    value = object_of(object_of(at_horizon)["all"])["macro_f1"]
    return "-" if value is None else f"{100 * float(str(value)):.0f}"


def _signed(value: JsonValue) -> str:
    return "-" if value is None else f"{100 * float(str(value)):+.1f}"


def _decimal(value: JsonValue) -> str:
    return "-" if value is None else f"{float(str(value)):.2f}"
