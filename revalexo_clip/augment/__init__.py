"""Augmentation of training windows, in two halves: drawn where a window is loaded, applied once to a whole batch.

`base` says what an augmentation is; `imu`, `sensors`, `crop`, `color`, `erasing` and `mirror` hold them; `render` turns
source frames into what an encoder takes; `pipeline` puts all of it together.
"""

from revalexo_clip.augment.base import (
    ImuAugmentation,
    JointAugmentation,
    JointDraw,
    PerWindowImu,
    PerWindowVideo,
    VideoAugmentation,
    View,
)
from revalexo_clip.augment.color import ColorAugmentation, ColorJitter, Grayscale
from revalexo_clip.augment.crop import HorizontalFlip, RandomResizedCrop, ViewAugmentation
from revalexo_clip.augment.erasing import RandomErasing
from revalexo_clip.augment.imu import ChannelDropout, GaussianNoise, MagnitudeWarp, Scale, TimeWarp
from revalexo_clip.augment.mirror import Mirror
from revalexo_clip.augment.pipeline import Augmentation, Augments, Draws, ImuAugmentations, stack
from revalexo_clip.augment.sensors import HalfTurn, SensorRotation

__all__ = [
    "Augmentation",
    "Augments",
    "ChannelDropout",
    "ColorAugmentation",
    "ColorJitter",
    "Draws",
    "GaussianNoise",
    "Grayscale",
    "HalfTurn",
    "HorizontalFlip",
    "ImuAugmentation",
    "ImuAugmentations",
    "JointAugmentation",
    "JointDraw",
    "MagnitudeWarp",
    "Mirror",
    "PerWindowImu",
    "PerWindowVideo",
    "RandomErasing",
    "RandomResizedCrop",
    "Scale",
    "SensorRotation",
    "TimeWarp",
    "VideoAugmentation",
    "View",
    "ViewAugmentation",
    "stack",
]
