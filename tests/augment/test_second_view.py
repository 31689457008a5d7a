from __future__ import annotations

import numpy as np
import pytest
import torch
from support.augment_specs import IMU, VIDEO, generators, imu_windows, video_windows
from torch import Tensor

from revalexo_clip.augment import (
    Augmentation,
    Augmented,
    ColorJitter,
    GaussianNoise,
    ImuAugmentation,
    ImuAugmentations,
    JointAugmentation,
    Mirror,
    PerWindowImu,
    RandomResizedCrop,
    Scale,
    SensorRotation,
    stack,
)
from revalexo_clip.augment.base import Draw
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data.base import NO_MOTION


class ShiftedWindow(PerWindowImu):
    """Add a random number to a window; in tests only."""

    def __call__(self, imu_LC: Draw, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        return imu_LC + np.float32(rng.uniform(10, 20))


EVERYTHING: tuple[ImuAugmentation, ...] = (ShiftedWindow(), SensorRotation(), Scale(p=1), GaussianNoise(p=1))


def pipeline(imu: tuple[ImuAugmentation, ...], joint: tuple[JointAugmentation, ...] = ()) -> Augmentation:
    video = (ColorJitter(p=1), RandomResizedCrop())
    return Augmentation(imu, video, joint, imu_spec=IMU, video_spec=VIDEO, second_view=True)


def augmented(
    augmentation: Augmentation | ImuAugmentations,
    imu_BLC: Tensor,
    video_BTHWC: Tensor,
    *,
    second: bool = True,
    seed: int = 1,
) -> Augmented:
    """Return a batch as the encoders get it, with or without a second view."""
    again = generators(len(imu_BLC), seed) if second else [None] * len(imu_BLC)
    sampled = [
        augmentation.sample(rng, imu_LC.numpy(), video_THWC.numpy(), second_rng)
        for rng, imu_LC, video_THWC, second_rng in zip(
            generators(len(imu_BLC)), imu_BLC, video_BTHWC, again, strict=True
        )
    ]
    imus, videos, draws = zip(*sampled, strict=True)
    sampled_BLC, sampled_BTHWC = (torch.from_numpy(np.stack(field)) for field in (imus, videos))
    no_motion = NO_MOTION.expand(len(imu_BLC), *NO_MOTION.shape)
    return augmentation.apply(sampled_BLC, sampled_BTHWC, no_motion, stack(draws))


def test_a_second_view_leaves_the_first_and_the_video_as_they_are() -> None:
    augmentation = pipeline(EVERYTHING, (Mirror(),))
    windows = imu_windows(6), video_windows(6)
    with_second, alone = augmented(augmentation, *windows), augmented(augmentation, *windows, second=False)
    assert alone.second_BLC is None
    assert torch.equal(with_second.imu_BLC, alone.imu_BLC)
    assert torch.equal(with_second.video_B3THW, alone.video_B3THW)
    assert with_second.second_BLC is not None
    assert with_second.second_BLC.shape == with_second.imu_BLC.shape
    assert (with_second.second_BLC != with_second.imu_BLC).flatten(1).any(1).all()


def test_a_second_view_with_the_numbers_of_the_first_equals_it() -> None:
    # Functions of a window come first, so that both views draw the same numbers from equal generators.
    augmentation = ImuAugmentations(EVERYTHING, imu_spec=IMU, second_view=True)
    same = augmented(augmentation, imu_windows(5), torch.empty(5, 0, 0, 0, 3, dtype=torch.uint8), seed=0)
    assert same.second_BLC is not None
    assert torch.equal(same.second_BLC, same.imu_BLC)


def test_both_views_are_mirrored_together() -> None:
    augmentation = pipeline((Scale(range=(1, 1)),), (Mirror(),))
    windows = imu_windows(12), video_windows(12)
    both = augmented(augmentation, *windows)
    turned_B = (both.imu_BLC != windows[0]).flatten(1).any(1)
    assert 0 < turned_B.sum() < 12
    assert both.second_BLC is not None
    assert torch.equal(both.second_BLC, both.imu_BLC)


def test_a_second_view_does_not_depend_on_its_batch() -> None:
    augmentation = pipeline(EVERYTHING, (Mirror(),))
    windows = imu_windows(6), video_windows(6)
    together, first = augmented(augmentation, *windows), augmented(augmentation, *(field[:2] for field in windows))
    assert together.second_BLC is not None
    assert first.second_BLC is not None
    assert torch.equal(together.second_BLC[:2], first.second_BLC)


def test_two_views_without_augmentation_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"imu_augment: the loss compares two augmentations"):
        pipeline(())
