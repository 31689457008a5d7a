"""Augmentation of what is seen of a frame: which rectangle, and whether mirrored."""

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
"""How often a rectangle is drawn before one that fits is taken as it comes."""


def _positive(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] <= 0:
        raise ValueError(f"must be more than 0, not {ends[0]:g}")
    return ends


def _share(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[1] > 1:
        raise ValueError(f"a share is at most 1, not {ends[1]:g}")
    return ends


Ratio = Annotated[Range, AfterValidator(_positive)]
"""Range of a ratio, which is positive."""
Share = Annotated[Ratio, AfterValidator(_share)]
"""Range of a share, more than 0 and at most 1."""


class ViewAugmentation(VideoAugmentation, ABC):
    """Shows a part of what was shown. `sample` gives its box [4], as `View.part` takes it."""

    whole_frame: ClassVar[bool] = False
    """Whether it chooses from the whole frame instead of from the centre crop."""

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """See `VideoAugmentation.apply`. Only for frames that are finished already."""
        height, width = video_B3THW.shape[3:]
        shown = torch.empty_like(video_B3THW)
        for video_3THW, box, part in zip(video_B3THW, drawn.cpu().numpy(), shown, strict=True):
            view = whole_pixels(View(0, 0, height, width).part(box), height, width)
            part.copy_(resample(video_3THW.transpose(0, 1), view, (height, width)).transpose(0, 1))
        return shown


class RandomResizedCrop(ViewAugmentation):
    """Shows a random rectangle of the frame, stretched to the crop's size.

    The way of drawing it is that of Szegedy et al., 2015 (arXiv:1409.4842), and of torchvision: area and ratio are
    drawn until the rectangle fits into the frame; after ten attempts the middle of the frame is taken.
    """

    whole_frame: ClassVar[bool] = True

    scale: Share = (0.6, 1.0)
    """Area, as a share of the frame's, uniform."""
    ratio: Ratio = (3 / 4, 4 / 3)
    """Width over height, uniform in its logarithm."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """The box, [4]."""
        size = draw_rectangle(rng, view.height, view.width, self.scale, self.ratio)
        if size is not None:
            high, wide = size[0] / view.height, size[1] / view.width
            return box_of((1 - high) * rng.random(), (1 - wide) * rng.random(), high, wide)
        ratio = min(max(view.width / view.height, self.ratio[0]), self.ratio[1])
        high, wide = min(view.width / ratio / view.height, 1.0), min(view.height * ratio / view.width, 1.0)
        return box_of((1 - high) / 2, (1 - wide) / 2, high, wide)


class HorizontalFlip(ViewAugmentation):
    """Mirrors the video, left for right. IMU channels stay: `Mirror` turns both."""

    p: Probability = 0.5
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """The box, [4]."""
        return mirrored() if rng.random() < self.p else whole()


def draw_rectangle(
    rng: np.random.Generator,
    height: float,
    width: float,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[float, float] | None:
    """(height, width) of a rectangle within another; None where ten in a row did not fit.

    `scale` bounds its share of the area, `ratio` its width over height.
    """
    for _ in range(ATTEMPTS):
        area = height * width * rng.uniform(*scale)
        wide_over_high = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        high, wide = math.sqrt(area / wide_over_high), math.sqrt(area * wide_over_high)
        if high <= height and wide <= width:
            return high, wide
    return None


def box_of(top: float, left: float, high: float, wide: float) -> Draw:
    """A box [4] by its upper left corner and its size, as shares of the view."""
    return np.array([top, left, top + high, left + wide], dtype=np.float32)
