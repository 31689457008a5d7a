from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.augment_specs import VIDEO, video_windows
from torch import Tensor
from torch.nn.functional import interpolate

from revalexo_clip.augment.base import View
from revalexo_clip.augment.color import brighten, normalization
from revalexo_clip.augment.render import Edges, map_colors, resample, show, whole_pixels

NORMALIZE = torch.from_numpy((normalization(VIDEO) @ brighten(1 / 255))[:3].astype(np.float32))
VIEWS = np.array([[0, 0, 28, 37], [3, 30, 26, 4], [1, 2, 25, 26], [10, 20, 18, 28], [0, 36, 28, 1], [2, 5, 27, 36]])


def plain(video_THWC: Tensor, view: Edges, crop: int) -> Tensor:
    """Crop, resize, flip and normalise frame by frame, in floats."""
    top, left, bottom, right = view.tolist()
    frames = []
    for frame_HWC in video_THWC:
        cropped_CHW = frame_HWC[top:bottom, min(left, right) : max(left, right)].permute(2, 0, 1).double()
        resized = interpolate(cropped_CHW[None], (crop, crop), mode="bilinear", align_corners=False, antialias=True)[0]
        turned = torch.flip(resized, dims=[2]) if left > right else resized
        mean, std = (torch.tensor(value).view(3, 1, 1) for value in (VIDEO.mean, VIDEO.std))
        frames.append((turned / 255 - mean) / std)
    return torch.stack(frames, dim=1).float()


def rendered_by(video_BTHWC: Tensor, views: np.ndarray, color_B34: Tensor, crop: int) -> Tensor:
    """Run both steps one after the other."""
    shown = [show(video_THWC.numpy(), view, crop) for video_THWC, view in zip(video_BTHWC, views, strict=True)]
    return map_colors(torch.from_numpy(np.stack(shown)), color_B34)


def test_a_single_resampling_equals_crop_resize_and_flip() -> None:
    video_BTHWC = video_windows(len(VIEWS))
    rendered = rendered_by(video_BTHWC, VIEWS, NORMALIZE.expand(len(VIEWS), 3, 4), VIDEO.crop)
    assert rendered.shape == (6, 3, 3, 24, 24)
    assert rendered.dtype == torch.float32
    assert rendered.is_contiguous()
    step = 1 / 255 / min(VIDEO.std)
    for row in range(len(VIEWS)):
        difference = (rendered[row] - plain(video_BTHWC[row], VIEWS[row], VIDEO.crop)).abs()
        assert difference.max() < 1.51 * step  # both passes round to bytes
        assert difference.mean() < 0.5 * step


def test_a_view_of_the_crops_size_is_not_resampled() -> None:
    video_BTHWC = video_windows(1)
    rendered = rendered_by(video_BTHWC, np.array([[1, 2, 25, 26]]), NORMALIZE[None], VIDEO.crop)
    colors = video_BTHWC[:, :, 1:25, 2:26].double() / 255
    expected = (colors - torch.tensor(VIDEO.mean)) / torch.tensor(VIDEO.std)
    torch.testing.assert_close(rendered, expected.permute(0, 4, 1, 2, 3).float(), rtol=1e-5, atol=1e-5)


def test_the_colours_of_a_clip_do_not_depend_on_its_batch() -> None:
    video_BTHWC, color_B34 = video_windows(4, height=24, width=24), torch.randn(4, 3, 4) / 255
    together = map_colors(video_BTHWC, color_B34)
    for row in range(4):
        one = slice(row, row + 1)
        assert torch.equal(map_colors(video_BTHWC[one], color_B34[one])[0], together[row])


@pytest.mark.parametrize(
    "size", [(2, 128, 128), (3, 111, 97), (1, 5, 7)], ids=["whole pieces", "a rest", "less than one"]
)
def test_colours_that_are_mapped_in_pieces_are_those_of_one_product(size: tuple[int, int, int]) -> None:
    video_BTHWC = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    color_B34 = torch.randn(2, 3, 4) / 255
    homogeneous = torch.cat([video_BTHWC.double(), torch.ones(2, *size, 1, dtype=torch.float64)], dim=-1)
    expected = torch.einsum("bcd,bthwd->bcthw", color_B34.double(), homogeneous)
    torch.testing.assert_close(map_colors(video_BTHWC, color_B34).double(), expected, rtol=1e-5, atol=1e-5)


def test_the_result_is_a_contiguous_copy() -> None:
    video_THWC = video_windows(1)[0].numpy()
    for view in ([2, 6, 26, 30], [2, 30, 26, 6], [0, 0, 28, 37]):
        shown_THWC = show(video_THWC, np.array(view), 24)
        assert shown_THWC.shape == (3, 24, 24, 3)
        assert shown_THWC.flags.c_contiguous
        assert not np.shares_memory(shown_THWC, video_THWC)


@pytest.mark.parametrize("size", [(24, 24), (20, 31)])
def test_bytes_are_resampled_to_within_one_step_of_floats(size: tuple[int, int]) -> None:
    noise_T3HW = torch.randint(0, 256, (4, 3, 40, 50), dtype=torch.uint8)
    view = np.array([2, 45, 38, 3])
    fast, exact = resample(noise_T3HW, view, size), resample(noise_T3HW.float(), view, size)
    assert fast.dtype == torch.uint8
    assert (fast.float() - exact.round()).abs().max() <= 1


def test_all_frames_share_the_view() -> None:
    video_BTHWC = video_windows(1)[:, :1].expand(-1, 5, -1, -1, -1)
    rendered = rendered_by(video_BTHWC, VIEWS[1:2], NORMALIZE[None], VIDEO.crop)
    assert torch.equal(rendered, rendered[:, :, :1].expand(-1, -1, 5, -1, -1))


def test_shrinking_does_not_alias() -> None:
    stripes = torch.zeros(1, 1, 48, 48, 3, dtype=torch.uint8)
    stripes[..., ::2, :] = 255
    shades = rendered_by(stripes, np.array([[0, 0, 48, 48]]), torch.eye(3, 4)[None], 24)
    assert shades[..., 2:-2].min() > 100
    assert shades[..., 2:-2].max() < 155


sides = st.floats(-2, 42)


@given(sides, sides, sides, sides)
def test_edges_on_whole_pixels_stay_inside_and_keep_a_pixel(
    top: float, left: float, bottom: float, right: float
) -> None:
    first, start, last, end = whole_pixels(View(top, left, max(top, bottom), right), 30, 40).tolist()
    assert 0 <= first < last <= 30
    assert 0 <= min(start, end) < max(start, end) <= 40
    assert (start > end) == (left > right)
    assert whole_pixels(View(1.4, 20.6, 9.5, 3.2), 30, 40).tolist() == [1, 21, 10, 3]


def test_memory_of_an_earlier_batch_is_reused_if_it_fits() -> None:
    video_BTHWC = torch.randint(0, 256, (2, 3, 8, 8, 3), dtype=torch.uint8)
    color_B34 = torch.randn(2, 3, 4)
    fresh = map_colors(video_BTHWC, color_B34)
    old = torch.full_like(fresh, torch.nan)
    assert map_colors(video_BTHWC, color_B34, old) is old
    assert torch.equal(old, fresh)
    assert torch.equal(map_colors(video_BTHWC, color_B34, old[:1]), fresh)
