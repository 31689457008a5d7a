"""Made takes in folders of their own: a frame-aligned mp4, and an IMU table with a clock in nanoseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.tiny_dataset import steady, write_json, write_video

BOOT = 1_700_000_000_123_456_789
"""Time of the first IMU row of the take with a clock since 1970 [ns]."""
DEVICE = 5_000_000_000
RATE, DURATION = 800, 4.0
HEADER = "timestamps_ns,accl_x,accl_y,accl_z,gyro_x,gyro_y,gyro_z"


def rows(start: int, seconds: float = DURATION) -> list[tuple[int, list[float]]]:
    """Return time [ns] and values of each row; accelerations along x are the time since `start` [s]."""
    step = 1_000_000_000 // RATE
    return [
        (start + number * step, [number / RATE, 9.81, -1.0, 0.1, -0.2, 0.3]) for number in range(round(RATE * seconds))
    ]


def write_takes(root: Path) -> None:
    """Write three takes: a table that starts half a second before the video, an array, and a table with faults."""
    for name in ("early", "array", "faulty"):
        write_video(root / name / f"{name}.mp4", steady(3.0, 10.0), codec={"g": "10"})
    write_csv(root / "early", rows(BOOT))
    write_json(root / "early" / "take.json", {"subject": "P7", "video_start_ns": BOOT + 500_000_000})
    spoken = [f'{BOOT + 2_000_000_000},"C opens, then closes"', f"{BOOT + 1_250_000_000},C waits"]
    (root / "early" / "narrations.csv").write_text("\n".join(["timestamps_ns,text", *spoken]) + "\n")
    np.save(root / "array" / "imu.npy", np.array([[time, *values] for time, values in rows(DEVICE)]))
    lines = [f"{number},{DEVICE + 250_000_000 + number * 100_000_000}" for number in range(30)]
    (root / "array" / "frames.csv").write_text("\n".join(["frame,timestamps_ns", *lines]) + "\n")
    spoilt = rows(DEVICE)
    spoilt[7] = (spoilt[3][0], spoilt[7][1])
    spoilt[8][1][2] = float("nan")
    write_csv(root / "faulty", spoilt[:1600] + spoilt[2000:])
    write_json(root / "faulty" / "take.json", {"subject": "P7"})


def write_csv(folder: Path, table: list[tuple[int, list[float]]]) -> None:
    """Write the table of a take."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{time},{','.join(map(str, values))}" for time, values in table]
    (folder / "imu.csv").write_text("\n".join([HEADER, *lines]) + "\n")
