"""A subject whose clips are cut every 8 s from one recording, and last 12 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from revalexo_clip.core.component import JsonObject
from support.tiny_dataset import write_json

CLIP, STEP, CLIPS = 12.0, 8.0, 8


def write_overlapping(root: Path, *, declare: bool) -> None:
    """One subject whose 8 clips of 12 s are cut every 8 s from one recording, and one with a single clip; IMU only."""
    write_json(root / "label_mapping.json", {"label_to_idx": {"walking": 0}})
    rng = np.random.default_rng(0)
    rows = round((STEP * (CLIPS - 1) + CLIP) * 60)
    recording = np.cumsum(rng.normal(size=(rows, 6)), axis=0)
    header = ",".join(f"{kind}_Pelvis_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
    for subject, clips in (("Subject01", CLIPS), ("Subject02", 1)):
        folder = root / "imu" / subject
        folder.mkdir(parents=True)
        pairs: JsonObject = {}
        for clip in range(clips):
            first = round(clip * STEP * 60)
            samples = recording[first : first + 720] + (subject == "Subject02")
            np.savetxt(folder / f"{clip}.csv", samples, delimiter=",", header=header, comments="", fmt="%.5f")
            pairs[f"{clip:04d}"] = {
                "imu": f"{clip}.csv",
                "activity_segments": [{"start": 0.0, "end": CLIP, "activity": "walking"}],
                **({"recording": "one", "offset": clip * STEP} if declare else {}),
            }
        write_json(
            root / "data_pairs" / f"{subject}.json",
            {"subject": subject, "imu_folder": f"imu/{subject}", "pairs": pairs},
        )
