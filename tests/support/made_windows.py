"""Simulated evaluation windows, without encoders or data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from revalexo_clip.core.types import ImuSpec, Sample, VideoSpec
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.base import Windows
from revalexo_clip.metrics.evaluated import EvaluatedWindows


def made_windows(subjects: int, clips: int = 7) -> EvaluatedWindows:
    """Eight windows of each clip, two activities, two horizons."""
    rng = torch.Generator().manual_seed(0)
    count = subjects * clips * 8
    imu_ND = torch.nn.functional.normalize(torch.randn(count, 4, generator=rng), dim=1)
    label_NK = torch.arange(count)[:, None].repeat(1, 2) // 4 % 2
    names = ("imu", "imu_untrained", "handcrafted", "video")
    return EvaluatedWindows(
        imu_ND=imu_ND,
        video_ND=torch.nn.functional.normalize(imu_ND + torch.randn(count, 4, generator=rng), dim=1),
        features={name: torch.randn(count, 5, generator=rng) + label_NK[:, :1] for name in names},
        label_NK=label_NK,
        transition_NK=torch.rand(count, 2, generator=rng) < 0.2,
        clip_N=torch.arange(count) // 8,
        start_N=0.5 * (torch.arange(count) % 8).double(),
        clip_subjects=tuple(f"Subject[{clip // clips}]" for clip in range(subjects * clips)),
        clip_names=tuple(map(str, range(subjects * clips))),
        activities=("[standing]", "walking", "never"),
        horizons=(0.0, 0.5),
    )


class MadeDataset(WindowDataset):
    """The dataset of `made_windows`: each pixel of a window is the window's number, modulo 256."""

    num_too_short = 0

    def __init__(self, windows: EvaluatedWindows) -> None:
        self.windows = Windows(windows.clip_N.numpy(), windows.start_N.numpy())
        self.clip_subjects = windows.clip_subjects
        self.clip_names = windows.clip_names
        self.clip_recordings = np.arange(len(windows.clip_names))
        self.clip_offsets = np.zeros(len(windows.clip_names))
        self.activities = windows.activities
        self.horizons = windows.horizons
        channels = ("acc_Foot_x", "acc_Foot_y", "gyro_Foot_x")
        self.imu_spec = ImuSpec(channels, ("m/s^2", "m/s^2", "rad/s"), rate=10.0, window=2.0)
        self.video_spec = VideoSpec(frames=4, crop=16, short_side=16, window=2.0)
        self.made = windows

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        _, index = key
        return Sample(
            imu_LC=torch.tensor([3.0, 4.0, 0.5]).repeat(20, 1),
            video_THWC=torch.full((4, 16, 16, 3), index % 256, dtype=torch.uint8),
            label_K=self.made.label_NK[index],
            transition_K=self.made.transition_NK[index],
            clip=self.made.clip_N[index],
            start=self.made.start_N[index],
            recording=self.made.clip_N[index],
            time=self.made.start_N[index],
            window=torch.tensor(index),
        )

    def labels(self, epoch: int) -> npt.NDArray[np.int64]:
        return self.made.label_NK.numpy()

    def fingerprint(self) -> str:
        return "made"

    def imu_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return (3.0, 4.0, 0.5), (1.0, 1.0, 1.0)
