"""The test report of an activity classifier in a terminal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from support.made_predictions import made_predictions
from support.narrow_terminal import assert_numbers_fit

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.terminal.classifier import classifier_report

ACTIVITIES = ("[standing]", "walking", "walking_down_a_long_flight_of_stairs", "ramp_up", "never")


def measured(predictions: Predictions) -> JsonObject:
    found = measure_classification(predictions, TimeBootstrap(units_of(predictions), resamples=50))
    return {"seen": {"train": [], "val": []}, **found}


@pytest.fixture(scope="module")
def metrics() -> JsonObject:
    return measured(made_predictions(activities=ACTIVITIES, horizons=(0.0, 0.5, 1.0)))


def shown(metrics: JsonObject, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        for part in classifier_report(metrics):
            console.print(part)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_everything_fits_without_being_cut(metrics: JsonObject) -> None:
    lines = shown(metrics)
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]


def test_rows_hold_the_figures(metrics: JsonObject) -> None:
    lines = shown(metrics)
    assert lines[0] == "Activity classification: 294 windows of 14 clips, 2 test subjects, 95% intervals"
    horizons = metrics["horizons"]
    assert isinstance(horizons, list)
    moving = horizons[1]
    assert isinstance(moving, dict)
    figures = moving["transition"]
    assert isinstance(figures, dict)
    place = next(number for number, line in enumerate(lines) if line == "transitions")
    row = next(line.split() for line in lines[place:] if line.strip().startswith("0.5 s"))
    names = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    assert row[2:] == [str(figures["windows"]), *(f"{100 * float(str(figures[name])):.1f}%" for name in names)]
    for title in ("always", "By activity, at the end of the window", "[standing]", "By subject", "Subject[1]"):
        assert any(title in line for line in lines), title


def test_it_begins_with_the_subjects_that_were_seen(metrics: JsonObject) -> None:
    seen: JsonObject = {"train": ["Subject[0]"], "val": []}
    assert shown({**metrics, "seen": seen})[0].startswith("Test subject Subject[0] was used in training, so these")
    assert shown({**metrics, "seen": None})[0].startswith("It is not known which subjects the encoder was trained on")


def test_the_most_frequent_confusion_of_an_activity_is_shown(metrics: JsonObject) -> None:
    horizons = metrics["horizons"]
    assert isinstance(horizons, list)
    first = horizons[0]
    assert isinstance(first, dict)
    figures = first["all"]
    assert isinstance(figures, dict)
    confusion = figures["confusion"]
    assert isinstance(confusion, list)
    count_A = np.array(confusion[1])
    share = 100 * np.delete(count_A, 1).max() / count_A.sum()
    (row,) = (line for line in shown(metrics) if line.strip().startswith("walking "))
    assert f" {share:.0f}% " in row


def test_what_is_missing_is_said_last() -> None:
    made = made_predictions(subjects=1, clips=2)
    lines = shown(measured(replace(made, transition_NK=np.zeros_like(made.transition_NK))))
    told = " ".join(lines[-8:])
    assert "No window with a label is in a transition, so there are no results for this set." in told
    assert "There are no intervals: 6 blocks of 30 s are needed for 1 subject, and there are 2" in told
    assert "95% intervals" not in lines[0]
    assert not [line for line in lines if "By subject" in line or line.strip() == "transitions"]


def test_without_labels_there_is_no_table_of_nothing() -> None:
    made = made_predictions()
    lines = shown(measured(replace(made, label_NK=np.full_like(made.label_NK, -1))))
    assert "No window has a label, so nothing was measured." in lines
    assert not [line for line in lines if "%" in line and "95%" not in line]


def test_numbers_are_kept_at_every_width(metrics: JsonObject) -> None:
    assert_numbers_fit(lambda: classifier_report(metrics))


def test_six_subjects_have_means_with_intervals_between_subjects() -> None:
    lines = shown(measured(made_predictions(subjects=6, clips=3)))
    place = next(number for number, line in enumerate(lines) if line.startswith("mean "))
    assert len(lines[place].split()) == len(lines[place + 1].split()) + 1 == 5
    assert "it says how the mean would vary with other subjects" in " ".join(lines)
