"""Simulated evaluation windows, without encoders or data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from revalexo_clip.core.types import ImuSpec, Sample, VideoSpec
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.base import NO_FEATURES, NO_MOTION, Windows
from revalexo_clip.data.windows import distinct_moments
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.robustness import NotPerturbed, Perturbed


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
        recording_N=torch.arange(count) // 8,
        time_N=0.5 * (torch.arange(count) % 8).double(),
        clip_subjects=tuple(f"Subject[{clip // clips}]" for clip in range(subjects * clips)),
        clip_names=tuple(map(str, range(subjects * clips))),
        activities=("[standing]", "walking", "never"),
        horizons=(0.0, 0.5),
        moving_N=torch.arange(count) % 4 > 0,
    )


def supervised(windows: EvaluatedWindows) -> EvaluatedWindows:
    """The same windows with features of a supervised reference, which know the activity better than the others."""
    rng = torch.Generator().manual_seed(9)
    known_NF = torch.randn(len(windows), 5, generator=rng) + 4.0 * windows.label_NK[:, :1]
    noise_NF = torch.randn(len(windows), 5, generator=rng) + 0.2 * windows.label_NK[:, :1]
    features = {**windows.features, "imu_untrained": noise_NF, "imu_supervised": known_NF}
    return replace(windows, features=features)


def perturbed(windows: EvaluatedWindows) -> list[Perturbed | NotPerturbed]:
    """Noise in place of each perturbation: two sensors are missing, one window leaves its clip, sensors do not turn."""
    rng, rows = torch.Generator().manual_seed(5), np.arange(len(windows))

    def noisy(name: str, noise: float, sensor: str | None = None, of: npt.NDArray[np.int64] = rows) -> Perturbed:
        imu_ND = windows.imu_ND + noise * torch.randn(windows.imu_ND.shape, generator=rng)
        features_NF = windows.features["imu"] + noise * torch.randn(windows.features["imu"].shape, generator=rng)
        unit_ND = torch.nn.functional.normalize(imu_ND, dim=1)
        return Perturbed(
            name, sensor, of, unit_ND[torch.from_numpy(of)], features_NF[torch.from_numpy(of)].double().numpy()
        )

    return [
        noisy("sensor_missing", 0.5, "Foot"),
        noisy("sensor_missing", 2.0, "Pelvis"),
        NotPerturbed("sensors_turned", "no sensor has channels of all three axes"),
        noisy("imu_late", 0.3, of=rows[1:]),
        noisy("imu_early", 0.3),
        noisy("half_rate", 0.1),
    ]


LENGTH, STEP, WINDOW, STRIDE = 12.0, 8.0, 2.0, 0.5
"""Clips of 12 s that start every 8 s, as those of RevalExo; windows of 2 s, one every 0.5 s."""


def made_pieces(subjects: int = 1, recordings: int = 1, clips: int = 8, *, distinct: bool = True) -> EvaluatedWindows:
    """Windows of clips that share seconds: so many clips of each recording, so many recordings of each subject.

    All embeddings are the same; `with_embeddings` sets others. Unless they are `distinct`, the windows of the shared
    seconds are there twice. The two activities follow each other every 20 s.
    """
    start_M = np.arange(0.0, LENGTH - WINDOW + STRIDE / 2, STRIDE)
    clip_count = subjects * recordings * clips
    recording_J, offset_J = np.arange(clip_count) // clips, STEP * (np.arange(clip_count) % clips).astype(np.float64)
    placed = Windows(np.repeat(np.arange(clip_count), len(start_M)), np.tile(start_M, clip_count))
    if distinct:
        placed = distinct_moments(placed, recording_J, offset_J, np.full(clip_count, LENGTH))
    clip_N = torch.from_numpy(placed.clip_N)
    time_N = torch.from_numpy(placed.start_N + offset_J[placed.clip_N])
    same_ND = torch.ones(len(placed), 1)
    label_N1 = (time_N // 20 % 2).long()[:, None]
    subject_J = recording_J // recordings
    return EvaluatedWindows(
        imu_ND=same_ND,
        video_ND=same_ND,
        features=dict.fromkeys(("imu", "imu_untrained", "handcrafted", "video"), same_ND),
        label_NK=label_N1,
        transition_NK=torch.zeros_like(label_N1, dtype=torch.bool),
        clip_N=clip_N,
        start_N=torch.from_numpy(placed.start_N),
        recording_N=torch.from_numpy(recording_J[placed.clip_N]),
        time_N=time_N,
        clip_subjects=tuple(f"Subject{subject}" for subject in subject_J),
        clip_names=tuple(f"Subject{subject}/{clip}" for clip, subject in enumerate(subject_J)),
        activities=("standing", "walking"),
        horizons=(0.0,),
    )


def with_embeddings(windows: EvaluatedWindows, known_ND: Tensor, noise: float) -> EvaluatedWindows:
    """Windows whose IMU and video embeddings are `known_ND` with independent noise."""
    rng = torch.Generator().manual_seed(1)
    noisy = (known_ND + noise * torch.randn(known_ND.shape, generator=rng) for _ in range(2))
    imu_ND, video_ND = (torch.nn.functional.normalize(x_ND, dim=1) for x_ND in noisy)
    return replace(windows, imu_ND=imu_ND, video_ND=video_ND)


def knowing_the_moment(windows: EvaluatedWindows, noise: float = 0.0) -> EvaluatedWindows:
    """Embeddings that depend on the time in the recording alone, as random Fourier features."""
    rng = torch.Generator().manual_seed(0)
    turns_D = 2 * torch.randn(256, generator=rng)
    phase_RD = 7 * torch.rand(int(windows.recording_N.max()) + 1, 256, generator=rng)
    known_ND = torch.cos(windows.time_N[:, None].float() * turns_D + phase_RD[windows.recording_N])
    return with_embeddings(windows, known_ND, noise)


def knowing_the_clip(windows: EvaluatedWindows, noise: float = 0.02) -> EvaluatedWindows:
    """Embeddings that depend on the clip alone, with tiny noise."""
    of_clip_JD = torch.randn(len(windows.clip_names), 64, generator=torch.Generator().manual_seed(0))
    return with_embeddings(windows, of_clip_JD[windows.clip_N], noise)


class MadeDataset(WindowDataset):
    """The dataset of `made_windows`: each pixel of a window is the window's number, modulo 256."""

    num_too_short = 0

    def __init__(self, windows: EvaluatedWindows) -> None:
        self.windows = Windows(windows.clip_N.numpy(), windows.start_N.numpy())
        self.clip_subjects = windows.clip_subjects
        self.clip_names = windows.clip_names
        clip_N, first_J = np.unique(windows.clip_N.numpy(), return_index=True)
        self.clip_recordings = np.zeros(len(windows.clip_names), dtype=np.int64)
        self.clip_recordings[clip_N] = windows.recording_N.numpy()[first_J]
        self.clip_offsets = np.zeros(len(windows.clip_names))
        self.clip_offsets[clip_N] = (windows.time_N - windows.start_N).numpy()[first_J]
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
            motion_MYX3=NO_MOTION,
            features_MP=NO_FEATURES,
            label_K=self.made.label_NK[index],
            transition_K=self.made.transition_NK[index],
            clip=self.made.clip_N[index],
            start=self.made.start_N[index],
            recording=self.made.recording_N[index],
            time=self.made.time_N[index],
            window=torch.tensor(index),
        )

    def labels(self, epoch: int) -> npt.NDArray[np.int64]:
        return self.made.label_NK.numpy()

    def fingerprint(self) -> str:
        return "made"

    def imu_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return (3.0, 4.0, 0.5), (1.0, 1.0, 1.0)
