"""How well it works for each person, now and later."""

from __future__ import annotations

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.html import dots
from revalexo_clip.reports.html.evaluation.summary import cell
from revalexo_clip.reports.html.page import Html, figure, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import WIDTH, panels, svg
from revalexo_clip.reports.values import child, children, horizon_text, measured, number

_DOTS = {"weighted_f1": ("●", "imu", "weighted F1"), "macro_f1": ("◆", "video", "macro F1")}


def section_body(metrics: JsonObject) -> Html:
    """Dots for each person at the first and at the last horizon, and the figures at all of them."""
    subjects = child(metrics, "subjects")
    labelled = [
        place for place, one in enumerate(children(metrics, "horizons")) if number(child(one, "all")["windows"])
    ]
    if not labelled:
        return paragraph("No window has a label.")
    if len(subjects) == 1:
        (only,) = subjects
        return paragraph(f"One person was tested, {only}: nothing is known of how figures vary from person to person.")
    return joined([_plot(subjects, sorted({labelled[0], labelled[-1]})), _table(subjects)])


def _plot(subjects: JsonObject, places: list[int]) -> Html:
    drawn = panels(WIDTH, 0.75 + 1.2 * dots.ROW_HEIGHT * len(subjects), columns=len(places), share_y=True)
    for axes, place in zip(drawn, places, strict=True):
        at = {name: children(subjects, name, "horizons")[place] for name in subjects}
        rows = [
            dots.Row(
                f"{name} ({child(subjects, name)['windows']})",
                {role: measured(found, score) for score, (_, role, _) in _DOTS.items()},
            )
            for name, found in at.items()
        ]
        dots.draw(axes, rows, f"{horizon_text(number(next(iter(at.values()))['horizon']) or 0.0)} after the window")
        axes.set_xlim(-0.03, 1.06)
    caption = "By person; in brackets how many windows. Whiskers are 95% intervals, where there are clips enough."
    return figure(joined([_legend(), svg(drawn[0], "F1 by person")]), caption)


def _legend() -> Html:
    keys = (
        tag("li", joined([tag("span", text(f"{mark} "), style=f"color: var(--{role})"), text(title)]))
        for mark, role, title in _DOTS.values()
    )
    return tag("ul", joined(keys), class_="keys")


def _table(subjects: JsonObject) -> Html:
    first = children(subjects, next(iter(subjects)), "horizons")
    titles = [horizon_text(number(one["horizon"]) or 0.0) for one in first]
    rows = []
    for name in subjects:
        figures = (measured(one, "weighted_f1") for one in children(subjects, name, "horizons"))
        rows.append(row([text(name), *(cell("weighted_f1", found) for found in figures)]))
    return table(["Weighted F1 after", *titles], rows, kind="summary")
