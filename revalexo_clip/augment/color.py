"""Augmentation of colour: affine maps of red, green and blue, so that any number of them, and normalisation, are one.

They differ from torchvision's transforms of the same names, which are not affine, in three ways: contrast is around a
fixed grey instead of the mean of each picture; hue turns colours in YIQ space instead of HSV; and colours are not
clipped to 0 ... 1 in between or after.
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

from revalexo_clip.augment.base import Draw, Probability, VideoAugmentation, View
from revalexo_clip.core.types import VideoSpec

Affine = npt.NDArray[np.float64]
"""A map of colours from 0 to 1 as a matrix [4, 4] on (red, green, blue, 1); `b @ a` is a, then b."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Share of red, green and blue in luma (ITU-R BT.601)."""
_YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""Red, green and blue to luma and the two axes of chroma (NTSC)."""
_RGB = np.linalg.inv(_YIQ)


class ColorAugmentation(VideoAugmentation, ABC):
    """An affine map of colours, the same for all frames of a window."""

    @abstractmethod
    def affine(self, rng: np.random.Generator, spec: VideoSpec) -> Affine:
        """Draw the map for one window."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """The map on normalised colours, [3, 4]."""
        return (normalization(spec) @ self.affine(rng, spec) @ _denormalization(spec))[:3].astype(np.float32)

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """See `VideoAugmentation.apply`."""
        colour_B3n = torch.baddbmm(drawn[:, :, 3:], drawn[:, :, :3], video_B3THW.flatten(2))
        return colour_B3n.view_as(video_B3THW)


class ColorJitter(ColorAugmentation):
    """Changes brightness, contrast, saturation and hue, in random order."""

    brightness: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Colours are multiplied by up to 1 +- this."""
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Distances from the grey that normalisation takes to 0 are multiplied by up to 1 +- this."""
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Distances from the grey of the same luma are multiplied by up to 1 +- this."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Colours are turned around the axis of greys by up to +- this, in turns."""
    p: Probability = 0.8
    """How many of the windows."""

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
    """Takes all colour away: red, green and blue become luma."""

    p: Probability = 0.2
    """How many of the windows."""

    def affine(self, rng: np.random.Generator, spec: VideoSpec) -> Affine:
        """See `ColorAugmentation.affine`."""
        return saturate(0.0) if rng.random() < self.p else np.eye(4)


@cache
def normalization(spec: VideoSpec) -> Affine:
    """Less the mean, over the deviation."""
    return linear(np.diag(1 / np.array(spec.std)), -np.array(spec.mean) / np.array(spec.std))


@cache
def _denormalization(spec: VideoSpec) -> Affine:
    return np.asarray(np.linalg.inv(normalization(spec)))


def brighten(factor: float) -> Affine:
    """All colours multiplied by a factor."""
    return linear(np.eye(3) * factor)


def change_contrast(factor: float, grey: float) -> Affine:
    """Distances from a grey, 0 to 1, multiplied by a factor."""
    return linear(np.eye(3) * factor, np.full(3, (1 - factor) * grey))


def saturate(factor: float) -> Affine:
    """Distances from the grey of the same luma multiplied by a factor; 0 leaves luma alone."""
    return linear(factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1)))


def turn_hue(turns: float) -> Affine:
    """Chroma turned around the axis of greys, from red towards yellow; greys and luma stay."""
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    return linear(_RGB @ np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]]) @ _YIQ)


def linear(matrix: npt.NDArray[np.float64], offset: npt.NDArray[np.float64] | None = None) -> Affine:
    """`matrix` [3, 3] @ colour + `offset` [3]."""
    affine = np.eye(4)
    affine[:3, :3] = matrix
    if offset is not None:
        affine[:3, 3] = offset
    return affine


def as_affine(drawn: Draw) -> Affine:
    """A map [3, 4] with its last row."""
    return np.concatenate([drawn.astype(np.float64), [[0.0, 0.0, 0.0, 1.0]]])
