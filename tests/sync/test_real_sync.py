"""Real recordings: glasses whose clocks agree, shifts that are put in, and two cameras that stabilise their video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revalexo_clip.core.progress import no_progress
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.sync.command import check_sync
from revalexo_clip.sync.recordings import gyroscope_of, read_recordings, rotations_of, tracks_of
from revalexo_clip.sync.rotation import Rotations, lag_from_rotation
from revalexo_clip.sync.series import Gyroscope


@pytest.fixture(scope="module")
def neon(real: Path) -> tuple[Rotations, Gyroscope]:
    recordings, clock = read_recordings(real, Clock(60.0))
    (recording,) = [one for one in recordings if one.name.startswith("Neon1/")]
    track_of = tracks_of(real, [recording], no_progress)
    return rotations_of(recording, track_of), gyroscope_of(recording, "Head", clock)


@pytest.mark.parametrize("shift", [0.0, -0.5, -0.0333, 0.21, 0.5])
def test_glasses_are_in_time_and_shifts_are_found(shift: float, neon: tuple[Rotations, Gyroscope]) -> None:
    rotations, gyroscope = neon
    moved = Gyroscope([(gyroscope.time_n - shift, gyroscope.rate_n3)])
    found = lag_from_rotation("Neon1/0001", {"Neon1/0001": 2.4}, rotations, moved)
    assert found.lag is not None, found.why
    assert found.lag.value == pytest.approx(shift, abs=0.005)
    assert found.verdict == ("in time" if shift == 0 else "off")
    assert found.lag.within < 0.008


def test_the_axes_of_the_glasses_are_those_that_their_maker_states(neon: tuple[Rotations, Gyroscope]) -> None:
    """The IMU is turned by -102 degrees around x from the axes of the scene camera; the lens is not modelled."""
    rotations, gyroscope = neon
    found = lag_from_rotation("Neon1/0001", {"Neon1/0001": 2.4}, rotations, gyroscope)
    tilt = np.radians(-102.0)
    stated = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    measured = np.array(found.facts["camera_from_sensor"])
    angle = np.degrees(np.arccos((np.trace(measured @ stated.T) - 1) / 2))
    assert angle < 10.0
    assert found.facts["left_handed"] is False


def test_stabilised_video_gives_no_lag(real: Path) -> None:
    found = {one.recording: one for one in check_sync(real).results}
    assert {name: one.verdict for name, one in found.items()} == {
        "GoPro1/0001": "cannot tell",
        "GoPro2/0001": "cannot tell",
        "Neon1/0001": "in time",
    }
    assert "the video is stabilised" in found["GoPro1/0001"].why
