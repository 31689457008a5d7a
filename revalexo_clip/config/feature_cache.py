"""Settings of the kept features of a frozen video encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat

from revalexo_clip.core.component import Config


class FeatureCache(Config):
    """Compute the features of a frozen video encoder once and keep them; windows are then trained without frames.

    They are those of every frame if the encoder sees frames one by one, and of every window of a grid otherwise.
    """

    folder: Path | None = None
    """Folder for the features. Default: `rxclip-features` in the dataset folder or, if that is read-only, in its cache
    folder. It can be deleted at any time."""
    views: NonNegativeInt = 0
    """Number of augmented views of each training clip, drawn once by `video_augment` and `joint_augment`; each window
    has one of them in each epoch, drawn at random. 0 for the centre crop, without augmentation of video."""
    grid: PositiveFloat | None = None
    """Training windows start at multiples of this time [s], at which features are kept. Needed by encoders that see
    windows as a whole; others keep features of frames, and windows may start anywhere."""

    def check(self, *, frozen: int | Literal["all"], augments_video: bool) -> None:
        """Raise `ValueError` unless the video encoder is frozen, and augmentation of video has views."""
        if frozen != "all":
            raise ValueError("feature_cache: features of an encoder that is trained change; set video.frozen=all")
        if augments_video and not self.views:
            raise ValueError(
                "feature_cache: kept features cannot be augmented anew in each epoch; set feature_cache.views=4 for "
                "four fixed views of each clip, or remove video_augment and joint_augment"
            )
        if self.views and not augments_video:
            raise ValueError(
                "feature_cache.views: there is nothing to draw views by; add video_augment, or set "
                "feature_cache.views=0"
            )
