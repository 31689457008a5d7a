"""Augmenting pixels and then measuring motion with the package's fronts equals augmenting the measured motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.rendered_motion import COLUMNS, FPS, HEIGHT, ROWS, WIDTH, moving_pictures
from torch import Tensor

from revalexo_clip.augment.base import Pixels, mirrored
from revalexo_clip.augment.motion import cover_motion, resample_motion
from revalexo_clip.motion import FRONTS, FrontName

MOVES = [((4.3, -2.7), 0.0), ((-3.0, 1.5), 0.015), ((0.4, 3.6), -0.01)]
PIXEL = FPS / WIDTH
"""One pixel from frame to frame [picture widths / s]."""


def measured(name: FrontName, frames_THW: Pixels) -> Tensor:
    """Return the motion [1, 1, Y, X, 3] between two frames, [picture widths / s]."""
    first, second = torch.from_numpy(np.ascontiguousarray(frames_THW))
    height, width = first.shape
    motion_BYX3: Tensor = FRONTS[name](height, width, ROWS, COLUMNS)(first[None], second[None])
    return motion_BYX3[None] * torch.tensor([FPS, FPS, 1.0])


def part_of(frames_THW: Pixels, box: tuple[float, ...]) -> Pixels:
    """Cut out a part of pictures; mirrored if its left edge is greater than its right edge."""
    top, left, bottom, right = np.round(np.array(box) * [HEIGHT, WIDTH, HEIGHT, WIDTH]).astype(np.int64)
    part_THW = frames_THW[:, top:bottom, min(left, right) : max(left, right)]
    return part_THW[:, :, ::-1] if left > right else part_THW


@pytest.mark.parametrize("name", list(FRONTS))
@pytest.mark.parametrize(("shift", "zoom"), MOVES)
@pytest.mark.parametrize(
    ("box", "pixels"), [((0.1, 0.2, 0.8, 0.9), 0.2), ((0.25, 0.8, 0.9, 0.15), 0.2), ((0.0, 0.4, 0.6, 1.0), 0.7)]
)
def test_a_crop(
    box: tuple[float, ...], pixels: float, shift: tuple[float, float], zoom: float, name: FrontName
) -> None:
    # At the edge of the picture (the last part), the motion of the outermost cells continues.
    frames = moving_pictures(shift, zoom)[..., 0]
    found = resample_motion(measured(name, frames), torch.tensor(box)[None])
    expected = measured(name, part_of(frames, box))
    torch.testing.assert_close(found[..., :2], expected[..., :2], rtol=0, atol=pixels * PIXEL)
    torch.testing.assert_close(found[..., 2], expected[..., 2], rtol=0, atol=0.1)


@pytest.mark.parametrize("name", list(FRONTS))
def test_a_mirror(name: FrontName) -> None:
    frames = moving_pictures((4.0, -2.0), 0.015)[..., 0]
    found = resample_motion(measured(name, frames), torch.from_numpy(mirrored())[None])
    torch.testing.assert_close(found, measured(name, frames[:, :, ::-1]), rtol=0, atol=0.02 * PIXEL)


@pytest.mark.parametrize("name", list(FRONTS))
def test_covered_cells(name: FrontName) -> None:
    frames = moving_pictures((4.0, -2.0), 0.015)[..., 0]
    found = cover_motion(measured(name, frames), torch.tensor([[0.0, 0.25, 2 / 3, 0.75]]))
    frames[:, : HEIGHT * 2 // 3, WIDTH // 4 : WIDTH * 3 // 4] = 127
    expected = measured(name, frames)
    assert (found[0, 0, :2, 1:3] == 0).all()
    assert expected[0, 0, :2, 1:3, 2].max() < 0.01
    open_YX = found[0, 0, ..., 2] > 0
    torch.testing.assert_close(found[0, 0][open_YX], expected[0, 0][open_YX], rtol=0, atol=0.2 * PIXEL)
