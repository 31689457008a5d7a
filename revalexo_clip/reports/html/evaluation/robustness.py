"""Robustness to perturbed IMU: a plot of the differences, and a table of all figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import SUBJECT, WHOLE
from revalexo_clip.reports import perturbations
from revalexo_clip.reports.html.evaluation.retrieval import ROLES, legend
from revalexo_clip.reports.html.page import Html, figure, group, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import ROW_HEIGHT, WIDTH, Row, draw_gains, panels, svg
from revalexo_clip.reports.values import (
    DIRECTIONS,
    GALLERIES,
    RETRIEVAL,
    Measured,
    child,
    children,
    measured,
    within,
    written,
    written_difference,
)

_ABOUT = (
    "The same evaluation with perturbed IMU, encoded again. Video stays the same, and so does the probe: it is trained "
    "on windows as recorded. Sensors are missing one at a time (their channels are constant), all sensors are turned "
    "around random axes, IMU is late or early against video, or it is recorded at half the rate and interpolated."
)
_FIGURES = ("r_at_1", "mrr")


def section_body(robustness: JsonObject) -> Html:
    """Return the plot, the table and notes."""
    notes = [paragraph(note, "quiet") for note in perturbations.notes(robustness)]
    return joined([paragraph(_ABOUT), _plot(robustness), _table(robustness), *notes])


def _plot(robustness: JsonObject) -> Html:
    found = children(robustness, "perturbations")
    galleries = {f"R@1, {GALLERIES[name]}": _retrieval_dots(name) for name in (WHOLE, SUBJECT)}
    dots: dict[str, Callable[[JsonObject], Mapping[str, Measured]]] = {**galleries, "macro F1": _probe_dots}
    drawn = panels(WIDTH, 0.95 + 1.3 * ROW_HEIGHT * len(found), columns=len(dots), share_y=True)
    for axes, (title, dots_of) in zip(drawn, dots.items(), strict=True):
        rows = [Row(perturbations.title(one, robustness), dots_of(child(one, "difference"))) for one in found]
        draw_gains(axes, rows, title)
    caption = (
        "Difference to the same windows as recorded: left of zero the perturbation does harm. Whiskers are 95% "
        "intervals; a hollow dot is not significant, or has no interval."
    )
    return figure(joined([legend(chance=False), svg(drawn[0], "Differences with perturbed IMU")]), caption)


def _retrieval_dots(gallery: str) -> Callable[[JsonObject], Mapping[str, Measured]]:
    def dots(difference: JsonObject) -> Mapping[str, Measured]:
        return {role: measured(child(difference, gallery, way), "r_at_1") for way, role in ROLES.items()}

    return dots


def _probe_dots(difference: JsonObject) -> Mapping[str, Measured]:
    return {"imu": measured(child(difference, "probe"), "macro_f1")}


def _table(robustness: JsonObject) -> Html:
    headings = [
        "Perturbed IMU",
        *(f"{RETRIEVAL[name]}, {GALLERIES[gallery]}" for gallery in (WHOLE, SUBJECT) for name in _FIGURES),
        "macro F1",
    ]
    rows = [group("as recorded", len(headings)), *_rows(perturbations.as_recorded(robustness), None)]
    for one in children(robustness, "perturbations"):
        rows.append(group(perturbations.title(one, robustness), len(headings)))
        rows += _rows(child(one, "perturbed"), child(one, "difference"))
    return table(headings, rows, kind="summary")


def _rows(found: JsonObject, difference: JsonObject | None) -> list[Html]:
    """Return a row for each direction; the probe, which has none, is in the first."""
    rows = []
    for place, (way, arrow) in enumerate(DIRECTIONS.items()):
        paths = [((gallery, way), name) for gallery in (WHOLE, SUBJECT) for name in _FIGURES]
        cells = [_cell(found, difference, path, name) for path, name in paths]
        cells.append(_cell(found, difference, ("probe",), "macro_f1") if place == 0 else text(""))
        rows.append(row([text(arrow), *cells]))
    return rows


def _cell(found: JsonObject, difference: JsonObject | None, path: tuple[str, ...], name: str) -> Html:
    """Return a figure, and below it its difference with the interval."""
    value = measured(child(found, *path), name).value
    if difference is None or value is None:
        return text(written(name, value))
    change = measured(child(difference, *path), name)
    below = f"{written_difference(name, change.value)} {within(name, change.interval)}".strip()
    return joined([text(written(name, value)), tag("span", text(below), class_="interval")])
