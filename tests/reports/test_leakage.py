"""Warnings name the test subjects that were used in training or model selection."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from revalexo_clip.reports.leakage import leakage_warning, warning_about


@pytest.mark.parametrize(
    ("seen", "warning"),
    [
        ({"train": [], "val": []}, ""),
        ({"train": ["A"], "val": []}, "Test subject A was used in training, so these"),
        ({"train": [], "val": ["A", "B"]}, "Test subjects A, B were used in model selection, so these"),
        (
            {"train": ["A"], "val": ["B"]},
            "Test subject A was used in training and test subject B was used in model selection, so these",
        ),
        (None, "It is not known which subjects the encoder was trained on, so these"),
    ],
)
def test_a_warning_names_subjects_and_their_use(seen: JsonValue, warning: str) -> None:
    found = leakage_warning(seen)
    assert found.startswith(warning)
    assert bool(found) == bool(warning)


def test_a_warning_can_name_what_it_is_about() -> None:
    told = warning_about("Checkpoint A", leakage_warning({"train": ["S1"], "val": []}))
    assert told.startswith("Checkpoint A: test subject S1 was used in training")
    assert warning_about("Checkpoint A", "") == ""
