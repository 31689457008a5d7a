"""What travels from the loader to the training device, and what the encoders get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.augment.base import Draw, Pixels
from revalexo_clip.core.types import Stack


class SecondDraws(NamedTuple):
    """A second view of one IMU window or, stacked, of B windows: the window, and the parameters that `apply` needs."""

    imu_LC: Tensor
    """[L, C] the window, changed by its plain functions."""
    imu: Sequence[Tensor]
    """One draw per IMU augmentation."""


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
    view: Tensor
    """[4] part of the picture that the window shows, as shares; for measured motion only, otherwise [0]."""
    shown: Tensor
    """[4] part of the view that the frames show, as shares; for measured motion only, otherwise [0]."""
    second: SecondDraws | None
    """Second view of the IMU window, if there is one."""

    def of(self, rows: slice | Tensor) -> Draws:
        """Return the draws of some of the windows, if they are stacked; `rows` are a slice or indices."""
        joint, imu, video = ([drawn[rows] for drawn in drawn_K] for drawn_K in (self.joint, self.imu, self.video))
        second = self.second
        if second is not None:
            second = SecondDraws(second.imu_LC[rows], [drawn[rows] for drawn in second.imu])
        return Draws(self.color[rows], joint, imu, video, self.view[rows], self.shown[rows], second)


class Augmented(NamedTuple):
    """B augmented windows: the input of the encoders."""

    imu_BLC: Tensor
    """[B, L, C] float32, in the channels' units."""
    video_B3THW: Tensor
    """[B, 3, T, H, W] float32, normalised colour."""
    motion_BMYX3: Tensor
    """[B, M, Y, X, 3] measured motion, see `Sample.motion_MYX3`."""
    second_BLC: Tensor | None
    """[B, L, C] second view of the IMU windows, with random numbers of its own; None unless there is one."""


def stack(draws: Sequence[Draws], stacked: Stack = torch.stack) -> Draws:
    """Stack the draws of B windows along a leading batch axis, by the function `stacked`."""

    def each(drawn_BK: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
        return tuple(map(stacked, zip(*drawn_BK, strict=True)))

    second = [drawn.second for drawn in draws if drawn.second is not None]
    return Draws(
        color=stacked([drawn.color for drawn in draws]),
        joint=each([drawn.joint for drawn in draws]),
        imu=each([drawn.imu for drawn in draws]),
        video=each([drawn.video for drawn in draws]),
        view=stacked([drawn.view for drawn in draws]),
        shown=stacked([drawn.shown for drawn in draws]),
        second=SecondDraws(stacked([view.imu_LC for view in second]), each([view.imu for view in second]))
        if second
        else None,
    )


class Augments(Protocol):
    """The two steps of augmentation, for windows of IMU alone or of both modalities."""

    second_view: bool
    """Whether windows have a second view of their IMU, whose augmentations are drawn anew."""

    def sample(
        self,
        rng: np.random.Generator,
        imu_LC: Draw,
        video_THWC: Pixels,
        second_rng: np.random.Generator | None = None,
    ) -> tuple[Draw, Pixels, Draws]:
        """Prepare one window of a dataset in the loader. Return its input for `apply` and the draws.

        The second view of the IMU window is drawn from `second_rng`, if there is one. It changes nothing else.
        """

    def apply(
        self,
        imu_BLC: Tensor,
        video_BTHWC: Tensor,
        motion_BMYX3: Tensor,
        draws: Draws,
        into_B3THW: Tensor | None = None,
    ) -> Augmented:
        """Augment a batch by its stacked draws, on the training device. Return the input of the encoders."""
