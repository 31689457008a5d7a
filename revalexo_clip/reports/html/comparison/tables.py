"""Tables of a comparison: the checkpoints, their different settings, and all results with their differences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.comparison import FEATURES, is_probed
from revalexo_clip.reports.html.cells import difference
from revalexo_clip.reports.html.evaluation.probe import protocol
from revalexo_clip.reports.html.page import Html, group, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.values import (
    DIRECTIONS,
    GALLERIES,
    MINUS,
    PROBES,
    RETRIEVAL,
    SCORES,
    SIGNIFICANT,
    TITLES,
    child,
    children,
    first_horizon,
    number,
    shown_galleries,
    when,
    written,
)


def checkpoints(found: Sequence[JsonObject]) -> Html:
    """Return the checkpoint of each letter."""
    rows = [
        row(
            [
                tag("strong", text(one["letter"])),
                text(f"{one['name']}{'' if place else ' (baseline)'}"),
                *(text(one[key]) for key in ("experiment", "epoch")),
                text(str(one["sha256"])[:12]),
            ]
        )
        for place, one in enumerate(found)
    ]
    return table(["", "checkpoint", "experiment", "epoch", "SHA-256"], rows, kind="named")


def settings(metrics: JsonObject) -> Html:
    """Return the fields in which the experiments differ."""
    first, *others = children(metrics, "checkpoints")
    rows = []
    for other, found in zip(others, children(metrics, "differences"), strict=True):
        changed = child(found, "settings")
        title = f"{other['letter']} and {first['letter']}"
        rows.append(group(title if changed else f"{title}: the same settings", 3))
        for path, values in changed.items():
            assert isinstance(values, list)
            rows.append(row([text(path), *(text(_short(value)) for value in values)]))
    about = "If a component is of another type, its fields are not listed."
    return joined([table(["setting", str(first["letter"]), "other"], rows, kind="named"), paragraph(about, "quiet")])


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def results(metrics: JsonObject) -> Html:
    """Return all results, with the differences to the first checkpoint and their intervals."""
    first = children(metrics, "checkpoints")[0]
    parts = [table(["Retrieval, gallery", *_columns(metrics)], _retrieval_rows(metrics), kind="summary")]
    if is_probed(metrics):
        probe = child(first, "probe")
        title = f"Activity {when(first_horizon(probe))}"
        parts.append(table([title, *_columns(metrics)], _probe_rows(metrics), kind="summary"))
        parts.append(paragraph(_trained(metrics), "quiet"))
    if metrics["interval_reason"] is None:
        told = (
            f"{SIGNIFICANT['better']} better and {SIGNIFICANT['worse']} worse than {first['letter']}: the 95% interval "
            f"of the difference excludes zero. {SIGNIFICANT['same']} the same for every window. No mark: not "
            "significant (the 95% interval includes zero). If nothing differs, about five results in a hundred get a "
            "mark by chance; only the answers above are corrected for that. Lower ranks are better."
        )
    else:
        told = f"There are no intervals: {metrics['interval_reason']}."
    return joined([*parts, paragraph(told, "quiet")])


def _trained(metrics: JsonObject) -> str:
    """Return which subjects the probes were trained on; this may differ if a single subject is evaluated."""
    found = [child(one, "probe") for one in children(metrics, "checkpoints")]
    about = f"Linear probe and nearest neighbours; {protocol(found[0])}."
    if any(one["trained_on"] != found[0]["trained_on"] for one in found):
        about += " Probes of the other checkpoints are trained on other subjects, those of their own pretraining."
    return about


def _columns(metrics: JsonObject) -> list[str]:
    first, *others = (str(one["letter"]) for one in children(metrics, "checkpoints"))
    return [first, *(title for other in others for title in (other, f"{other} {MINUS} {first}", "95% interval"))]


def _retrieval_rows(metrics: JsonObject) -> Iterator[Html]:
    first = children(metrics, "checkpoints")[0]
    for gallery in shown_galleries(first):
        size = number(child(first, gallery)["gallery_size"]) or 0.0
        for direction, arrow in DIRECTIONS.items():
            yield group(f"{GALLERIES[gallery]}, {size:.0f} windows: {arrow}", 1 + len(_columns(metrics)))
            for name in RETRIEVAL:
                of_each, gained = (
                    [child(one, gallery, direction) for one in children(metrics, key)]
                    for key in ("checkpoints", "differences")
                )
                yield _figure_row(name, of_each, gained)


def _probe_rows(metrics: JsonObject) -> Iterator[Html]:
    for name, title in FEATURES.items():
        for probe, by in PROBES.items():
            yield group(f"{title}, {by}", 1 + len(_columns(metrics)))
            for score in SCORES:
                of_each, gained = (
                    [child(children(one, "probe", probe, name)[0], "all") for one in children(metrics, key)]
                    for key in ("checkpoints", "differences")
                )
                yield _figure_row(score, of_each, gained)


def _figure_row(name: str, of_each: Sequence[JsonObject], gained: Sequence[JsonObject]) -> Html:
    first, *others = (text(written(name, number(found[name]))) for found in of_each)
    cells = [cell for one, by in zip(others, gained, strict=True) for cell in (one, *difference(name, by))]
    return row([text(TITLES[name]), first, *cells])
