"""Augmentation of the visible part of a frame: random crops and horizontal flips."""

from __future__ import annotations

import math
from abc import ABC
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor

from revalexo_clip.augment.base import Draw, Probability, Range, VideoAugmentation, View, mirrored, whole
from revalexo_clip.augment.render import resample, whole_pixels
from revalexo_clip.core.types import VideoSpec

ATTEMPTS = 10
"""Number of rectangles that are drawn before drawing is given up."""


def _positive(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] <= 0:
        raise ValueError(f"must be greater than 0, not {ends[0]:g}")
    return ends


def _share(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[1] > 1:
        raise ValueError(f"a share must be at most 1, not {ends[1]:g}")
    return ends


Ratio = Annotated[Range, AfterValidator(_positive)]
"""Range of a positive ratio."""
Share = Annotated[Ratio, AfterValidator(_share)]
"""Range of a share, greater than 0 and at most 1."""


class ViewAugmentation(VideoAugmentation, ABC):
    """Base class of augmentations that select a part of the view. `sample` draws its box [4], as for `View.part`."""

    whole_frame: ClassVar[bool] = False
    """Whether the part is selected from the whole frame instead of the centre crop."""

    @property
    def only_zooms(self) -> bool:
        """Whether every part has the shape of the view and is not mirrored. Others are refused with measured motion.

        A part of a picture with measured motion is selected from the whole picture; frames show its centre.
        """
        return False

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """See `VideoAugmentation.apply`. Only used if the frames have already been resampled."""
        height, width = video_B3THW.shape[3:]
        shown = torch.empty_like(video_B3THW)
        for video_3THW, box, part in zip(video_B3THW, drawn.cpu().numpy(), shown, strict=True):
            view = whole_pixels(View(0, 0, height, width).part(box), height, width)
            part.copy_(resample(video_3THW.transpose(0, 1), view, (height, width)).transpose(0, 1))
        return shown


class RandomResizedCrop(ViewAugmentation):
    """Select a random rectangle of the frame and resize it to the crop's size.

    It is drawn as in Szegedy et al., 2015 (arXiv:1409.4842), and torchvision: area and ratio are drawn until the
    rectangle fits into the frame; after ten attempts the middle of the frame is used. In frames of 16:9, the default
    ranges rarely fit, and 49% of the windows show the same middle (in frames of 4:3, less than 1%). This is kept
    because published recipes do so; with `ratio=None` every rectangle fits.
    """

    whole_frame: ClassVar[bool] = True

    scale: Share = (0.6, 1.0)
    """Range of the area, as a share of the frame's area; drawn uniformly."""
    ratio: Ratio | None = (3 / 4, 4 / 3)
    """Range of width over height; its logarithm is drawn uniformly. null for the ratio of the frame itself: the window
    then shows the centre crop of the rectangle, which is not distorted. Windows with measured motion require null."""

    @property
    def only_zooms(self) -> bool:
        """See `ViewAugmentation.only_zooms`."""
        return self.ratio is None

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Draw the box, [4]."""
        if self.ratio is None:
            side = math.sqrt(rng.uniform(*self.scale))
            return box_of((1 - side) * rng.random(), (1 - side) * rng.random(), side, side)
        size = draw_rectangle(rng, view.height, view.width, self.scale, self.ratio)
        if size is not None:
            high, wide = size[0] / view.height, size[1] / view.width
            return box_of((1 - high) * rng.random(), (1 - wide) * rng.random(), high, wide)
        ratio = min(max(view.width / view.height, self.ratio[0]), self.ratio[1])
        high, wide = min(view.width / ratio / view.height, 1.0), min(view.height * ratio / view.width, 1.0)
        return box_of((1 - high) / 2, (1 - wide) / 2, high, wide)


class HorizontalFlip(ViewAugmentation):
    """Mirror the video left to right. IMU channels do not change; `Mirror` mirrors both."""

    p: Probability = 0.5
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Draw the box, [4]."""
        return mirrored() if rng.random() < self.p else whole()


def draw_rectangle(
    rng: np.random.Generator,
    height: float,
    width: float,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[float, float] | None:
    """Draw (height, width) of a rectangle inside another one; None if ten draws did not fit.

    `scale` limits its share of the area, `ratio` its width over height.
    """
    for _ in range(ATTEMPTS):
        area = height * width * rng.uniform(*scale)
        wide_over_high = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        high, wide = math.sqrt(area / wide_over_high), math.sqrt(area * wide_over_high)
        if high <= height and wide <= width:
            return high, wide
    return None


def box_of(top: float, left: float, high: float, wide: float) -> Draw:
    """Return the box [4] with the given upper left corner and size, as shares of the view."""
    return np.array([top, left, top + high, left + wide], dtype=np.float32)
