"""The summary of cross-validation in a terminal."""

from __future__ import annotations

import pytest
from support.made_predictions import made_predictions
from support.narrow_terminal import assert_numbers_fit, rendered

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.terminal.folds import fold_report


def made_summary(subjects: int) -> JsonObject:
    """Two folds with the same results; a third one has failed."""
    predictions = made_predictions(subjects=subjects)
    pooled = measure_classification(predictions, TimeBootstrap(units_of(predictions), resamples=20))
    horizons = pooled["horizons"]
    never_trained: JsonObject = {"Subject01": None, "Subject02_and_Subject03": ["ramp"]}
    folds: JsonObject = {
        name: {"never_trained": untrained, "horizons": horizons} for name, untrained in never_trained.items()
    }
    return {
        "folds": folds,
        "unfinished": {"Subject04": "it broke"},
        "mean": horizons,
        "deviation": horizons,
        "pooled": pooled,
    }


@pytest.fixture(scope="module")
def summary() -> JsonObject:
    return made_summary(subjects=2)


def test_rows_are_folds_and_horizons(summary: JsonObject) -> None:
    lines = [line.rstrip() for line in rendered(fold_report(summary), 100).splitlines()]
    assert lines[0] == "2 folds, at the end of the window"
    labels = [line.split()[0] for line in lines[3:9] if line]
    assert labels == ["Subject01", "Subject02_and_Subject03", "mean", "deviation", "all"]
    assert "Mean and standard deviation over folds" in lines
    assert lines[-1] == "Without a result: Subject04."
    told = "Subject02_and_Subject03: not in training: ramp. All their test windows count as errors."
    assert told in " ".join(lines)


def test_six_subjects_have_means_with_intervals_between_subjects() -> None:
    several = made_summary(subjects=6)
    lines = rendered(fold_report(several), 100).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("mean of subjects"))
    assert len(lines[place + 1].split()) == 5
    assert "it says how the mean would vary with other subjects" in " ".join(" ".join(lines).split())


def test_numbers_are_kept_at_every_width(summary: JsonObject) -> None:
    assert_numbers_fit(lambda: fold_report(summary))
