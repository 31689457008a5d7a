"""Windows to augment: seven sensors on the lower body, and frames that are not square."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.augment import Augmentation, Draws, stack
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.data.base import NO_MOTION

SEGMENTS = ("Pelvis", *(f"{side}_{part}" for side in ("Right", "Left") for part in ("Upper_Leg", "Lower_Leg", "Foot")))
CHANNELS = tuple(f"{kind}_{segment}_{axis}" for kind in ("acc", "gyro") for segment in SEGMENTS for axis in "xyz")
IMU = ImuSpec(CHANNELS, ("m/s^2",) * 21 + ("rad/s",) * 21, rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=3, crop=24, short_side=28, window=2.0, mean=(0.45, 0.4, 0.5), std=(0.225, 0.2, 0.25))
HEIGHT, WIDTH = 28, 37


def imu_windows(count: int, seed: int = 0) -> Tensor:
    """[count, 120, 42] float32."""
    return torch.randn(count, IMU.samples, len(CHANNELS), generator=torch.Generator().manual_seed(seed)) * 5


def video_windows(count: int, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Return [count, 3, height, width, 3] uint8. The frames are smooth, so that resampling changes them little."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shades = np.empty((count, VIDEO.frames, height, width, 3))
    for place in np.ndindex(count, VIDEO.frames, 3):
        down, across, phase = rng.uniform(0.05, 0.6, 3)
        shades[place[0], place[1], :, :, place[2]] = np.sin(y * down + phase) + np.cos(x * across - phase)
    return torch.from_numpy((127 + 60 * shades).clip(0, 255).astype(np.uint8))


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    """One generator for each of many windows."""
    return [np.random.default_rng([seed, index]) for index in range(count)]


def sampled(augmentation: Augmentation, imu_BLC: Tensor, video_BTHWC: Tensor) -> tuple[Tensor, Tensor, Draws]:
    """Return a batch as the loader does, with a random generator for each window."""
    rngs = generators(len(imu_BLC))
    samples = [
        augmentation.sample(rng, imu_LC.numpy(), video_THWC.numpy())
        for rng, imu_LC, video_THWC in zip(rngs, imu_BLC, video_BTHWC, strict=True)
    ]
    imus, videos, draws = zip(*samples, strict=True)
    return torch.from_numpy(np.stack(imus)), torch.from_numpy(np.stack(videos)), stack(draws)


def applied(augmentation: Augmentation, imu_BLC: Tensor, video_BTHWC: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return a batch without measured motion as the encoders get it."""
    motion_BMYX3 = NO_MOTION.expand(len(imu_BLC), *NO_MOTION.shape)
    return augmentation.apply(imu_BLC, video_BTHWC, motion_BMYX3, draws)[:2]


def augmented(augmentation: Augmentation, imu_BLC: Tensor, video_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
    """Draw for a batch and return it as the encoders get it."""
    return applied(augmentation, *sampled(augmentation, imu_BLC, video_BTHWC))
