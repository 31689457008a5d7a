"""Augmentation of training windows: parameters are drawn when a window is loaded and applied to a whole batch.

`base` defines the interface; `imu`, `sensors`, `sensor_dropout`, `crop`, `color`, `erasing` and `mirror` hold the
augmentations;
`render` turns source frames into an encoder's input; `motion` does to measured motion what is done to frames;
`pipeline` combines all of them, and `draws` holds what travels between its two steps.
"""

from revalexo_clip.augment.base import (
    ImuAugmentation,
    JointAugmentation,
    JointDraw,
    PerWindowImu,
    PerWindowVideo,
    Shown,
    VideoAugmentation,
    View,
)
from revalexo_clip.augment.color import ColorAugmentation, ColorJitter, Grayscale
from revalexo_clip.augment.crop import HorizontalFlip, RandomResizedCrop, ViewAugmentation
from revalexo_clip.augment.draws import Augmented, Augments, Draws, SecondDraws, stack
from revalexo_clip.augment.erasing import RandomErasing
from revalexo_clip.augment.imu import ChannelDropout, GaussianNoise, MagnitudeWarp, Scale, TimeWarp
from revalexo_clip.augment.mirror import Mirror
from revalexo_clip.augment.pipeline import Augmentation, ImuAugmentations
from revalexo_clip.augment.sensor_dropout import SensorDropout
from revalexo_clip.augment.sensors import HalfTurn, SensorRotation

__all__ = [
    "Augmentation",
    "Augmented",
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
    "SecondDraws",
    "SensorDropout",
    "SensorRotation",
    "Shown",
    "TimeWarp",
    "VideoAugmentation",
    "View",
    "ViewAugmentation",
    "stack",
]
