from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.augment_specs import VIDEO, generators

from revalexo_clip.augment import HorizontalFlip, RandomResizedCrop, View
from revalexo_clip.augment.base import mirrored, whole

DRAWS = 3000


def crops(height: float, width: float, count: int = DRAWS) -> list[View]:
    frame = View(0, 0, height, width)
    return [frame.part(RandomResizedCrop().sample(rng, VIDEO, frame)) for rng in generators(count)]


@pytest.mark.parametrize(("height", "width"), [(182, 242), (256, 340), (300, 200), (224, 224)])
def test_crops_have_the_area_and_the_ratio_asked_for_and_lie_inside(height: int, width: int) -> None:
    views = crops(height, width)
    shares = np.array([view.height * view.width / (height * width) for view in views])
    ratios = np.array([view.width / view.height for view in views])
    assert shares.min() >= 0.6 - 1e-6
    assert shares.max() <= 1 + 1e-6
    assert ratios.min() >= 3 / 4 - 1e-6
    assert ratios.max() <= 4 / 3 + 1e-6
    assert all(view.top >= 0 and view.bottom <= height + 1e-4 for view in views)
    assert all(view.left >= 0 and view.right <= width + 1e-4 for view in views)


def test_crops_have_all_positions_and_sizes() -> None:
    views = crops(300, 300)
    shares = np.array([view.height * view.width / 300**2 for view in views])
    assert shares.min() < 0.61
    assert shares.max() > 0.97
    middles = np.array([[view.top + view.bottom, view.left + view.right] for view in views]) / 600
    np.testing.assert_allclose(middles.mean(0), 0.5, atol=0.01)
    above, left = (middles < 0.5).mean(0)
    assert above == pytest.approx(0.5, abs=0.05)
    assert left == pytest.approx(0.5, abs=0.05)
    ratios = np.log([view.width / view.height for view in views])
    assert abs(ratios.mean()) < 0.01


@pytest.mark.long
def test_the_middle_is_used_if_no_rectangle_fits() -> None:
    (view,) = set(crops(20, 400, 5))
    assert view.height == pytest.approx(20)
    assert view.width == pytest.approx(20 * 4 / 3, rel=1e-4)
    assert view.left + view.right == pytest.approx(400, rel=1e-4)


def test_in_wide_frames_half_of_the_windows_show_the_middle_as_in_torchvision() -> None:
    for height, width, low, high in ((360, 640, 0.46, 0.52), (360, 480, 0.0, 0.01)):
        views = crops(height, width)
        middle = sum(view.height == height and view.left + view.right == width for view in views)
        assert low <= middle / DRAWS <= high


@pytest.mark.parametrize(("height", "width"), [(360, 640), (640, 360), (300, 300)])
def test_with_the_ratio_of_the_frame_every_rectangle_fits(height: int, width: int) -> None:
    frame, crop = View(0, 0, height, width), RandomResizedCrop(scale=(0.5, 0.9), ratio=None)
    assert crop.only_zooms
    assert not RandomResizedCrop().only_zooms
    views = [frame.part(crop.sample(rng, VIDEO, frame)) for rng in generators(DRAWS)]
    assert len(set(views)) == DRAWS
    np.testing.assert_allclose([view.width / view.height for view in views], width / height, rtol=1e-5)
    shares = np.array([view.height * view.width / (height * width) for view in views])
    assert (shares.min(), shares.max()) == pytest.approx((0.5, 0.9), abs=0.01)
    assert all(view.top >= 0 and view.bottom <= height + 1e-3 for view in views)
    assert all(view.left >= 0 and view.right <= width + 1e-3 for view in views)


def test_flips_have_the_given_probability() -> None:
    frame = View(0, 0, 20, 30)
    flipped = [frame.part(HorizontalFlip().sample(rng, VIDEO, frame)) for rng in generators(DRAWS)]
    assert set(flipped) == {View(0, 0, 20, 30), View(0, 30, 20, 0)}
    assert np.mean([view.left > view.right for view in flipped]) == pytest.approx(0.5, abs=0.03)


share = st.floats(0, 1, width=32)


@given(share, share, share, share)
def test_parts_of_a_mirrored_view_are_counted_from_the_right(
    top: float, left: float, bottom: float, right: float
) -> None:
    frame = View(0, 0, 100, 200)
    turned = frame.part(mirrored())
    box = np.array([top, left, bottom, right], dtype=np.float32)
    part, turned_part = frame.part(box), turned.part(box)
    assert turned_part.left == pytest.approx(200 - part.left)
    assert turned_part.right == pytest.approx(200 - part.right)
    assert (turned_part.top, turned_part.bottom) == (part.top, part.bottom)
    assert turned.part(mirrored()) == frame == frame.part(whole())
    assert turned_part.width == pytest.approx(part.width)


def test_on_finished_frames_a_flip_is_a_flip() -> None:
    video_B3THW = torch.randn(2, 3, 4, 6, 6)
    drawn = torch.from_numpy(np.stack([mirrored(), whole()]))
    flipped = HorizontalFlip().apply(video_B3THW, drawn)
    assert torch.equal(flipped[0], video_B3THW[0].flip(-1))
    assert torch.equal(flipped[1], video_B3THW[1])


def test_on_finished_frames_a_crop_is_stretched_to_their_size() -> None:
    ramp = torch.arange(8.0).expand(1, 3, 2, 8, 8)
    half = torch.tensor([[0.0, 0.5, 1.0, 1.0]])
    stretched = RandomResizedCrop().apply(ramp, half)
    torch.testing.assert_close(stretched[0, 0, 0, 0], torch.tensor([4, 4.25, 4.75, 5.25, 5.75, 6.25, 6.75, 7]))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValidationError, match="a share must be at most 1"):
        RandomResizedCrop(scale=(0.5, 1.5))
    with pytest.raises(ValidationError, match="must be greater than 0"):
        RandomResizedCrop(ratio=(0.0, 1.5))
