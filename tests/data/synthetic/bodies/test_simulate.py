"""Recordings of simulated bodies: reproducible, contiguous, readable, refused if a parameter is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.recordings.imu_recordings import ImuRecordings
from revalexo_clip.data.synthetic.bodies import PLACES, Bodies, simulate_bodies, write_bodies

FEW = ("Head", "Left_Forearm")


def test_more_subjects_and_fewer_places_have_the_same_signals() -> None:
    both = simulate_bodies(2, 0.3, places=FEW, seed=4)
    one = simulate_bodies(1, 0.3, places=("Head",), seed=4)
    head = [list(both.channels).index(channel) for channel in one.channels]
    np.testing.assert_array_equal(both.data[: len(one.data)][:, head], one.data)
    assert len(both.data) == 2 * len(one.data) == 2 * 18 * 60
    other = simulate_bodies(1, 0.3, places=("Head",), seed=5)
    assert np.abs(other.data - one.data).max() > 1.0


@pytest.mark.long
def test_two_processes_simulate_what_one_does() -> None:
    once, twice = (simulate_bodies(2, 0.1, places=("Head",), processes=processes) for processes in (1, 2))
    np.testing.assert_array_equal(once.data, twice.data)


def test_the_motion_does_not_depend_on_the_rate() -> None:
    fine, coarse = (
        simulate_bodies(1, 0.3, rate, ("Right_Lower_Leg",), seed=2, activities=("walking", "sitting"))
        for rate in (200.0, 50.0)
    )
    np.testing.assert_array_equal(fine.label, coarse.label)
    for channel in range(3, 6):
        assert np.corrcoef(fine.data[::4, channel], coarse.data[:, channel])[0, 1] > 0.9


def test_recordings_are_contiguous_and_labelled() -> None:
    bodies = simulate_bodies(1, 2.0, places=("Pelvis",), seed=1)
    assert bodies.offsets[0] == 0
    assert bodies.offsets[-1] == len(bodies.data) == 2 * 60 * 60
    assert (np.diff(bodies.offsets) > 0).all()
    assert len(bodies.offsets) == len(bodies.label) + 1
    assert set(bodies.label) == set(range(len(bodies.activities)))
    jump = np.abs(np.diff(bodies.data[:, 3:], axis=0)).max(axis=1)
    ends = bodies.offsets[1:-1] - 1
    assert jump[ends].max() <= np.percentile(jump, 99.9)


def test_the_file_is_read_by_imu_recordings(tmp_path: Path) -> None:
    path = tmp_path / "bodies.npz"
    written = write_bodies(path, 2, 0.2, places=FEW, processes=1)
    data = ImuRecordings(root=path, val_subjects=("2",), train_subjects=("1",))
    windows = data.labelled("val", seed=0)
    assert windows.imu_spec.channels == tuple(written.channels)
    assert windows[0, 0].imu_LC.shape == (120, 12)
    with pytest.raises(ConfigError, match="exists already"):
        write_bodies(path, 1, 0.2)
    with pytest.raises(ConfigError, match=r"bodies\.h5: choose a name that ends in \.npz"):
        write_bodies(tmp_path / "bodies.h5", 1, 0.2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_subjects": 0}, "num_subjects"),
        ({"minutes": 0.0}, "minutes: 0"),
        ({"rate": 5.0}, "rate: 5 Hz"),
        ({"places": ("Tail",)}, "places: Tail must be different ones of Pelvis"),
        ({"places": ("Head", "Head")}, "places: Head, Head"),
        ({"activities": ("flying",)}, "activities: flying"),
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, object], message: str) -> None:
    parameters: dict[str, object] = {"num_subjects": 1, "minutes": 0.2, **wrong}
    simulate: object = simulate_bodies
    assert callable(simulate)
    with pytest.raises(ConfigError, match=message):
        simulate(**parameters)


def test_places_are_fifteen_and_their_channels_in_si_units() -> None:
    bodies: Bodies = simulate_bodies(1, 0.1, places=PLACES, activities=("standing",))
    assert len(PLACES) == 15
    assert bodies.data.shape[1] == 90
    assert bodies.channels[0] == "acc_Pelvis_x"
    assert bodies.channels[-1] == "gyro_Left_Foot_z"
    norm = np.linalg.norm(bodies.data[:, :45].reshape(-1, 15, 3), axis=2).mean(axis=0)
    assert (np.abs(norm - 9.81) < 0.6).all()
