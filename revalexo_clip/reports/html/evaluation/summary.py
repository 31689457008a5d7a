"""The head of the page: what was evaluated, on whom, whether that may be trusted; and the one table."""

from __future__ import annotations

from revalexo_clip.core.component import JsonObject
from revalexo_clip.evaluation.held_out import seen_text
from revalexo_clip.reports.conclusions.evaluation import as_list, verdicts
from revalexo_clip.reports.html.evaluation.retrieval import shown_galleries
from revalexo_clip.reports.html.page import Html, group, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.terminal.tables import counted
from revalexo_clip.reports.values import (
    DIRECTIONS,
    FEATURES,
    GALLERIES,
    RETRIEVAL,
    SCORES,
    Measured,
    child,
    children,
    first_horizon,
    horizon_text,
    measured,
    number,
    written,
    written_interval,
)


def head(name: str, metrics: JsonObject) -> Html:
    """The title, what was evaluated, and first of all whether figures flatter."""
    subjects = list(child(metrics, "subjects"))
    people = "1 person" if len(subjects) == 1 else f"{len(subjects)} people"
    windows, clips = (counted(int(number(metrics[f"{unit}s"]) or 0), unit) for unit in ("window", "clip"))
    about = (
        f"{windows} of {clips} from {people}, {', '.join(subjects)}. "
        f"Checkpoint {metrics['checkpoint']}, epoch {metrics['epoch']}, SHA-256 {str(metrics['sha256'])[:12]}."
    )
    if metrics["interval_reason"] is None:
        about += " In brackets: 95% intervals."
    parts = [tag("h1", text(f"Evaluation of {name}")), paragraph(about, "quiet")]
    if told := seen_text(child(metrics, "seen")):
        warning = joined([tag("strong", text("⚠ These figures flatter it: ")), text(f"this checkpoint was {told}.")])
        parts.append(tag("p", warning, class_="warning"))
    return joined([*parts, as_list(verdicts(metrics))], "\n")


def tables(metrics: JsonObject) -> Html:
    """Every figure that counts, with its interval."""
    parts = [_retrieval_table(metrics)]
    if isinstance(metrics["probe"], dict):
        parts.append(_probe_table(child(metrics, "probe")))
    if metrics["interval_reason"] is None:
        within = (
            "Below each figure its 95% interval, from resampled clips: how it would vary with other clips of the same "
            "people. R@k: share of queries whose partner is among the k nearest; MRR: mean of 1 / rank."
        )
    else:
        within = f"There are no intervals: {metrics['interval_reason']}."
    return joined([*parts, paragraph(within, "quiet")])


def _retrieval_table(metrics: JsonObject) -> Html:
    rows = []
    for gallery in shown_galleries(metrics):
        found = child(metrics, gallery)
        size = number(found["gallery_size"]) or 0.0
        rows.append(group(f"{GALLERIES[gallery]}, {size:.0f}", 1 + len(RETRIEVAL)))
        for direction, arrow in DIRECTIONS.items():
            figures = (cell(name, measured(child(found, direction), name)) for name in RETRIEVAL)
            rows.append(row([text(arrow), *figures]))
        blind = (cell(name, Measured(number(child(found, "chance")[name]))) for name in RETRIEVAL)
        rows.append(row([tag("span", text("guessing"), class_="open"), *blind]))
    return table(["Retrieval among", *RETRIEVAL.values()], rows, kind="summary")


def _probe_table(probe: JsonObject) -> Html:
    now = {name: child(children(probe, "linear", name)[0], "all") for name in FEATURES}
    horizon = horizon_text(first_horizon(probe))
    rows = [
        row([text(title), *(cell(score, measured(now[name], score)) for score in SCORES)])
        for name, title in FEATURES.items()
    ]
    return table([f"Activity {horizon} after the window, linear probe", *SCORES.values()], rows, kind="summary")


def cell(name: str, found: Measured) -> Html:
    """A figure, and below it its interval."""
    shown = text(written(name, found.value))
    if found.interval is None:
        return shown
    return joined([shown, tag("span", text(written_interval(name, found.interval)), class_="interval")])
