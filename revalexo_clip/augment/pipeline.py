"""All augmentations of an experiment combined: `sample` for a window in the loader, `apply` for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

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
    Shown,
    VideoAugmentation,
    View,
)
from revalexo_clip.augment.color import ColorAugmentation, as_affine, brighten, normalization
from revalexo_clip.augment.crop import ViewAugmentation, box_of
from revalexo_clip.augment.draws import Augmented, Draws, SecondDraws
from revalexo_clip.augment.motion import resample_motion
from revalexo_clip.augment.motion_check import check_motion
from revalexo_clip.augment.render import Edges, map_colors, show, whole_pixels
from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, VideoSpec

Array = TypeVar("Array", Draw, Pixels)


class ImuAugmentations:
    """All augmentations of windows of IMU alone."""

    def __init__(self, imu: Sequence[ImuAugmentation], *, imu_spec: ImuSpec, second_view: bool = False) -> None:
        """Make a trial draw, so that `ConfigError` is raised here if an augmentation does not support the windows."""
        if second_view and not imu:
            raise ConfigError(
                "imu_augment: the loss compares two augmentations of a window, and without any they are equal; add one"
            )
        self.imu_spec = imu_spec
        self.second_view = second_view
        self.functions = tuple(one for one in imu if isinstance(one, PerWindowImu))
        self.rest = tuple(one for one in imu if not isinstance(one, PerWindowImu))
        self.draw(np.random.default_rng(0))

    def change(self, rng: np.random.Generator, imu_LC: Draw) -> Draw:
        """Change one window by the plain functions."""
        for function in self.functions:
            imu_LC = _alike(function, imu_LC, function(imu_LC, rng, self.imu_spec))
        return imu_LC

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw the parameters of each augmentation for one window."""
        return tuple(_drawn(one, one.sample(rng, self.imu_spec)) for one in self.rest)

    def draw_second(self, rng: np.random.Generator | None, imu_LC: Draw) -> SecondDraws | None:
        """Draw the second view of a window [L, C] of a dataset; None without a generator."""
        return None if rng is None else SecondDraws(torch.from_numpy(self.change(rng, imu_LC)), self.draw(rng))

    def augment(self, imu_BLC: Tensor, draws: Sequence[Tensor]) -> Tensor:
        """Augment B windows by the stacked draws of each augmentation: [B, L, C] -> the same."""
        for one, drawn in zip(self.rest, draws, strict=True):
            imu_BLC = _applied(one, imu_BLC, one.apply(imu_BLC, drawn))
        return imu_BLC

    def sample(
        self,
        rng: np.random.Generator,
        imu_LC: Draw,
        video_THWC: Pixels,
        second_rng: np.random.Generator | None = None,
    ) -> tuple[Draw, Pixels, Draws]:
        """See `Augments.sample`. The video is empty, and nothing is drawn for it."""
        second, none = self.draw_second(second_rng, imu_LC), torch.zeros(0)
        imu_LC = self.change(rng, imu_LC)
        return imu_LC, video_THWC, Draws(none, (), self.draw(rng), (), none, none, second)

    @torch.no_grad()
    def apply(
        self,
        imu_BLC: Tensor,
        video_BTHWC: Tensor,
        motion_BMYX3: Tensor,
        draws: Draws,
        into_B3THW: Tensor | None = None,
    ) -> Augmented:
        """See `Augments.apply`. Empty video and motion are returned unchanged."""
        second = draws.second
        with torch.autocast(imu_BLC.device.type, enabled=False):
            second_BLC = None if second is None else self.augment(second.imu_LC, second.imu)
            return Augmented(self.augment(imu_BLC, draws.imu), video_BTHWC, motion_BMYX3, second_BLC)


class Augmentation:
    """All augmentations of windows with IMU and video.

    View and colour augmentations at the beginning of `video` are fused: each pixel is resampled once, in the loader,
    and colour-mapped once. The augmentations after them are applied one by one. Without any augmentation, frames are
    centre-cropped and normalised.

    Measured motion belongs to the whole picture. If windows have it, or if a view augmentation asks for the whole frame
    and only zooms, parts are selected from whole frames, and the frames of a window are the centre crop of its part.
    """

    def __init__(
        self,
        imu: Sequence[ImuAugmentation],
        video: Sequence[VideoAugmentation],
        joint: Sequence[JointAugmentation],
        *,
        imu_spec: ImuSpec,
        video_spec: VideoSpec,
        second_view: bool = False,
    ) -> None:
        """Make a trial draw, so that `ConfigError` is raised here if an augmentation does not support the windows."""
        self.imu = ImuAugmentations(imu, imu_spec=imu_spec, second_view=second_view)
        self.imu_spec = imu_spec
        self.video_spec = video_spec
        self.second_view = second_view
        self.joint = tuple(joint)
        self.video_functions = tuple(one for one in video if isinstance(one, PerWindowVideo))
        rest = [one for one in video if not isinstance(one, PerWindowVideo)]
        count = next((place for place, one in enumerate(rest) if not _can_be_fused(one)), len(rest))
        self.fused, self.video = tuple(rest[:count]), tuple(rest[count:])
        views = [one for one in self.fused if isinstance(one, ViewAugmentation) and one.whole_frame]
        self.whole_picture = video_spec.motion is not None or any(one.only_zooms for one in views)
        self.whole_frame = self.whole_picture or bool(views)
        if video_spec.motion is not None:
            check_motion([*self.video_functions, *self.fused], self.video, self.joint)
        self.draw(np.random.default_rng(0), (video_spec.short_side, video_spec.short_side))

    def sample(
        self,
        rng: np.random.Generator,
        imu_LC: Draw,
        video_THWC: Pixels,
        second_rng: np.random.Generator | None = None,
    ) -> tuple[Draw, Pixels, Draws]:
        """See `Augments.sample`. Resample the drawn view of the frames.

        IMU samples [L, C] and whole frames [T, H, W, 3] are changed by the plain functions of one window; then the
        drawn view of the frames is resampled to [T, crop, crop, 3].
        """
        second = self.imu.draw_second(second_rng, imu_LC)
        imu_LC = self.imu.change(rng, imu_LC)
        for video_function in self.video_functions:
            video_THWC = _alike(video_function, video_THWC, video_function(video_THWC, rng, self.video_spec))
        if not len(video_THWC):  # measured motion alone
            _, draws = self.draw(rng, (self.video_spec.crop, self.video_spec.crop))
            return imu_LC, video_THWC, draws._replace(second=second)
        if not self.whole_frame:
            video_THWC = centre(video_THWC, self.video_spec.crop)
        height, width = video_THWC.shape[1:3]
        view, draws = self.draw(rng, (height, width))
        return imu_LC, show(video_THWC, view, self.video_spec.crop), draws._replace(second=second)

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[Edges, Draws]:
        """Draw the view and all other parameters for one window with frames of `size`, height and width [px].

        The second view is drawn separately.
        """
        view, color = View(0, 0, *size), normalization(self.video_spec) @ brighten(1 / 255)
        joint = [both.sample(rng, self.imu_spec, self.video_spec) for both in self.joint]
        for both in joint:
            view = view.part(both.box)
        imu = self.imu.draw(rng)
        for each in self.fused:
            change = each.sample(rng, self.video_spec, view)
            if isinstance(each, ColorAugmentation):
                color = as_affine(change) @ color
            else:
                view = view.part(change)
        finished = View(0, 0, self.video_spec.crop, self.video_spec.crop)
        video = [each.sample(rng, self.video_spec, finished) for each in self.video]
        frames, motion = view, self.video_spec.motion is not None
        if self.whole_picture:
            frames = view.part(middle(size, self.video_spec.crop))
        return whole_pixels(frames, *size), Draws(
            color=torch.from_numpy(color[:3].astype(np.float32)),
            joint=tuple(_drawn(one, both.drawn) for one, both in zip(self.joint, joint, strict=True)),
            imu=imu,
            video=tuple(_drawn(one, drawn) for one, drawn in zip(self.video, video, strict=True)),
            view=torch.from_numpy(view.box(*size)) if motion else torch.zeros(0),
            shown=torch.from_numpy(middle(size, self.video_spec.crop)) if motion else torch.zeros(0),
            second=None,
        )

    @torch.no_grad()
    def apply(
        self,
        imu_BLC: Tensor,
        video_BTHWC: Tensor,
        motion_BMYX3: Tensor,
        draws: Draws,
        into_B3THW: Tensor | None = None,
    ) -> Augmented:
        """See `Augments.apply`. Computed in full precision, also under autocast.

        `imu_BLC` [B, L, C] keeps its units; `video_BTHWC` [B, T, crop, crop, 3] uint8, from `sample`, becomes
        [B, 3, T, crop, crop] float32 in normalised colour. It is written to the memory of `into_B3THW`, a video that
        is no longer needed, if that has the same size.
        """
        with torch.autocast(video_BTHWC.device.type, enabled=False):
            video_B3THW = map_colors(video_BTHWC, draws.color, into_B3THW)
            second_BLC = None if draws.second is None else self._second_view(draws.second, draws.joint, video_B3THW)
            for both, drawn in zip(self.joint, draws.joint, strict=True):
                imu, video = both.apply(imu_BLC, video_B3THW, drawn)
                imu_BLC, video_B3THW = _applied(both, imu_BLC, imu), _applied(both, video_B3THW, video)
            imu_BLC = self.imu.augment(imu_BLC, draws.imu)
            for each, drawn in zip(self.video, draws.video, strict=True):
                video_B3THW = _applied(each, video_B3THW, each.apply(video_B3THW, drawn))
            motion_BMYX3 = self._augment_motion(motion_BMYX3, draws)
        return Augmented(imu_BLC, video_B3THW, motion_BMYX3, second_BLC)

    def _second_view(self, second: SecondDraws, joint: Sequence[Tensor], video_B3THW: Tensor) -> Tensor:
        """Augment the second view of the IMU windows; joint augmentations are those of the first view."""
        imu_BLC, no_frames = second.imu_LC, video_B3THW[:, :, :0]
        for both, drawn in zip(self.joint, joint, strict=True):
            imu_BLC, _ = both.apply(imu_BLC, no_frames, drawn)
        return self.imu.augment(imu_BLC, second.imu)

    def _augment_motion(self, motion_BMYX3: Tensor, draws: Draws) -> Tensor:
        if self.video_spec.motion is None:
            return motion_BMYX3
        motion_BMYX3 = resample_motion(motion_BMYX3, draws.view)
        for both, drawn in zip(self.joint, draws.joint, strict=True):
            motion_BMYX3 = both.apply_to_motion(motion_BMYX3, drawn)
        for each, drawn in zip(self.video, draws.video, strict=True):
            motion_BMYX3 = each.apply_to_motion(motion_BMYX3, drawn, Shown(draws.shown, self.video_spec.crop))
        return motion_BMYX3


def centre(video_THWC: Pixels, crop: int) -> Pixels:
    """Cut out the square of `crop` pixels in the middle of each frame, as in evaluation."""
    top, left = ((size - crop) // 2 for size in video_THWC.shape[1:3])
    return video_THWC[:, top : top + crop, left : left + crop]


def middle(size: tuple[int, int], crop: int) -> Draw:
    """Return the centre crop of a frame of `size`, height and width [px], as a box [4] of it."""
    (top, high), (left, wide) = (((side - crop) // 2 / side, crop / side) for side in size)
    return box_of(top, left, high, wide)


def _can_be_fused(augmentation: VideoAugmentation) -> bool:
    return isinstance(augmentation, ViewAugmentation | ColorAugmentation)


def _alike(function: object, given: Array, returned: Array) -> Array:
    if returned.shape != given.shape or returned.dtype != given.dtype:
        raise ValueError(
            f"{type(function).__name__} must return the dtype and shape of its input, {given.dtype} "
            f"{list(given.shape)}, not {returned.dtype} {list(returned.shape)}"
        )
    return returned


def _drawn(augmentation: Component, draw: object) -> Tensor:
    """Convert a draw to a tensor. Raises `ConfigError` if it is not a float32 array."""
    if not isinstance(draw, np.ndarray) or draw.dtype != np.float32:
        found = f"a {draw.dtype} array {list(draw.shape)}" if isinstance(draw, np.ndarray) else type(draw).__name__
        raise ConfigError(
            f"{type(augmentation).__name__}.sample must return a float32 array, not {found}; write "
            "np.asarray(..., dtype=np.float32)"
        )
    return torch.from_numpy(draw)


def _applied(augmentation: Component, given: Tensor, returned: object) -> Tensor:
    """Return augmented windows. Raises `ConfigError` if they do not have the type of the windows."""
    if not isinstance(returned, Tensor) or returned.shape != given.shape or returned.dtype != given.dtype:
        found = f"{returned.dtype} {list(returned.shape)}" if isinstance(returned, Tensor) else type(returned).__name__
        raise ConfigError(
            f"{type(augmentation).__name__}.apply must return the dtype and shape of its input, {given.dtype} "
            f"{list(given.shape)}, not {found}"
        )
    return returned
