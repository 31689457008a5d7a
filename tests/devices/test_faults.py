"""Faults that resampling hides are in the notes of a plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from revalexo_clip.devices.base import DeviceRecording, ImuStream, channels_of
from revalexo_clip.devices.plan import plan_import


def notes(values_NC: np.ndarray, time_N: np.ndarray, root: Path) -> list[str]:
    stream = ImuStream("Wrist", channels_of("Wrist"), time_N, values_NC)
    return list(plan_import(DeviceRecording(Path("wrist.csv"), "logger", (stream,)), root / "new", "Anna").notes)


def test_clipped_lost_and_held_samples_are_noted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    time_N = np.arange(1000) / 200
    swing_N6 = np.sin(np.arange(1000)[:, None] / 15 + rng.uniform(0, 6, 6)) + rng.normal(0, 0.05, (1000, 6))
    sound_N6 = swing_N6 + np.array([0, 0, 9.81, 0, 0, 0])
    assert notes(sound_N6, time_N, tmp_path) == []
    faulty_N6 = sound_N6.copy()
    faulty_N6[100:110, 1] = 78.4
    faulty_N6[300:306, :3] = faulty_N6[300, :3]
    kept = np.delete(np.arange(1000), np.arange(600, 605))
    lost, held, clipped = notes(faulty_N6[kept], time_N[kept], tmp_path)
    assert lost == "IMU Wrist: 5 rows missing in 1 place, at most 5 in a row, before row 601: were packets dropped?"
    assert held.startswith("acc_Wrist: the same values in 6 rows from 1.5")
    assert clipped == "acc_Wrist_y is clipped at 78.4 (10 samples, 10 in a row)"
