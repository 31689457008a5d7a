"""The benchmark of `AnySensor`: which windows it tests, and what it compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.any_sensor import VALIDATED, Case, SimulatedWindows, difference, macro_f1, main
from revalexo_clip.metrics.classification import ClassifierOutput

RATE = 30


@pytest.fixture
def windows(tmp_path: Path) -> SimulatedWindows:
    """Windows of recordings of 4 s: one of somebody in training, four of each of two tested people."""
    subject = np.array([1, *(VALIDATED[-1] + 1,) * 4, *(VALIDATED[-1] + 2,) * 4])
    case = Case("Pelvis", RATE)
    rows = 4 * RATE * len(subject)
    data = np.repeat(np.arange(len(subject)), 4 * RATE)[:, None] + np.linspace(0, 0.5, 7)
    np.savez(
        tmp_path / "bodies.npz",
        data=data.astype(np.float32),
        offsets=np.arange(0, rows + 1, 4 * RATE),
        label=np.arange(len(subject)) % 2,
        subject=subject,
        activities=np.array(["walking", "sitting"]),
        channels=np.array(["acc_Head_x", *case.channels()]),
    )
    return SimulatedWindows(tmp_path / "bodies.npz", case)


def test_windows_are_of_one_recording_each_and_of_tested_people(windows: SimulatedWindows) -> None:
    assert windows.imu_WLC.shape == (8 * 3, 2 * RATE, 6)
    assert set(windows.subject_W.tolist()) == {VALIDATED[-1] + 1, VALIDATED[-1] + 2}
    np.testing.assert_array_equal(windows.imu_WLC[:, :, 0].astype(int), windows.recording_W[:, None].repeat(60, axis=1))
    np.testing.assert_array_equal(windows.label_W, windows.recording_W % 2)
    assert windows.time_W[:3].tolist() == [0.0, 1.0, 2.0]


def test_features_that_tell_activities_apart_are_right_for_people_left_out(windows: SimulatedWindows) -> None:
    bootstrap = windows.bootstrap()
    noise = np.random.default_rng(0).normal(size=(len(windows.label_W), 2))
    telling = noise + np.array([[0.0, 0.0], [20.0, 0.0]])[windows.label_W]
    good, poor = (
        ClassifierOutput(windows.label_W, windows.predicted(features), bootstrap.unit_N, windows.classes)
        for features in (telling, noise)
    )
    assert macro_f1(good) == 100.0
    assert macro_f1(poor) < 90.0
    assert difference(good, poor, bootstrap).startswith(f"{100 - macro_f1(poor):+.1f} (+")


def test_real_recordings_that_are_missing_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["any_sensor", "real", "--recordings", "nowhere.npz"])
    with pytest.raises(SystemExit):
        main()
    assert "real needs --recordings: an .npz file; nowhere.npz is none" in capsys.readouterr().err
