"""Recordings of IMU alone, and the small experiment that is pretrained on them in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from support.recorded import write_npz
from support.small_process import EXPERIMENT

IMU_ALONE = EXPERIMENT.with_name("imu_alone_experiment.py")
PEOPLE, SAMPLES = 6, 660
"""Subjects, each with two recordings; samples of each recording: 11 s at 60 Hz."""


def write_recordings(path: Path) -> Path:
    """Write two recordings of each subject: slow and fast swinging, with a phase, speed and noise of their own."""
    rng = np.random.default_rng(0)
    time_L = np.arange(SAMPLES) / 60
    recordings = []
    for _ in range(PEOPLE):
        for frequency in (0.8, 2.0):
            phase_C, speed = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.9, 1.1)
            swing_LC = np.sin(2 * np.pi * speed * frequency * time_L[:, None] + phase_C)
            recordings.append(50 * frequency * swing_LC + rng.normal(0, 5, (SAMPLES, 3)))
    return write_npz(
        path,
        data=np.concatenate(recordings).astype(np.float32),
        offsets=np.arange(2 * PEOPLE + 1) * SAMPLES,
        label=np.tile([0, 2], PEOPLE),
        subject=np.repeat(np.arange(1, PEOPLE + 1), 2),
    )


def imu_alone(root: Path, *overrides: str) -> PretrainExperiment:
    """The small experiment of IMU alone on recordings."""
    return load_experiment(str(IMU_ALONE), [f"data.root={root}", *overrides])
