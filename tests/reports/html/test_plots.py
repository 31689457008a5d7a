"""Drawings: dots are whole, names are text, and captions promise no interval that is not drawn."""

from __future__ import annotations

import pytest
from support.html_page import Page
from support.made_predictions import made_predictions

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.html.classifier.by_class import activity_body
from revalexo_clip.reports.html.classifier.by_horizon_and_subject import by_horizon, by_subject
from revalexo_clip.reports.html.plots import Row, draw, panels, svg, whiskers
from revalexo_clip.reports.values import Measured

KNOWN, NARROW, UNKNOWN, MISSING = (
    Measured(0.5, (0.4, 0.6)),
    Measured(0.99, (0.985, 0.995)),
    Measured(0.7),
    Measured(None),
)


@pytest.mark.parametrize("values", [(1.0, 0.0), (0.03, 0.01), (0.0, 0.0)])
def test_dots_at_the_ends_of_an_axis_are_whole(values: tuple[float, float]) -> None:
    (axes,) = panels(3, 2)
    draw(axes, [Row("a", {"imu": Measured(value)}) for value in values], "title")
    low, high = axes.get_xlim()
    margin = 0.03 * (high - low)
    assert low + margin < min(values)
    assert max(values) < high - margin


def test_panels_of_one_score_can_have_one_axis() -> None:
    limits = []
    for axes, value in zip(panels(6, 2, columns=2), (0.4, 0.9), strict=True):
        draw(axes, [Row("a", {"imu": Measured(value)})], "title", upto=0.9)
        limits.append(axes.get_xlim())
    assert limits[0] == limits[1]


@pytest.mark.parametrize("name", ["x$\\frac{$", "$", "a_{b}^$c$", "100% <b>"])
def test_names_are_drawn_as_they_are(name: str) -> None:
    (axes,) = panels(3, 2)
    draw(axes, [Row(name, {"imu": KNOWN})], name)
    drawn = str(svg(axes, "a drawing"))
    assert name in Page(drawn).text


@pytest.mark.parametrize(
    ("dots", "says"),
    [
        ([KNOWN, MISSING], "Whiskers are 95% intervals."),
        ([KNOWN, UNKNOWN], "Whiskers are 95% intervals; a dot without one has no interval: why."),
        ([UNKNOWN, MISSING], "There are no intervals: why."),
        ([KNOWN, NARROW], "Whiskers are 95% intervals. Intervals narrower than a dot are hidden by it."),
        ([MISSING], ""),
    ],
)
def test_a_caption_promises_the_intervals_that_are_drawn(dots: list[Measured], says: str) -> None:
    assert whiskers([[Row("a", {"imu": one}) for one in dots]], "why") == says


def metrics_of(clips: int) -> JsonObject:
    predictions = made_predictions(clips=clips)
    return measure_classification(predictions, TimeBootstrap(units_of(predictions), resamples=50))


def test_a_macro_f1_without_interval_is_said_to_have_none() -> None:
    """With one activity that is predicted, but never true, the macro F1 has no interval."""
    found = metrics_of(clips=12)
    told = Page(by_horizon(found)).text
    assert "Bands are 95% intervals. Parts without a band have no interval (macro F1, all windows; macro F1," in told
    assert "weighted F1, all windows" not in told.partition("Parts")[2]
    assert "a dot without one has no interval: there are too few recordings" in Page(by_subject(found)).text


@pytest.mark.long
def test_captions_of_too_few_recordings_promise_nothing() -> None:
    found = metrics_of(clips=2)
    assert "There are no intervals." in Page(by_horizon(found)).text
    assert "Whiskers are 95% intervals." not in Page(activity_body(found)).text
