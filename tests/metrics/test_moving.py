"""Windows that move and windows that are still."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from support.made_windows import made_windows

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.galleries import WHOLE, measure_retrieval, rank_galleries
from revalexo_clip.metrics.moving import LEAST_DEVIATION, moving

UNITS = ("m/s^2", "m/s^2", "rad/s")


def window(acc: float, gyro: float) -> torch.Tensor:
    """A window [120, 3] with gravity, and a sine of these standard deviations on its second axis and its gyroscope."""
    wave = 2**0.5 * torch.sin(torch.arange(120) * 2 * torch.pi / 60)
    return torch.stack([torch.full((120,), 9.81), acc * 2**0.5 * wave, gyro * wave], dim=1)


def test_gravity_is_no_motion_and_either_sensor_is_enough() -> None:
    least_acc, least_gyro = LEAST_DEVIATION["m/s^2"], LEAST_DEVIATION["rad/s"]
    windows = [
        window(0, 0),
        window(0.99 * least_acc, 0.99 * least_gyro),
        window(1.01 * least_acc, 0),
        window(0, 1.01 * least_gyro),
    ]
    assert moving(torch.stack(windows), UNITS).tolist() == [False, False, True, True]


def test_channels_of_other_units_are_left_out() -> None:
    imu_BLC = torch.stack([window(0, 0), window(0, 1)])
    assert moving(imu_BLC, ("m/s^2", "m/s^2", "deg/s")).tolist() == [False, False]
    assert moving(imu_BLC, ("g", "g", "deg/s")).tolist() == [True, True]


def test_moving_windows_are_queries_among_all_windows() -> None:
    windows = made_windows(subjects=2)
    assert windows.moving_N is not None
    galleries = rank_galleries(windows)
    found = measure_retrieval(windows, galleries, TimeBootstrap(units_of(windows), resamples=50))
    motion = cast("dict[str, JsonObject]", found["motion"])
    moves_N = windows.moving_N.numpy()
    for name, selected_N in (("moving", moves_N), ("still", ~moves_N)):
        rank_N = galleries[WHOLE].found_at("imu_to_video")[selected_N]
        direction = cast("JsonObject", motion[name]["imu_to_video"])
        assert motion[name]["windows"] == selected_N.sum()
        assert motion[name]["gallery_size"] == len(windows)
        assert direction["mrr"] == pytest.approx(np.mean(1 / rank_N))
