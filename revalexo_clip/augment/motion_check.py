"""Check what augmentations do to measured motion, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from revalexo_clip.augment.base import JointAugmentation, VideoAugmentation
from revalexo_clip.augment.crop import HorizontalFlip, RandomResizedCrop, ViewAugmentation
from revalexo_clip.core.errors import ConfigError


def check_motion(
    before: Sequence[VideoAugmentation], after: Sequence[VideoAugmentation], joint: Sequence[JointAugmentation]
) -> None:
    """Raise `ConfigError` if an augmentation cannot be applied to windows with measured motion.

    `before` are the video augmentations that act on the source frames, `after` those that act on finished frames.
    """
    for one in (*before, *after):
        name = type(one).__name__
        if isinstance(one, ViewAugmentation):
            _check_view(one)
        elif type(one).apply_to_motion is VideoAugmentation.apply_to_motion:
            raise ConfigError(
                f"video_augment: windows have measured motion, and {name} does not say what it does to motion; define "
                f"{name}.apply_to_motion"
            )
    if late := [type(one).__name__ for one in after if isinstance(one, ViewAugmentation)]:
        raise ConfigError(
            f"video_augment: with measured motion, {late[0]} must come before {type(after[0]).__name__}, because it "
            "selects a part of the whole picture"
        )
    for both in joint:
        if type(both).apply_to_motion is JointAugmentation.apply_to_motion:
            name = type(both).__name__
            raise ConfigError(
                f"joint_augment: windows have measured motion, and {name} does not say what it does to motion; define "
                f"{name}.apply_to_motion"
            )


def _check_view(one: ViewAugmentation) -> None:
    if one.only_zooms:
        return
    if isinstance(one, HorizontalFlip):
        raise ConfigError(
            "video_augment: HorizontalFlip mirrors the motion that the video shows and not that of the body; use "
            "Mirror in joint_augment"
        )
    if isinstance(one, RandomResizedCrop):
        raise ConfigError(
            "video_augment: with measured motion, RandomResizedCrop requires ratio=None (null), the ratio of the "
            "picture: other rectangles are squeezed, and motion is measured in widths of the picture"
        )
    name = type(one).__name__
    raise ConfigError(
        f"video_augment: windows have measured motion, and {name} does not say that it only zooms: that its parts have "
        f"the shape of the picture and are not mirrored; if so, define {name}.only_zooms"
    )
