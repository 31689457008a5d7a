"""Small pictures of windows."""

from __future__ import annotations

import re
from base64 import b64decode

import numpy as np
import pytest
import simplejpeg
import torch

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.reports.html.evaluation.examples import (
    FRAMES,
    SIDE,
    motion_curves,
    motion_plot,
    sensor_curves,
    shown_sensors,
    strip,
)


def decoded(drawn: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found = re.search(r"base64,([^\"]+)", drawn)
    assert found is not None
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = simplejpeg.decode_jpeg(b64decode(found[1]))
    return picture


def test_a_strip_shows_frames_in_their_order() -> None:
    grey_T = torch.tensor([10, 90, 170, 250], dtype=torch.uint8)
    picture_HWC = decoded(strip(grey_T[:, None, None, None].expand(4, 16, 16, 3), "4 frames"))
    assert picture_HWC.shape == (16, 64, 3)
    assert picture_HWC.mean(axis=(0, 2)).reshape(4, 16).mean(axis=1) == pytest.approx([10, 90, 170, 250], abs=2)


def test_large_frames_and_many_are_made_fewer_and_smaller() -> None:
    video_THWC = torch.arange(16, dtype=torch.uint8)[:, None, None, None].expand(16, 150, 150, 3)
    picture_HWC = decoded(strip(video_THWC, "16 frames"))
    assert picture_HWC.shape == (SIDE, FRAMES * SIDE, 3)
    assert picture_HWC[:, -SIDE:].mean() == pytest.approx(15, abs=1.5)


def test_curves_of_motion_are_the_mean_of_the_cells_by_their_confidence() -> None:
    motion_MYX3 = torch.zeros(3, 1, 2, 3)
    motion_MYX3[0, 0] = torch.tensor([[1.0, -2.0, 0.75], [5.0, 2.0, 0.25]])
    motion_MYX3[1, 0] = torch.tensor([[1.0, -2.0, 0.0], [5.0, 2.0, 0.5]])
    motion_MYX3[2, 0, :, 0] = 9.0  # without any confidence
    assert motion_curves(motion_MYX3).tolist() == [[2.0, -1.0], [5.0, 2.0], [0.0, 0.0]]
    drawn = motion_plot(motion_MYX3, 2.0, "motion of a video")
    assert drawn.startswith("<svg")
    assert 'aria-label="motion of a video"' in drawn


def test_curves_are_the_lengths_of_vectors() -> None:
    channels = ("acc_Pelvis_x", "acc_Pelvis_y", "acc_Left_Foot_x", "gyro_Pelvis_x", "temperature")
    spec = ImuSpec(channels, ("m/s^2", "m/s^2", "m/s^2", "rad/s", "C"), rate=1.0, window=2.0)
    found = sensor_curves(torch.tensor([[3.0, 4.0, -2.0, 0.5, 20.0], [0.0, 1.0, 0.0, -1.0, 21.0]]), spec)
    assert {kind: list(sensors) for kind, sensors in found.items()} == {
        "acc": ["Pelvis", "Left_Foot"],
        "gyro": ["Pelvis"],
        "temperature": [""],
    }
    assert found["acc"]["Pelvis"].tolist() == [5.0, 1.0]
    assert found["acc"]["Left_Foot"].tolist() == [2.0, 0.0]
    assert found["gyro"]["Pelvis"].tolist() == [0.5, 1.0]


def test_of_many_sensors_some_are_shown() -> None:
    assert shown_sensors(list("abcdefg")) == ["a", "d", "g"]
    assert shown_sensors(["a", "b"]) == ["a", "b"]
