"""The interface of augmentations.

`sample` draws the parameters for one window, cheaply, in the loader. `apply` uses nothing but these parameters and
changes a whole batch at once, on the training device. A window's augmentation is therefore a function of its own
random numbers and does not depend on batch, worker or device.
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
"""The parameters drawn for one window. Their shape is the same for every window, so that a batch can be stacked.

For a window that is not augmented, they are the ones that change nothing: a factor of 1, the whole view, noise of 0.
"""

Pixels = npt.NDArray[np.uint8]

Probability = Annotated[float, Field(ge=0, le=1)]


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"a range must go from low to high, not from {ends[0]:g} to {ends[1]:g}")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""The two ends of an interval, the lower one first."""


class View(NamedTuple):
    """The visible rectangle of a frame, given by its edges [px]. It is mirrored if `left` is greater than `right`."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def height(self) -> float:
        """Height [px]."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Width [px]."""
        return abs(self.right - self.left)

    def part(self, box: Draw) -> View:
        """Return the part of this view with the edges `box`: top, left, bottom, right as shares of it, from 0 to 1."""
        top, left, bottom, right = box.tolist()
        high, wide = self.bottom - self.top, self.right - self.left
        return View(self.top + top * high, self.left + left * wide, self.top + bottom * high, self.left + right * wide)


def whole() -> Draw:
    """Return the box [4] of a whole view."""
    return np.array([0, 0, 1, 1], dtype=np.float32)


def mirrored() -> Draw:
    """Return the box [4] of a whole view, mirrored left to right."""
    return np.array([0, 1, 1, 0], dtype=np.float32)


class ImuAugmentation(Component, ABC):
    """Base class of augmentations of IMU windows."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the parameters for one window. Raises `ConfigError` if it does not support such windows."""

    @abstractmethod
    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """Augment B windows by B stacked draws. Does not change its input.

        [B, L, C] float32 in the channels' units -> the same.
        """


class VideoAugmentation(Component, ABC):
    """Base class of augmentations of video windows in the format of an encoder's input: cropped, in normalised colour.

    The kinds `ViewAugmentation` and `ColorAugmentation` cost almost nothing if they come first in the list, in any
    order: views are combined into one resampling of the source frames in the loader, colours into one affine map.
    """

    @abstractmethod
    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Draw the parameters for one window, the same for all of its frames; `view` is its visible part so far."""

    @abstractmethod
    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """Augment B windows by B stacked draws: [B, 3, T, H, W] float32 -> the same. May write into its input."""


class JointDraw(NamedTuple):
    """The parameters of a joint augmentation for one window."""

    drawn: Draw
    """Parameters of `apply`."""
    box: Draw
    """Part of the view that stays visible, as for `View.part`: `whole()`, `mirrored()` or any other box."""


class JointAugmentation(Component, ABC):
    """Base class of augmentations of both modalities of a window together. They run before those of one modality."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, imu_spec: ImuSpec, video_spec: VideoSpec) -> JointDraw:
        """Draw the parameters for one window. Raises `ConfigError` if it does not support such windows."""

    @abstractmethod
    def apply(self, imu_BLC: Tensor, video_B3THW: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Augment B windows by B stacked draws; formats as for `ImuAugmentation` and `VideoAugmentation`.

        The drawn box has already been applied to the video.
        """


class PerWindowImu(ImuAugmentation, ABC):
    """Base class of plain functions of one IMU window, which are easier to write. They run in the loader.

    They must come first in the list.
    """

    @abstractmethod
    def __call__(self, imu_LC: Draw, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Augment one window: [L, C] float32 in the channels' units -> the same. Use no randomness other than `rng`."""

    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Return an empty draw: the window is already augmented."""
        return np.empty(0, dtype=np.float32)

    def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
        """Return the windows unchanged: they are already augmented."""
        return imu_BLC


class PerWindowVideo(VideoAugmentation, ABC):
    """Base class of plain functions of one video window, which are easier to write. They run in the loader.

    They must come first in the list.
    """

    @abstractmethod
    def __call__(self, video_THWC: Pixels, rng: np.random.Generator, spec: VideoSpec) -> Pixels:
        """Augment source frames: [T, H, W, 3] uint8 RGB -> the same. Use no randomness other than `rng`."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Return an empty draw: the window is already augmented."""
        return np.empty(0, dtype=np.float32)

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """Return the windows unchanged: they are already augmented."""
        return video_B3THW
