from __future__ import annotations

import numpy as np
import pytest
import torch
from support.augment_specs import generators

from revalexo_clip.augment import RandomErasing, View
from revalexo_clip.augment.erasing import covered
from revalexo_clip.core.types import VideoSpec

SPEC = VideoSpec(frames=4, crop=100, short_side=100, window=2.0)
WHOLE = View(0, 0, 100, 100)


def rectangles(count: int, p: float = 1.0) -> torch.Tensor:
    erasing = RandomErasing(p=p)
    return torch.from_numpy(np.stack([erasing.sample(rng, SPEC, WHOLE) for rng in generators(count)]))


def test_windows_are_erased_with_the_given_probability() -> None:
    assert (rectangles(3000, 0.3) != 0).any(1).double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_rectangles_have_the_area_and_the_ratio_asked_for_and_lie_inside() -> None:
    top, left, bottom, right = rectangles(2000).double().T
    height, width = bottom - top, right - left
    assert min(top.min(), left.min(), height.min() - 1, width.min() - 1) >= 0
    assert max(bottom.max(), right.max()) <= 100
    share, ratio = height * width / 100**2, width / height
    assert 0.018 < share.min() < 0.025
    assert 0.31 < share.max() < 0.335
    assert 0.27 < ratio.min() < 0.35
    assert 2.9 < ratio.max() < 3.6


def test_one_rectangle_is_covered_in_all_frames_and_nothing_else_is_touched() -> None:
    drawn = rectangles(6)
    video_B3THW = torch.randn(6, 3, 4, 100, 100)
    erased = RandomErasing().apply(video_B3THW.clone(), drawn)
    for row, (top, left, bottom, right) in enumerate(drawn.long().tolist()):
        inside = torch.zeros(100, 100, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert (erased[row][..., inside] == 0).all()
        assert torch.equal(erased[row][..., ~inside], video_B3THW[row][..., ~inside])


def test_the_mask_for_other_devices_covers_the_same_pixels() -> None:
    drawn = torch.cat([rectangles(6), torch.zeros(1, 4)])
    video_B3THW = torch.ones(7, 3, 4, 100, 100)
    erased = RandomErasing().apply(video_B3THW.clone(), drawn)
    assert torch.equal(video_B3THW.masked_fill(covered(drawn, 100, 100), 0), erased)
    assert (erased[6] == 1).all()
