"""World 1 is frozen: results of experiments on it stay comparable.

Digests of the files would tell apart processors whose last bits differ. Weighted sums of everything that is written
change with every value by at least the tolerance, if a value changes by more than such a bit.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from revalexo_clip.data.synthetic.clip import clip_frames, clip_imu, clip_motion, clip_plan, simulate
from revalexo_clip.data.synthetic.geometry import Float

GOLDEN = json.loads((Path(__file__).parent / "world1.json").read_text(encoding="utf-8"))


def _weights(size: int) -> Float:
    return np.random.default_rng(0).uniform(0.5, 1.5, size=size) * np.where(np.arange(size) % 2, 1.0, -1.0)


def measure(seed: int, subject: int, clip: int) -> dict[str, object]:
    """Sum up a clip. To write the golden file anew, which changes every published figure: `measure` of its keys."""
    motion = clip_motion(seed, subject, clip)
    imu_LC = clip_imu(seed, subject, clip, motion)
    frames = np.stack(list(clip_frames(seed, subject, clip, motion))).astype(np.float64)
    shape = imu_LC.shape
    return {
        "plan": [[segment.activity, segment.start, segment.end] for segment in clip_plan(seed, subject, clip)],
        "imu": (_weights(shape[0]) @ imu_LC).round(4).tolist(),
        "pixels": (frames.reshape(len(frames), -1) @ _weights(120 * 160 * 3))[::30].round(1).tolist(),
        "crf": simulate(seed, subject, clip).crf,
    }


@pytest.mark.long
@pytest.mark.parametrize("key", list(GOLDEN))
def test_recordings_of_world_1_never_change(key: str) -> None:
    seed, subject, clip = (int(number) for number in key.split())
    expected, found = GOLDEN[key], measure(seed, subject, clip)
    assert found["plan"] == expected["plan"]
    assert found["crf"] == expected["crf"]
    assert found["imu"] == pytest.approx(expected["imu"], abs=2e-4)
    # A pixel that rounds to the other grey level is no change.
    assert found["pixels"] == pytest.approx(expected["pixels"], abs=20.0)
