"""A dataset without any problem: each clip has its own frames and movements, in the right units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.component import JsonObject
from support.tiny_dataset import ACTIVITIES, DURATION, numbered, pair, steady, write_json, write_video

CHANNELS = tuple(
    f"{kind}_{part}_{axis}" for part in ("Pelvis", "Left_Foot") for kind in ("acc", "gyro") for axis in "xyz"
)
SUBJECTS = ("Subject01", "Subject02", "Subject08")
CLIPS = ("0000", "0001")
RATE = 60.0


def samples(seed: int, duration: float = DURATION) -> npt.NDArray[np.float64]:
    """Return [n, C] of small movements: gravity along z [m/s^2], slow rotations [rad/s], noise on both."""
    rng = np.random.default_rng(seed)
    count = round(duration * RATE)
    at_rest = np.array([9.81 if name.startswith("acc") and name.endswith("z") else 0.0 for name in CHANNELS])
    swing = np.sin(2 * np.pi * np.arange(count)[:, None] / RATE + rng.uniform(0, 6, len(CHANNELS)))
    return np.asarray(at_rest + swing + rng.normal(0, 0.1, (count, len(CHANNELS))))


def write_samples(path: Path, samples_nC: npt.NDArray[np.float64], channels: Sequence[str] = CHANNELS) -> None:
    """A recording with these columns, after one that is no channel."""
    rows = [f"10:{row:05d}," + ",".join(f"{cell:.5f}" for cell in cells) for row, cells in enumerate(samples_nC)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(("time", *channels)), *rows]) + "\n")


def write_sound_dataset(root: Path) -> None:
    """Two clips of 4 s for each of three subjects."""
    labels = {activity: index for index, activity in enumerate(ACTIVITIES)}
    write_json(
        root / "label_mapping.json",
        {"label_to_idx": dict(labels), "idx_to_label": {str(index): name for name, index in labels.items()}},
    )
    seed = 0
    for subject in SUBJECTS:
        for clip in CLIPS:
            frames = [numbered(number + 20 * seed) for number in range(len(steady()))]
            write_video(root / f"videos/{subject}/{clip}.mp4", steady(), codec={"g": "30"}, frames=frames)
            write_samples(root / f"imu/{subject}/{clip}.csv", samples(seed))
            seed += 1
        described: JsonObject = {
            "subject": subject,
            "video_folder": f"videos/{subject}",
            "imu_folder": f"imu/{subject}",
            "pairs": {clip: pair(clip) for clip in CLIPS},
        }
        write_json(root / f"data_pairs/{subject}.json", described)
