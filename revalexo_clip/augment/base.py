"""The interface of augmentations.

`sample` draws the parameters for one window, cheaply, in the loader. `apply` uses nothing but these parameters and
changes a whole batch at once, on the training device. A window's augmentation is therefore a function of its own
random numbers and does not depend on batch, worker or device.

If windows have measured motion, every augmentation of video must declare what it does to motion: `apply_to_motion`, or
for parts of the view `only_zooms`. Others are refused, because the motion of an augmented window would be wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, NamedTuple

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
    """Distance of its upper edge from that of the frame [px]."""
    left: float
    """Distance of its left edge from that of the frame [px]."""
    bottom: float
    """Distance of its lower edge from the upper edge of the frame [px]."""
    right: float
    """Distance of its right edge from the left edge of the frame [px]."""

    @property
    def height(self) -> float:
        """Height [px]."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Width [px]."""
        return abs(self.right - self.left)

    def box(self, height: float, width: float) -> Draw:
        """Return this view as a box [4] of a frame, for `part`: its edges as shares of height and width."""
        return np.array([self.top / height, self.left / width, self.bottom / height, self.right / width], np.float32)

    def part(self, box: Draw) -> View:
        """Return the part of this view with the edges `box`: top, left, bottom, right as shares of it, from 0 to 1."""
        top, left, bottom, right = box.tolist()
        high, wide = self.bottom - self.top, self.right - self.left
        return View(self.top + top * high, self.left + left * wide, self.top + bottom * high, self.left + right * wide)


class Shown(NamedTuple):
    """The part of each of B pictures that is shown by frames, which are square."""

    box_B4: Tensor
    """[B, 4] its edges as shares of the picture: top, left, bottom, right."""
    crop: int
    """Height and width of the frames [px]."""

    def in_picture(self, edges_B4: Tensor) -> Tensor:
        """Return rectangles of the frames, given by their edges [px], as shares of the picture: [B, 4] -> [B, 4]."""
        corner_B4, size_B2 = self.box_B4[:, [0, 1, 0, 1]], self.box_B4[:, 2:] - self.box_B4[:, :2]
        return corner_B4 + edges_B4 / self.crop * size_B2.repeat(1, 2)


def whole() -> Draw:
    """Return the box [4] of a whole view."""
    return np.array([0, 0, 1, 1], dtype=np.float32)


def mirrored() -> Draw:
    """Return the box [4] of a whole view, mirrored left to right."""
    return np.array([0, 1, 1, 0], dtype=np.float32)


class ImuAugmentation(Component, ABC):
    """Base class of augmentations of IMU windows."""

    retimes: ClassVar[bool] = False
    """Whether it moves samples in time. Such an augmentation is refused if moments of both windows are compared."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        """Draw the parameters for one window. Raises `ConfigError` if it does not support such windows.

        `spec` has the mean and standard deviation of each channel if the model standardises its input.
        """

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

    def apply_to_motion(self, motion_BMYX3: Tensor, drawn: Tensor, shown: Shown) -> Tensor:
        """Do to measured motion what `apply` does to frames: [B, M, Y, X, 3] -> the same. Does not change its input.

        Motion covers the whole picture, see `Sample.motion_MYX3`, of which the frames show a part, `shown`. Return the
        motion unchanged if the augmentation neither moves nor covers anything. An augmentation without this method is
        refused if windows have measured motion.
        """
        raise NotImplementedError


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

        The drawn box has already been applied to the video. The video may have no frames: in windows with measured
        motion alone, and for a second view of the IMU window, which is augmented with the draws of the first.
        """

    def apply_to_motion(self, motion_BMYX3: Tensor, drawn: Tensor) -> Tensor:
        """Do to measured motion what `apply` does to frames: [B, M, Y, X, 3] -> the same. Does not change its input.

        The drawn box has already been applied to the motion. An augmentation without this method is refused if windows
        have measured motion.
        """
        raise NotImplementedError


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

    They must come first in the list. A function that neither moves nor covers anything in the picture may be used with
    measured motion if it defines `apply_to_motion`, which returns the motion unchanged.
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
