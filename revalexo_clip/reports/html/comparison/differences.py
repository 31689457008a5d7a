"""Plots of the differences to the first checkpoint: by gallery, probe, activity and subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import ACTIVITY, CLIP, WHOLE
from revalexo_clip.reports.conclusions.comparison import FEATURES
from revalexo_clip.reports.html.evaluation.retrieval import ROLES, legend
from revalexo_clip.reports.html.page import Html, figure, joined, tag, text
from revalexo_clip.reports.html.plots import ROW_HEIGHT, WIDTH, Row, draw_gains, panels, svg
from revalexo_clip.reports.values import (
    GALLERIES,
    MINUS,
    PROBES,
    RETRIEVAL,
    SCORES,
    Measured,
    child,
    children,
    horizon_text,
    measured,
    number,
    shown_galleries,
)

_SHARES = ("r_at_1", "r_at_5", "r_at_10", "mrr")
"""Retrieval results between 0 and 1."""
_FEATURE_ROLES = {"imu": "imu", "video": "video", "both": "c3"}
_WHISKERS = (
    "Whiskers are paired 95% intervals. A hollow dot is not significant: its interval includes zero, or it has none."
)


def retrieval(metrics: JsonObject) -> Html:
    """Return differences in retrieval by gallery, for each checkpoint but the first."""
    return _of_each(
        metrics,
        _retrieval_plot,
        f"Difference in MRR in hundredths. {_WHISKERS} Median ranks are in the table.",
        ways=True,
    )


def probe(metrics: JsonObject) -> Html:
    """Return differences of both probes by features, at the first and at later horizons."""
    caption = f"Differences at the first horizon, over all windows. {_WHISKERS}"
    ahead = "Difference in weighted F1 of the linear probe, by prediction horizon."
    return joined([_of_each(metrics, _probe_plot, caption), _of_each(metrics, _horizon_plot, ahead)])


def parts(metrics: JsonObject, kind: str) -> Html:
    """Return differences in MRR of each of the `subjects` or `activities`."""
    caption = (
        f"Difference in MRR in hundredths; number of windows in brackets. {_WHISKERS} With few "
        f"{metrics['interval_unit']} there is no interval."
    )
    return _of_each(metrics, lambda one, difference: _part_plot(one, difference, kind), caption, ways=True)


def _of_each(
    metrics: JsonObject, plot: Callable[[JsonObject, JsonObject], Html], caption: str, *, ways: bool = False
) -> Html:
    """Return a drawing for each checkpoint but the first, under its letter."""
    first, *others = children(metrics, "checkpoints")
    drawn = []
    for other, difference in zip(others, children(metrics, "differences"), strict=True):
        ours, theirs = other["letter"], first["letter"]
        drawn.append(tag("h3", text(f"{ours} {MINUS} {theirs}: right of zero {ours} is better, left of zero {theirs}")))
        drawn.append(figure(joined([*([legend(chance=False)] if ways else []), plot(first, difference)]), caption))
    return joined(drawn)


def _retrieval_plot(first: JsonObject, difference: JsonObject) -> Html:
    shown = shown_galleries(first)
    drawn = panels(WIDTH, 0.95 + 0.5 * len(shown), columns=len(_SHARES), share_y=True)
    for axes, name in zip(drawn, _SHARES, strict=True):
        rows = [Row(GALLERIES[gallery], _both_ways(child(difference, gallery), name)) for gallery in shown]
        draw_gains(axes, rows, RETRIEVAL[name])
    return svg(drawn[0], f"Differences in retrieval of {difference['name']}")


def _both_ways(found: JsonObject, name: str) -> Mapping[str, Measured]:
    return {role: measured(child(found, direction), name) for direction, role in ROLES.items()}


def _probe_plot(_: JsonObject, difference: JsonObject) -> Html:
    drawn = panels(WIDTH, 0.95 + ROW_HEIGHT * len(FEATURES) * len(PROBES), columns=len(SCORES), share_y=True)
    for axes, (score, title) in zip(drawn, SCORES.items(), strict=True):
        rows = [
            Row(f"{features}, {by}", {_FEATURE_ROLES[name]: measured(found, score)})
            for name, features in FEATURES.items()
            for kind, by in PROBES.items()
            for found in [child(children(difference, "probe", kind, name)[0], "all")]
        ]
        draw_gains(axes, rows, title)
    return svg(drawn[0], f"Differences in probes of {difference['name']}")


def _horizon_plot(_: JsonObject, difference: JsonObject) -> Html:
    horizons = children(difference, "probe", "linear", "imu")
    drawn = panels(WIDTH, 0.95 + ROW_HEIGHT * len(horizons), columns=len(FEATURES), share_y=True)
    for axes, (name, title) in zip(drawn, FEATURES.items(), strict=True):
        rows = [
            Row(
                horizon_text(number(found["horizon"]) or 0.0),
                {_FEATURE_ROLES[name]: measured(child(found, "all"), "weighted_f1")},
            )
            for found in children(difference, "probe", "linear", name)
        ]
        draw_gains(axes, rows, title)
    return svg(drawn[0], f"Differences in weighted F1 by prediction horizon of {difference['name']}")


def _part_plot(first: JsonObject, difference: JsonObject, kind: str) -> Html:
    found = child(difference, kind)
    shown = [gallery for gallery in (WHOLE, ACTIVITY, CLIP) if first[gallery] is not None]
    drawn = panels(WIDTH, 0.95 + ROW_HEIGHT * len(found), columns=len(shown), share_y=True)
    for axes, gallery in zip(drawn, shown, strict=True):
        draw_gains(axes, [_part_row(part, child(found, part), gallery) for part in found], GALLERIES[gallery])
    return svg(drawn[0], f"Differences in MRR by {kind} of {difference['name']}")


def _part_row(part: str, found: JsonObject, gallery: str) -> Row:
    inside = found if gallery == WHOLE else found[gallery.removeprefix(f"{WHOLE}_")]
    return Row(f"{part} ({found['windows']})", _both_ways(inside, "mrr") if isinstance(inside, dict) else {})
