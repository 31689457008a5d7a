from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.augment_specs import CHANNELS, IMU, VIDEO, generators, imu_windows, video_windows
from support.rendered_motion import COLUMNS, ROWS
from torch import Tensor

from revalexo_clip.augment import (
    Augmentation,
    Augmented,
    ColorJitter,
    Draws,
    Grayscale,
    HorizontalFlip,
    JointAugmentation,
    JointDraw,
    Mirror,
    PerWindowVideo,
    RandomErasing,
    RandomResizedCrop,
    Shown,
    VideoAugmentation,
    View,
    ViewAugmentation,
    stack,
)
from revalexo_clip.augment.base import Draw, Pixels, mirrored, whole
from revalexo_clip.augment.motion import cover_motion, mirror_motion, resample_motion
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec

MOTION = MotionSpec(rate=15.0, window=2.0, rows=ROWS, columns=COLUMNS)
WITH_MOTION = replace(VIDEO, motion=MOTION)


def pipeline(
    video: tuple[VideoAugmentation, ...] = (),
    joint: tuple[JointAugmentation, ...] = (),
    spec: VideoSpec = WITH_MOTION,
) -> Augmentation:
    return Augmentation((), video, joint, imu_spec=IMU, video_spec=spec)


def motion_windows(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    motion = torch.randn(count, MOTION.moments, ROWS, COLUMNS, 2, generator=generator)
    return torch.cat([motion, torch.rand(count, MOTION.moments, ROWS, COLUMNS, 1, generator=generator)], dim=-1)


def augmented(
    augmentation: Augmentation, video_BTHWC: Tensor, motion_BMYX3: Tensor, seed: int = 0
) -> tuple[Augmented, Draws]:
    imu_BLC = imu_windows(len(video_BTHWC))
    sampled = [
        augmentation.sample(rng, imu_LC.numpy(), video_THWC.numpy())
        for rng, imu_LC, video_THWC in zip(generators(len(imu_BLC), seed), imu_BLC, video_BTHWC, strict=True)
    ]
    imus, videos, draws = zip(*sampled, strict=True)
    sampled_BLC, sampled_BTHWC = (torch.from_numpy(np.stack(field)) for field in (imus, videos))
    return augmentation.apply(sampled_BLC, sampled_BTHWC, motion_BMYX3, stack(draws)), stack(draws)


class Undeclared(VideoAugmentation):
    """Invert colours without saying what that does to motion; in tests only."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        return np.ones((), dtype=np.float32)

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        return -video_B3THW


class HalfTrusted(Undeclared):
    """Say that confidence is halved; in tests only."""

    def apply_to_motion(self, motion_BMYX3: Tensor, drawn: Tensor, shown: Shown) -> Tensor:
        return motion_BMYX3 * motion_BMYX3.new_tensor([1, 1, 0.5])


class UndeclaredNegative(PerWindowVideo):
    """Return the frames as a negative; in tests only."""

    def __call__(self, video_THWC: Pixels, rng: np.random.Generator, spec: VideoSpec) -> Pixels:
        return 255 - video_THWC


class UpperHalf(ViewAugmentation):
    """Show the upper half; in tests only."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        return np.array([0, 0, 0.5, 1], dtype=np.float32)


class Both(JointAugmentation):
    """Change nothing, and say nothing; in tests only."""

    def sample(self, rng: np.random.Generator, imu_spec: ImuSpec, video_spec: VideoSpec) -> JointDraw:
        return JointDraw(whole(), whole())

    def apply(self, imu_BLC: Tensor, video_B3THW: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        return imu_BLC, video_B3THW


# The grid


def test_the_whole_picture_keeps_its_motion_bit_for_bit_and_mirroring_twice_gives_it_back() -> None:
    motion = motion_windows(2)
    assert torch.equal(resample_motion(motion, torch.from_numpy(whole()).repeat(2, 1)), motion)
    once = resample_motion(motion, torch.from_numpy(mirrored()).repeat(2, 1))
    assert torch.equal(once, mirror_motion(motion))
    assert torch.equal(once[:, :, :, 0, 0], -motion[:, :, :, -1, 0])
    assert torch.equal(once[:, :, :, 0, 1:], motion[:, :, :, -1, 1:])
    assert torch.equal(mirror_motion(once), motion)


def test_motion_is_interpolated_by_confidence() -> None:
    motion = torch.zeros(1, 1, 1, 4, 3)
    motion[0, 0, 0, :, 0] = torch.tensor([1.0, 9.0, 3.0, 3.0])
    motion[0, 0, 0, :, 2] = torch.tensor([1.0, 0.0, 1.0, 1.0])
    part = resample_motion(motion, torch.tensor([[0.0, 0.0, 0.5, 0.5]]))[0, 0, 0]
    # Centres of the new cells in cells of the picture: -0.25, 0.25, 0.75, 1.25; the second has no say.
    torch.testing.assert_close(part[:, 0], torch.tensor([1.0, 1.0, 1.0, 3.0]) / 0.5)
    torch.testing.assert_close(part[:, 2], torch.tensor([1.0, 0.75, 0.25, 0.25]))


def test_cells_outside_of_the_picture_lose_confidence() -> None:
    motion = torch.ones(1, 1, 2, 4, 3)
    part = resample_motion(motion, torch.tensor([[0.0, -0.375, 1.0, 0.625]]))[0, 0]
    torch.testing.assert_close(part[0, :, 2], torch.tensor([0.0, 0.5, 1.0, 1.0]))
    assert part[0, :, 0].tolist() == [0, 1, 1, 1]


def test_a_cell_loses_the_share_of_its_confidence_that_is_covered() -> None:
    motion = torch.full((1, 2, 2, 4, 3), 0.8)
    covered = cover_motion(motion, torch.tensor([[0.0, 0.25, 0.75, 0.875]]))[0, 0]
    torch.testing.assert_close(covered[0, :, 2], 0.8 * torch.tensor([1.0, 0.0, 0.0, 0.5]))
    torch.testing.assert_close(covered[1, :, 2], 0.8 * torch.tensor([1.0, 0.5, 0.5, 0.75]))
    torch.testing.assert_close(covered[0, :, 0], torch.tensor([0.8, 0.0, 0.0, 0.8]))
    assert torch.equal(cover_motion(motion, torch.zeros(1, 4)), motion)


# The pipeline


def test_without_augmentation_motion_does_not_change_and_frames_are_the_centre_crop() -> None:
    video_BTHWC, motion = video_windows(3), motion_windows(3)
    result, _ = augmented(pipeline(), video_BTHWC, motion)
    assert torch.equal(result.motion_BMYX3, motion)
    plain, _ = augmented(pipeline(spec=VIDEO), video_BTHWC, motion)
    assert torch.equal(result.video_B3THW, plain.video_B3THW)


def test_mirror_mirrors_motion_with_the_body_and_the_frames() -> None:
    video_BTHWC, motion = video_windows(12), motion_windows(12)
    result, draws = augmented(pipeline(joint=(Mirror(),)), video_BTHWC, motion)
    turned_B = draws.view[:, 1] > draws.view[:, 3]
    assert 0 < turned_B.sum() < 12
    assert torch.equal(result.motion_BMYX3[turned_B], mirror_motion(motion)[turned_B])
    assert torch.equal(result.motion_BMYX3[~turned_B], motion[~turned_B])
    lateral = CHANNELS.index("acc_Pelvis_y")
    assert torch.equal(result.imu_BLC[turned_B][..., lateral], -imu_windows(12)[turned_B][..., lateral])


def test_a_crop_acts_on_frames_and_motion_and_frames_are_its_centre() -> None:
    crop = RandomResizedCrop(scale=(0.4, 0.6), ratio=None)
    video_BTHWC, motion = video_windows(6), motion_windows(6)
    result, draws = augmented(pipeline((crop,), (Mirror(),)), video_BTHWC, motion)
    assert torch.equal(result.motion_BMYX3, resample_motion(motion, draws.view))
    high, wide = (draws.view[:, 2] - draws.view[:, 0], (draws.view[:, 3] - draws.view[:, 1]).abs())
    torch.testing.assert_close(high, wide)
    assert ((high**2 >= 0.4 - 1e-5) & (high**2 <= 0.6 + 1e-5)).all()
    without, _ = augmented(pipeline((crop,), (Mirror(),), VIDEO), video_BTHWC, motion)
    assert torch.equal(result.video_B3THW, without.video_B3THW)


def test_a_crop_that_only_zooms_shows_squares_of_the_picture() -> None:
    edges, _ = pipeline((RandomResizedCrop(scale=(0.5, 0.5), ratio=None),)).draw(np.random.default_rng(0), (180, 320))
    top, left, bottom, right = edges.tolist()
    assert bottom - top == pytest.approx(24 * 0.5**0.5, abs=1.01)
    assert right - left == pytest.approx(24 * 0.5**0.5, abs=1.01)


def test_colours_do_nothing_to_motion() -> None:
    motion = motion_windows(4)
    result, _ = augmented(pipeline((ColorJitter(p=1), HalfTrusted(), Grayscale(p=1))), video_windows(4), motion)
    assert torch.equal(result.motion_BMYX3, motion * torch.tensor([1, 1, 0.5]))


def test_erasing_covers_the_same_place_of_the_picture_in_frames_and_motion() -> None:
    motion = torch.ones(8, MOTION.moments, 1, 37, 3)
    spec = replace(VIDEO, motion=replace(MOTION, rows=1, columns=37))
    result, draws = augmented(pipeline((RandomErasing(p=1),), spec=spec), video_windows(8), motion)
    for (top, left, bottom, right), window in zip(draws.video[0].tolist(), result.motion_BMYX3, strict=True):
        expected = torch.ones(37)
        expected[6 + int(left) : 6 + int(right)] -= (bottom - top) / 28  # of 37 x 28 pixels, the frames show 24 x 24
        torch.testing.assert_close(window[0, 0, :, 2], expected)


def test_windows_may_have_motion_and_no_frames() -> None:
    spec = replace(WITH_MOTION, frames=0)
    everything = (ColorJitter(p=1), RandomResizedCrop(scale=(0.5, 0.5), ratio=None), RandomErasing(p=1))
    no_frames, motion = torch.empty(4, 0, 0, 0, 3, dtype=torch.uint8), motion_windows(4)
    result, draws = augmented(pipeline(everything, (Mirror(),), spec), no_frames, motion)
    assert result.video_B3THW.shape[:3] == (4, 3, 0)
    zoomed = resample_motion(motion, draws.view)
    assert torch.equal(result.motion_BMYX3, cover_motion(zoomed, draws.video[0] / VIDEO.crop))


def test_the_motion_of_a_window_does_not_depend_on_its_batch() -> None:
    augmentation = pipeline((RandomResizedCrop(ratio=None), RandomErasing(p=1)), (Mirror(),))
    motion = motion_windows(7)
    together, _ = augmented(augmentation, video_windows(7), motion)
    first, _ = augmented(augmentation, video_windows(7)[:2], motion[:2])
    assert torch.equal(together.motion_BMYX3[:2], first.motion_BMYX3)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ((HorizontalFlip(),), r"HorizontalFlip mirrors .* use Mirror in joint_augment"),
        ((RandomResizedCrop(),), r"RandomResizedCrop requires ratio=None"),
        ((UpperHalf(),), r"UpperHalf does not say that it only zooms.* define UpperHalf\.only_zooms"),
        ((Undeclared(),), r"Undeclared does not say what it does to motion; define Undeclared\.apply_to_motion"),
        ((UndeclaredNegative(),), r"define UndeclaredNegative\.apply_to_motion"),
        ((HalfTrusted(), RandomResizedCrop(ratio=None)), r"RandomResizedCrop must come before HalfTrusted"),
    ],
)
def test_augmentations_that_do_not_fit_measured_motion_are_refused(
    video: tuple[VideoAugmentation, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        pipeline(video)
    pipeline(video, spec=VIDEO)


def test_a_joint_augmentation_says_what_it_does_to_motion() -> None:
    with pytest.raises(ConfigError, match=r"joint_augment: .* define Both\.apply_to_motion"):
        pipeline(joint=(Both(),))
    pipeline(joint=(Both(),), spec=VIDEO)
