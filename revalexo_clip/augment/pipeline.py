"""All augmentations of an experiment combined: `sample` for a window in the loader, `apply` for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.augment.base import (
    Draw,
    ImuAugmentation,
    JointAugmentation,
    PerWindowImu,
    PerWindowVideo,
    Pixels,
    VideoAugmentation,
    View,
)
from revalexo_clip.augment.color import ColorAugmentation, as_affine, brighten, normalization
from revalexo_clip.augment.crop import ViewAugmentation
from revalexo_clip.augment.render import Edges, map_colors, show, whole_pixels
from revalexo_clip.core.types import ImuSpec, VideoSpec

Array = TypeVar("Array", Draw, Pixels)


class Draws(NamedTuple):
    """The parameters that `apply` needs for one window or, stacked, for B windows."""

    color: Tensor
    """[3, 4] map from (red, green, blue, 1), 0 to 255, to an encoder's input."""
    joint: Sequence[Tensor]
    """One draw per joint augmentation."""
    imu: Sequence[Tensor]
    """One draw per IMU augmentation."""
    video: Sequence[Tensor]
    """One draw per video augmentation that is not fused into the view or the colour."""

    def of(self, rows: slice) -> Draws:
        """Return the draws of some of the windows, if they are stacked."""
        lists = ([drawn[rows] for drawn in drawn_K] for drawn_K in self[1:])
        return Draws(self.color[rows], *lists)


def stack(draws: Sequence[Draws]) -> Draws:
    """Stack the draws of B windows along a leading batch axis."""
    return Draws(
        color=torch.stack([drawn.color for drawn in draws]),
        joint=tuple(map(torch.stack, zip(*(drawn.joint for drawn in draws), strict=True))),
        imu=tuple(map(torch.stack, zip(*(drawn.imu for drawn in draws), strict=True))),
        video=tuple(map(torch.stack, zip(*(drawn.video for drawn in draws), strict=True))),
    )


class Augments(Protocol):
    """The two steps of augmentation, for windows of IMU alone or of both modalities."""

    def sample(self, rng: np.random.Generator, imu_LC: Draw, video_THWC: Pixels) -> tuple[Draw, Pixels, Draws]:
        """Prepare one window of a dataset in the loader. Return its input for `apply` and the draws."""

    def apply(
        self, imu_BLC: Tensor, video_BTHWC: Tensor, draws: Draws, into_B3THW: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augment a batch by its stacked draws, on the training device. Return the input of the encoders."""


class ImuAugmentations:
    """All augmentations of windows of IMU alone."""

    def __init__(self, imu: Sequence[ImuAugmentation], *, imu_spec: ImuSpec) -> None:
        """Make a trial draw, so that `ConfigError` is raised here if an augmentation does not support the windows."""
        self.imu_spec = imu_spec
        self.functions = tuple(one for one in imu if isinstance(one, PerWindowImu))
        self.rest = tuple(one for one in imu if not isinstance(one, PerWindowImu))
        self.draw(np.random.default_rng(0))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw the parameters of each augmentation for one window."""
        return tuple(torch.from_numpy(one.sample(rng, self.imu_spec)) for one in self.rest)

    def sample(self, rng: np.random.Generator, imu_LC: Draw, video_THWC: Pixels) -> tuple[Draw, Pixels, Draws]:
        """See `Augments.sample`. The video is empty, and nothing is drawn for it."""
        for function in self.functions:
            imu_LC = _alike(function, imu_LC, function(imu_LC, rng, self.imu_spec))
        draws = Draws(torch.zeros(0), (), self.draw(rng), ())
        return imu_LC, video_THWC, draws

    @torch.no_grad()
    def apply(
        self, imu_BLC: Tensor, video_BTHWC: Tensor, draws: Draws, into_B3THW: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Augments.apply`. The empty video is returned unchanged."""
        with torch.autocast(imu_BLC.device.type, enabled=False):
            for one, drawn in zip(self.rest, draws.imu, strict=True):
                imu_BLC = one.apply(imu_BLC, drawn)
        return imu_BLC, video_BTHWC


class Augmentation:
    """All augmentations of windows with IMU and video.

    View and colour augmentations at the beginning of `video` are fused: each pixel is resampled once, in the loader,
    and colour-mapped once. The augmentations after them are applied one by one. Without any augmentation, frames are
    centre-cropped and normalised.
    """

    def __init__(
        self,
        imu: Sequence[ImuAugmentation],
        video: Sequence[VideoAugmentation],
        joint: Sequence[JointAugmentation],
        *,
        imu_spec: ImuSpec,
        video_spec: VideoSpec,
    ) -> None:
        """Make a trial draw, so that `ConfigError` is raised here if an augmentation does not support the windows."""
        self.imu_spec = imu_spec
        self.video_spec = video_spec
        self.joint = tuple(joint)
        self.imu_functions = tuple(one for one in imu if isinstance(one, PerWindowImu))
        self.video_functions = tuple(one for one in video if isinstance(one, PerWindowVideo))
        self.imu = tuple(one for one in imu if not isinstance(one, PerWindowImu))
        rest = [one for one in video if not isinstance(one, PerWindowVideo)]
        count = next((place for place, one in enumerate(rest) if not _can_be_fused(one)), len(rest))
        self.fused, self.video = tuple(rest[:count]), tuple(rest[count:])
        self.whole_frame = any(isinstance(one, ViewAugmentation) and one.whole_frame for one in self.fused)
        self.draw(np.random.default_rng(0), (video_spec.short_side, video_spec.short_side))

    def sample(self, rng: np.random.Generator, imu_LC: Draw, video_THWC: Pixels) -> tuple[Draw, Pixels, Draws]:
        """See `Augments.sample`. Resample the drawn view of the frames.

        IMU samples [L, C] and whole frames [T, H, W, 3] are changed by the plain functions of one window; then the
        drawn view of the frames is resampled to [T, crop, crop, 3].
        """
        for imu_function in self.imu_functions:
            imu_LC = _alike(imu_function, imu_LC, imu_function(imu_LC, rng, self.imu_spec))
        for video_function in self.video_functions:
            video_THWC = _alike(video_function, video_THWC, video_function(video_THWC, rng, self.video_spec))
        if not self.whole_frame:
            video_THWC = centre(video_THWC, self.video_spec.crop)
        height, width = video_THWC.shape[1:3]
        view, draws = self.draw(rng, (height, width))
        return imu_LC, show(video_THWC, view, self.video_spec.crop), draws

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[Edges, Draws]:
        """Draw the view and all other parameters for one window with frames of `size`, height and width [px]."""
        view, color = View(0, 0, *size), normalization(self.video_spec) @ brighten(1 / 255)
        joint = [both.sample(rng, self.imu_spec, self.video_spec) for both in self.joint]
        for both in joint:
            view = view.part(both.box)
        imu = [one.sample(rng, self.imu_spec) for one in self.imu]
        for each in self.fused:
            change = each.sample(rng, self.video_spec, view)
            if isinstance(each, ColorAugmentation):
                color = as_affine(change) @ color
            else:
                view = view.part(change)
        finished = View(0, 0, self.video_spec.crop, self.video_spec.crop)
        video = [each.sample(rng, self.video_spec, finished) for each in self.video]
        return whole_pixels(view, *size), Draws(
            color=torch.from_numpy(color[:3].astype(np.float32)),
            joint=tuple(torch.from_numpy(both.drawn) for both in joint),
            imu=tuple(map(torch.from_numpy, imu)),
            video=tuple(map(torch.from_numpy, video)),
        )

    @torch.no_grad()
    def apply(
        self, imu_BLC: Tensor, video_BTHWC: Tensor, draws: Draws, into_B3THW: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Augments.apply`. Computed in full precision, also under autocast.

        `imu_BLC` [B, L, C] keeps its units; `video_BTHWC` [B, T, crop, crop, 3] uint8, from `sample`, becomes
        [B, 3, T, crop, crop] float32 in normalised colour. It is written to the memory of `into_B3THW`, a video that
        is no longer needed, if that has the same size.
        """
        with torch.autocast(video_BTHWC.device.type, enabled=False):
            video_B3THW = map_colors(video_BTHWC, draws.color, into_B3THW)
            for both, drawn in zip(self.joint, draws.joint, strict=True):
                imu_BLC, video_B3THW = both.apply(imu_BLC, video_B3THW, drawn)
            for one, drawn in zip(self.imu, draws.imu, strict=True):
                imu_BLC = one.apply(imu_BLC, drawn)
            for each, drawn in zip(self.video, draws.video, strict=True):
                video_B3THW = each.apply(video_B3THW, drawn)
        return imu_BLC, video_B3THW


def centre(video_THWC: Pixels, crop: int) -> Pixels:
    """Cut out the square of `crop` pixels in the middle of each frame, as in evaluation."""
    top, left = ((size - crop) // 2 for size in video_THWC.shape[1:3])
    return video_THWC[:, top : top + crop, left : left + crop]


def _can_be_fused(augmentation: VideoAugmentation) -> bool:
    return isinstance(augmentation, ViewAugmentation | ColorAugmentation)


def _alike(function: object, given: Array, returned: Array) -> Array:
    if returned.shape != given.shape or returned.dtype != given.dtype:
        raise ValueError(
            f"{type(function).__name__} must return the dtype and shape of its input, {given.dtype} "
            f"{list(given.shape)}, not {returned.dtype} {list(returned.shape)}"
        )
    return returned
