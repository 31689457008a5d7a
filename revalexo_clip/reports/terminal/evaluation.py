"""What an evaluation looks like in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.metrics.galleries import ACTIVITY, SUBJECT, WHOLE
from revalexo_clip.reports.leakage import seen_text
from revalexo_clip.reports.terminal.tables import titled_table
from revalexo_clip.reports.values import list_of, object_of, percent, seconds

_FIGURES = (("r_at_1", "R@1"), ("r_at_5", "R@5"), ("r_at_10", "R@10"), ("mrr", "MRR"), ("median_rank", "median"))
_DIRECTIONS = (("imu_to_video", "IMU → video"), ("video_to_imu", "video → IMU"))
_GALLERIES = {WHOLE: "all windows", SUBJECT: "same subject", ACTIVITY: "same subject and activity"}
_FEATURES = (
    ("imu", "IMU"),
    ("imu_untrained", "  untrained"),
    ("handcrafted", "  handcrafted"),
    ("video", "video"),
    ("both", "IMU and video"),
)
_SCORES = (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("weighted_f1", "weighted F1"))


def evaluation_report(metrics: JsonObject) -> Iterator[RenderableType]:
    """What was measured, and before it what it is worth."""
    if told := seen_text(object_of(metrics["seen"])):
        yield Text(f"these figures flatter it: this checkpoint was {told}", style="yellow")
    yield _retrieval_table(metrics)
    galleries = _shown_galleries(metrics)
    if len(object_of(metrics["subjects"])) > 1:
        yield _parts_table("By subject", object_of(metrics["subjects"]), galleries)
    if len(object_of(metrics["activities"])) > 1:
        yield _parts_table("By activity", object_of(metrics["activities"]), galleries)
    yield _geometry_table(object_of(metrics["geometry"]))
    probe = metrics["probe"]
    if isinstance(probe, dict):
        yield from _probe_tables(probe)
    else:
        yield Text(f"No probe: {metrics['probe_reason']}.", style="dim")


def _retrieval_table(metrics: JsonObject) -> Table:
    subjects = counted(len(object_of(metrics["subjects"])), "subject")
    clips = counted(int(str(metrics["clips"])), "clip")
    within = "" if metrics["interval_reason"] else ", 95% intervals"
    table = titled_table(f"Retrieval: {metrics['windows']} windows of {clips} ({metrics['split']}: {subjects}){within}")
    table.add_column("", no_wrap=True)
    for _, title in _FIGURES:
        table.add_column(title, justify="right")
    for name, title in _shown_galleries(metrics).items():
        found = metrics[name]
        if not isinstance(found, dict):
            continue
        table.add_section()
        table.add_row(Text(title, "bold"))
        for direction, arrow in _DIRECTIONS:
            figures = object_of(found[direction])
            table.add_row(f"  {arrow}", *(_figure(name, figures[name]) for name, _ in _FIGURES))
            intervals = object_of(figures["interval"])
            if any(intervals.values()):
                table.add_row("", *(_interval(name, intervals[name]) for name, _ in _FIGURES), style="dim")
        chance = object_of(found["chance"])
        table.add_row(
            f"  chance among {float(str(found['gallery_size'])):.0f}",
            *(_figure(name, chance[name]) for name, _ in _FIGURES),
            style="dim",
        )
    return table


def _shown_galleries(metrics: JsonObject) -> dict[str, str]:
    """Those that differ, and their titles: of a single subject, all windows are those of the same subject."""
    several = len(object_of(metrics["subjects"])) > 1
    return {name: title for name, title in _GALLERIES.items() if several or name != SUBJECT}


def _parts_table(title: str, parts: JsonObject, galleries: Mapping[str, str]) -> Table:
    """Of each subject or activity, R@1 in each gallery, both directions."""
    table = titled_table(f"{title}: R@1, IMU → video / video → IMU")
    table.add_column("", no_wrap=True)
    table.add_column("windows", justify="right")
    for gallery in galleries.values():
        table.add_column(gallery, justify="right")
    for part, value in parts.items():
        figures = object_of(value)
        within = (figures if name == WHOLE else figures[name.removeprefix(f"{WHOLE}_")] for name in galleries)
        table.add_row(Text(part), str(figures["windows"]), *map(_both_ways, within))
    return table


def _both_ways(found: JsonValue) -> str:
    if not isinstance(found, dict):
        return "-"
    return " / ".join(_figure("r_at_1", object_of(found[direction])["r_at_1"]) for direction, _ in _DIRECTIONS)


def _geometry_table(geometry: JsonObject) -> Table:
    table = titled_table("Geometry")
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right")
    table.add_column("what good looks like", style="dim")
    uniformity, rank = object_of(geometry["uniformity"]), object_of(geometry["effective_rank"])
    table.add_row("alignment", _decimal(geometry["alignment"]), "0: partners coincide; 2: they are unrelated")
    for modality, title in (("imu", "IMU"), ("video", "video")):
        table.add_row(f"uniformity, {title}", _decimal(uniformity[modality]), "-4: spread evenly; 0: one point")
    table.add_row("modality gap", _decimal(geometry["modality_gap"]), "0: none; 2: on opposite sides")
    for modality, title in (("imu", "IMU"), ("video", "video")):
        meaning = f"{geometry['dimensions']}: all dimensions; 1: collapsed"
        table.add_row(f"effective rank, {title}", f"{float(str(rank[modality])):.1f}", meaning)
    return table


def _probe_tables(probe: JsonObject) -> Iterator[Table]:
    horizons = list_of(probe["horizons"])
    if probe["protocol"] == "leave_one_subject_out":
        how = "each subject left out in turn"
    else:
        how = f"trained on {counted(len(list_of(probe['trained_on'])), 'training subject')}"
    linear = object_of(probe["linear"])
    now = {name: object_of(list_of(linear[name])[0]) for name, _ in _FEATURES}
    table = titled_table(f"Activity {seconds(horizons[0])} after the window, linear probe, {how}")
    table.add_column("", no_wrap=True)
    for _, title in _SCORES:
        table.add_column(title, justify="right")
    for title in ("steady F1", "trans. F1"):
        table.add_column(title, justify="right")
    for name, title in _FEATURES:
        everything, *parts = (object_of(now[name][among]) for among in ("all", "steady", "transition"))
        figures = (percent(everything[score]) for score, _ in _SCORES)
        table.add_row(title, *figures, *(percent(part["macro_f1"]) for part in parts))
        intervals = object_of(everything["interval"])
        if any(intervals.values()):
            table.add_row("", *(_interval(score, intervals[score]) for score, _ in _SCORES), style="dim")
    table.add_section()
    for kind, how in (("linear", "linear probe"), ("knn", "neighbours")):
        table.add_row(f"gain, {how}")
        for name, title in (("over_untrained", "over untrained"), ("over_handcrafted", "over handcrafted")):
            gained = object_of(list_of(object_of(object_of(probe["gain"])[kind])[name])[0])
            intervals = object_of(gained["interval"])
            table.add_row(f"  {title}", *(_signed(gained[score]) for score, _ in _SCORES))
            if any(intervals.values()):
                table.add_row("", *(_interval(score, intervals[score]) for score, _ in _SCORES), style="dim")
    yield table
    yield _horizons_table(probe, horizons)
    yield _few_labels_table(object_of(probe["few_labels"]))


def _horizons_table(probe: JsonObject, horizons: Sequence[JsonValue]) -> Table:
    table = titled_table("Macro F1 [%] by horizon, linear / neighbours")
    table.add_column("", no_wrap=True)
    for horizon in horizons:
        table.add_column(seconds(horizon), justify="right")
    linear, knn = object_of(probe["linear"]), object_of(probe["knn"])
    for name, title in _FEATURES:
        pairs = zip(list_of(linear[name]), list_of(knn[name]), strict=True)
        table.add_row(title, *("/".join(_points(_all(one)["macro_f1"]) for one in pair) for pair in pairs))
    return table


def _few_labels_table(few: JsonObject) -> Table:
    table = titled_table("Macro F1 with few labels, linear probe")
    table.add_column("", no_wrap=True)
    for point in list_of(few["imu"]):
        table.add_column(f"{100 * float(str(object_of(point)['fraction'])):g}%", justify="right")
    for name, title in _FEATURES:
        if name in few:
            table.add_row(title, *(percent(object_of(point)["macro_f1"]) for point in list_of(few[name])))
    return table


def _all(at_horizon: JsonValue) -> JsonObject:
    return object_of(object_of(at_horizon)["all"])


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


def _points(value: JsonValue) -> str:
    return "-" if value is None else f"{100 * float(str(value)):.0f}"


def _signed(value: JsonValue) -> str:
    return "-" if value is None else f"{100 * float(str(value)):+.1f}"


def _decimal(value: JsonValue) -> str:
    return "-" if value is None else f"{float(str(value)):.2f}"
