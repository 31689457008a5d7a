"""Units of time: whole recordings if there are enough, else blocks of 30 s."""

from __future__ import annotations

import numpy as np
import pytest
from support.made_predictions import made_predictions

from revalexo_clip.metrics.blocks import LEAST_BLOCKS, LEAST_RECORDINGS, TimeUnits, time_blocks, time_units, units_of
from revalexo_clip.metrics.evaluated import concatenate


def units(recordings: int, subjects: int, seconds: float) -> TimeUnits:
    """Windows every 0.5 s of recordings of equal length, which are shared by the subjects."""
    time_M = np.arange(0.0, seconds, 0.5)
    recording_N = np.repeat(np.arange(recordings), len(time_M))
    return time_units(recording_N, np.tile(time_M, recordings), [f"S{one % subjects}" for one in recording_N])


@pytest.mark.parametrize("subjects", [1, 3])
def test_recordings_are_units_if_there_are_enough_of_them(subjects: int) -> None:
    enough = LEAST_RECORDINGS + subjects - 1
    found = units(enough, subjects, seconds=90)
    assert found.kind == "recordings"
    assert len(found.unit_subjects) == enough
    fewer = units(enough - 1, subjects, seconds=90)
    assert fewer.kind == "blocks of 30 s"
    assert len(fewer.unit_subjects) == 3 * (enough - 1)


def test_pieces_of_a_recording_share_blocks() -> None:
    """Neighbouring clips are no units of their own: the blocks are those of the recording."""
    made = made_predictions(subjects=1, clips=3)
    time_N = made.start_N + 8.0 * made.clip_N
    found = time_units(np.zeros_like(made.clip_N), time_N, ["a"] * len(made))
    assert len(found.unit_subjects) == 1
    assert time_blocks(np.zeros_like(made.clip_N), 10 * time_N).max() == round(260 / 30) - 1


def test_too_few_units_are_told_with_their_kind_and_number() -> None:
    assert units(1, 1, seconds=30 * LEAST_BLOCKS).interval_reason() is None
    told = units(1, 1, seconds=60).interval_reason()
    assert told == "6 blocks of 30 s are needed for 1 subject, and there are 2"
    assert units(6, 6, seconds=10).as_metrics() == {
        "interval_unit": "blocks of 30 s",
        "interval_reason": "11 blocks of 30 s are needed for 6 subjects, and there are 6",
    }


def test_every_unit_has_the_subject_of_its_windows() -> None:
    made = made_predictions(subjects=2, clips=3)
    found = units_of(made)
    for unit, subject in enumerate(found.unit_subjects):
        (clip,) = set(made.clip_N[found.unit_N == unit].tolist())
        assert made.clip_subjects[clip] == subject


def test_recordings_of_different_parts_stay_apart() -> None:
    one = made_predictions(subjects=1, clips=4)
    both = concatenate([one, one])
    assert both.recording_N.tolist() == [*one.recording_N, *(one.recording_N + 4)]
    assert both.time_N.tolist() == [*one.time_N, *one.time_N]
    assert len(units_of(both).unit_subjects) == 8
