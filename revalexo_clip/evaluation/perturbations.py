"""Perturbations of IMU windows [B, L, C]: a missing sensor, turned sensors, half the sampling rate.

They happen to the recording, so that the encoder's standardisation comes after them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.augment.sensors import mix, rotations, unmixed
from revalexo_clip.core.types import ImuSpec, parse, whole_triads

Perturb = Callable[[Tensor, Tensor], Tensor]
"""Maps IMU windows [B, L, C] and their recordings [B] to perturbed windows [B, L, C]."""


def as_recorded(imu_BLC: Tensor, recording_B: Tensor) -> Tensor:
    """Return the windows as they are."""
    return imu_BLC


def sensors(channels: Sequence[str]) -> dict[str, list[int]]:
    """Return the indices of all channels of each sensor, by body segment; other channels belong to none."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(channels):
        if (channel := parse(name)) is not None:
            found.setdefault(channel.segment, []).append(place)
    return found


def without_sensor(spec: ImuSpec, places: Sequence[int]) -> Perturb:
    """Silence channels: their training mean if the encoder standardises its input, else 0."""
    fill_C = torch.zeros(len(spec.channels)) if spec.mean is None else torch.tensor(spec.mean)

    def perturb(imu_BLC: Tensor, recording_B: Tensor) -> Tensor:
        silent_BLC = imu_BLC.clone()
        silent_BLC[..., list(places)] = fill_C[list(places)].to(imu_BLC)
        return silent_BLC

    return perturb


def turned(spec: ImuSpec, angle: float, seed: int) -> Perturb | None:
    """Rotate each sensor by `angle` [degrees] around a random axis, as if it was mounted in another orientation.

    Accelerometer and gyroscope of a sensor rotate together. Each recording and sensor has an axis of its own, which
    depends only on the seed. Sensors without all three axes stay as they are. None if there is no other sensor.
    """
    segments: dict[str, list[list[int]]] = {}
    for kind in ("acc", "gyro"):
        for segment, triad in whole_triads(spec.channels, kind).items():
            segments.setdefault(segment, []).append(triad)
    if not segments:
        return None

    @cache
    def drawn(recording: int) -> Tensor:
        rng = np.random.default_rng([seed, recording])
        axis_S3 = rng.standard_normal((len(segments), 3))
        terms_2C3 = unmixed(len(spec.channels), 3)
        angle_S = np.full(len(segments), np.radians(angle))
        for triads, rotation in zip(segments.values(), rotations(axis_S3, angle_S), strict=True):
            for triad in triads:
                terms_2C3[0, triad] = triad
                terms_2C3[1, triad] = rotation
        return torch.from_numpy(terms_2C3)

    def perturb(imu_BLC: Tensor, recording_B: Tensor) -> Tensor:
        terms_B2C3 = torch.stack([drawn(recording) for recording in recording_B.tolist()])
        return mix(imu_BLC, terms_B2C3.to(imu_BLC))

    return perturb


def half_rate(imu_BLC: Tensor, recording_B: Tensor) -> Tensor:
    """Keep every second sample, the first included, and interpolate the others linearly.

    A last sample that is not kept is that before it.
    """
    kept_BLC = imu_BLC[:, ::2]
    next_BLC = torch.cat([kept_BLC[:, 1:], kept_BLC[:, -1:]], dim=1)
    between_BLC = (kept_BLC + next_BLC) / 2
    return torch.stack([kept_BLC, between_BLC], dim=2).flatten(1, 2)[:, : imu_BLC.shape[1]]
