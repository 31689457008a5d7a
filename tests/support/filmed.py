"""A dataset with a real mp4 of a texture that moves as a turning camera would move it, and the IMU of that camera."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from revalexo_clip.core.component import JsonObject
from support import moving_texture, turning
from support.tiny_dataset import write_json, write_video
from support.turning import Floats, Turns

CHANNELS = tuple(
    f"{kind}_{sensor}_{axis}" for kind in ("acc", "gyro") for sensor in ("Head", "Wrist") for axis in "xyz"
)
DURATION = 6.0
RATE = 60.0


def head(seed: int = 0) -> Turns:
    """Turns to the side and nods of a camera: what a texture that is moved can show."""
    found = turning.turns(DURATION, size=0.35, seed=seed)
    return Turns(found.time_n, found.angle_n3 * np.array([1.0, 1.0, 0.0]))


def write_filmed(root: Path, *, early: float = 0.0, still: bool = False, seed: int = 0) -> Path:
    """One clip, `Ann/0001`, whose IMU is `early` [s]; `still`: the video does not move."""
    camera, focal = head(seed), 0.5 / np.tan(turning.FIELD / 2)
    times = (np.arange(int(DURATION * 30)) / 30).tolist()

    def path(time: float) -> tuple[float, float]:
        x, y, _ = camera.at(np.array([0.0 if still else time]))[0]
        return -focal * y, focal * x

    grey = moving_texture.frames(path, times)
    write_video(root / "videos" / "Ann" / "0001.mp4", times, frames=moving_texture.coloured(grey))
    _, gyro_n3 = turning.rows(camera, DURATION + 1, rate=RATE)
    shifted = turning.rows(Turns(camera.time_n - early, camera.angle_n3), DURATION, rate=RATE)[1]
    gyro_n3[: len(shifted)] = shifted
    write_imu(root / "imu" / "Ann" / "0001.csv", gyro_n3[: len(shifted)])
    described: JsonObject = {
        "video": "0001.mp4",
        "imu": "0001.csv",
        "note": "übrig",
        "activity_segments": [
            {"start": 0.0, "end": 3.0, "activity": "standing"},
            {"start": 3.0, "end": DURATION, "activity": "stairs_up"},
        ],
        "transition_segments": [{"start": 2.5, "end": 3.5, "transition": "standing_to_stairs"}],
    }
    folders = {"video_folder": "videos/Ann", "imu_folder": "imu/Ann"}
    write_json(root / "data_pairs" / "Ann.json", {"subject": "Ann", **folders, "pairs": {"0001": described}})
    write_json(root / "label_mapping.json", {"label_to_idx": {"standing": 0, "stairs_up": 1}})
    return root


def write_imu(path: Path, gyro_n3: Floats) -> None:
    """An IMU file with a sensor on the head, and one on the wrist that moves otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(9)
    acc_n6 = draws.normal(0, 0.1, (len(gyro_n3), 6)) + np.array([0, 0, 9.81, 0, 0, 9.81])
    wrist_n3 = np.cumsum(draws.normal(0, 0.1, (len(gyro_n3), 3)), axis=0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CHANNELS)
        writer.writerows(np.concatenate([acc_n6, gyro_n3, wrist_n3], axis=1).round(6).tolist())
