"""Colour augmentation: affine maps of red, green and blue. Several maps and normalisation combine into one map.

They differ from torchvision's transforms of the same names, which are not affine, in three ways: contrast changes
around a fixed grey instead of the mean of each image; hue rotates colours in YIQ space instead of HSV; and colours are
not clipped to 0 ... 1 between the maps or at the end. With the default settings, 10% of evenly distributed colours
leave this range. They are not clipped, because encoders need no bounds, clipping would remove differences between
colours, and it would be another pass over all pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from revalexo_clip.augment.base import Draw, Probability, Shown, VideoAugmentation, View
from revalexo_clip.core.types import VideoSpec

Affine = npt.NDArray[np.float64]
"""A map of colours on the scale 0 to 1 as a matrix [4, 4] on (red, green, blue, 1); `b @ a` applies a, then b."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luma (ITU-R BT.601)."""
_YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""Matrix from red, green and blue to luma and the two axes of chroma (NTSC)."""
_RGB = np.linalg.inv(_YIQ)


class ColorAugmentation(VideoAugmentation, ABC):
    """Base class of affine maps of colours. All frames of a window are mapped alike."""

    @abstractmethod
    def affine(self, rng: np.random.Generator, spec: VideoSpec) -> Affine:
        """Draw the map for one window."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Draw the map of normalised colours, [3, 4]."""
        return (normalization(spec) @ self.affine(rng, spec) @ _denormalization(spec))[:3].astype(np.float32)

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """See `VideoAugmentation.apply`."""
        colour_B3n = torch.baddbmm(drawn[:, :, 3:], drawn[:, :, :3], video_B3THW.flatten(2))
        return colour_B3n.view_as(video_B3THW)

    def apply_to_motion(self, motion_BMYX3: Tensor, drawn: Tensor, shown: Shown) -> Tensor:
        """Return the motion unchanged: colours do not move."""
        return motion_BMYX3


class ColorJitter(ColorAugmentation):
    """Change brightness, contrast, saturation and hue, in random order."""

    brightness: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Brightness b: colours are multiplied by a factor from 1 - b to 1 + b."""
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Contrast c: distances from the grey that normalisation maps to 0 are multiplied by a factor from 1 - c to 1 + c.
    """
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Saturation s: distances from the grey of the same luma are multiplied by a factor from 1 - s to 1 + s."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Maximum rotation of colours around the grey axis, in either direction [turns]."""
    p: Probability = 0.8
    """Probability per window."""

    def affine(self, rng: np.random.Generator, spec: VideoSpec) -> Affine:
        """See `ColorAugmentation.affine`."""
        if rng.random() >= self.p:
            return np.eye(4)
        spread = np.array([self.brightness, self.contrast, self.saturation])
        bright, contrast, saturation = 1 + spread * rng.uniform(-1, 1, 3)
        grey = float(LUMA @ spec.mean)
        maps = (
            brighten(bright),
            change_contrast(contrast, grey),
            saturate(saturation),
            turn_hue(self.hue * rng.uniform(-1, 1)),
        )
        first, second, third, fourth = (maps[place] for place in rng.permutation(4))
        return fourth @ third @ second @ first


class Grayscale(ColorAugmentation):
    """Remove all colour: red, green and blue become luma."""

    p: Probability = 0.2
    """Probability per window."""

    def affine(self, rng: np.random.Generator, spec: VideoSpec) -> Affine:
        """See `ColorAugmentation.affine`."""
        return saturate(0.0) if rng.random() < self.p else np.eye(4)


@cache
def normalization(spec: VideoSpec) -> Affine:
    """Return the map that subtracts the mean and divides by the standard deviation."""
    return linear(np.diag(1 / np.array(spec.std)), -np.array(spec.mean) / np.array(spec.std))


@cache
def _denormalization(spec: VideoSpec) -> Affine:
    return np.asarray(np.linalg.inv(normalization(spec)))


def brighten(factor: float) -> Affine:
    """Multiply all colours by a factor."""
    return linear(np.eye(3) * factor)


def change_contrast(factor: float, grey: float) -> Affine:
    """Multiply the distances from a grey, 0 to 1, by a factor."""
    return linear(np.eye(3) * factor, np.full(3, (1 - factor) * grey))


def saturate(factor: float) -> Affine:
    """Multiply the distances from the grey of the same luma by a factor; 0 leaves only luma."""
    return linear(factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1)))


def turn_hue(turns: float) -> Affine:
    """Rotate chroma around the grey axis, from red towards yellow; greys and luma do not change."""
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    return linear(_RGB @ np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]]) @ _YIQ)


def linear(matrix: npt.NDArray[np.float64], offset: npt.NDArray[np.float64] | None = None) -> Affine:
    """Return the map `matrix` [3, 3] @ colour + `offset` [3]."""
    affine = np.eye(4)
    affine[:3, :3] = matrix
    if offset is not None:
        affine[:3, 3] = offset
    return affine


def as_affine(drawn: Draw) -> Affine:
    """Append the last row to a map [3, 4]."""
    return np.concatenate([drawn.astype(np.float64), [[0.0, 0.0, 0.0, 1.0]]])
