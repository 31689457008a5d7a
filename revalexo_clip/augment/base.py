"""What an experiment asks of an augmentation.

`sample` draws what is to happen to one window, cheaply, where the window is loaded; what it returns is all that `apply`
knows. `apply` does it to a whole batch at once, on the device that trains. So a window's augmentation is a function of
its own random numbers: batch, worker and device have no part in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field
from torch import Tensor

from revalexo_clip.core.component import Component
from revalexo_clip.core.types import ImuSpec, VideoSpec

Draw = npt.NDArray[np.float32]
"""What was drawn for one window, of a shape that is the same for every window, so that a batch of them can be stacked.

Where chance says no, it is the draw that changes nothing: a factor of 1, the whole view, noise of 0.
"""

Pixels = npt.NDArray[np.uint8]

Probability = Annotated[float, Field(ge=0, le=1)]


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"a range goes from low to high, not from {ends[0]:g} to {ends[1]:g}")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Both ends of an interval, the lower one first."""


class View(NamedTuple):
    """The rectangle of a frame that is shown, by its edges [px]. It is mirrored where `left` is right of `right`."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def height(self) -> float:
        """[px]."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """[px]."""
        return abs(self.right - self.left)

    def part(self, box: Draw) -> View:
        """The part of this view whose edges (top, left, bottom, right) are `box`, as shares from 0 to 1 of it."""
        top, left, bottom, right = box.tolist()
        high, wide = self.bottom - self.top, self.right - self.left
        return View(self.top + top * high, self.left + left * wide, self.top + bottom * high, self.left + right * wide)


def whole() -> Draw:
    """The box [4] that is all of a view."""
    return np.array([0, 0, 1, 1], dtype=np.float32)


def mirrored() -> Draw:
    """The box [4] that is all of a view, right to left."""
    return np.array([0, 1, 1, 0], dtype=np.float32)


class ImuAugmentation(Component, ABC):
    """Changes IMU windows."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw for one window. Raises `ConfigError` for windows that it cannot work on."""

    @abstractmethod
    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """[B, L, C] float32 in the channels' units -> the same, by B stacked draws. Leaves its input as it is."""


class VideoAugmentation(Component, ABC):
    """Changes video windows as an encoder takes them: cropped, in normalised colour.

    `ViewAugmentation` and `ColorAugmentation` are kinds that cost next to nothing where they come first in the list, in
    any order: views compose into one resampling of the source frames, where these are loaded, colours into one affine
    map.
    """

    @abstractmethod
    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Draw for one window, all of its frames alike; `view` is what is shown of it so far."""

    @abstractmethod
    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """[B, 3, T, H, W] float32 -> the same, by B stacked draws. May write into its input."""


class JointDraw(NamedTuple):
    """What a joint augmentation drew for one window."""

    drawn: Draw
    """What `apply` gets."""
    box: Draw
    """Which part of the view goes on being shown, as `View.part` takes it: `whole()`, `mirrored()` or any other."""


class JointAugmentation(Component, ABC):
    """Changes both modalities of a window together. Comes before those of either one."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, imu_spec: ImuSpec, video_spec: VideoSpec) -> JointDraw:
        """Draw for one window. Raises `ConfigError` for windows that it cannot work on."""

    @abstractmethod
    def apply(self, imu_BLC: Tensor, video_B3THW: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Windows as `ImuAugmentation` and `VideoAugmentation` take them -> the same, by B stacked draws.

        The box that was drawn has already had its effect on the video.
        """


class PerWindowImu(ImuAugmentation, ABC):
    """A plain function of one IMU window, for what is easier to write so. It runs where the window is loaded.

    Such functions come first in the list.
    """

    @abstractmethod
    def __call__(self, imu_LC: Draw, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """[L, C] float32 in the channels' units -> the same. All chance comes from `rng`."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Nothing: the work is done by then."""
        return np.empty(0, dtype=np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """As it is: the work is done by then."""
        return imu_BLC


class PerWindowVideo(VideoAugmentation, ABC):
    """A plain function of one video window, for what is easier to write so. It runs where the window is loaded.

    Such functions come first in the list.
    """

    @abstractmethod
    def __call__(self, video_THWC: Pixels, rng: np.random.Generator, spec: VideoSpec) -> Pixels:
        """Source frames [T, H, W, 3] uint8 RGB -> the same. All chance comes from `rng`."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Nothing: the work is done by then."""
        return np.empty(0, dtype=np.float32)

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """As it is: the work is done by then."""
        return video_B3THW
