"""From source frames to what an encoder takes: one resampling where they are loaded, one map of colour for a batch.

Resampling is bilinear with a filter that widens as it shrinks, so that it does not alias. It is done clip by clip, all
frames at once, because every clip has a rectangle of its own; on the CPU torch does it on bytes with vector
instructions, six times faster than on floats. Cutting the rectangle out is a slice; what is mirrored is the result,
which is smaller. It is done by the loader, while the frames are in its processor's cache: what then travels to the
device that trains is half as much, and the same whatever that device is.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from revalexo_clip.augment.base import Pixels, View

Edges = npt.NDArray[np.int64]
"""A view on whole pixels: top, left, bottom, right, [4]."""


def whole_pixels(view: View, height: int, width: int) -> Edges:
    """The view, each edge at the nearest border between pixels; at least one pixel, inside of the frame."""
    top, bottom = _nearest(view.top, view.bottom, height)
    left, right = _nearest(min(view.left, view.right), max(view.left, view.right), width)
    if view.left > view.right:
        left, right = right, left
    return np.array([top, left, bottom, right], dtype=np.int64)


def _nearest(low: float, high: float, size: int) -> tuple[int, int]:
    first = min(max(math.floor(low + 0.5), 0), size - 1)
    return first, min(max(math.floor(high + 0.5), first + 1), size)


def show(video_THWC: Pixels, view: Edges, crop: int) -> Pixels:
    """[T, crop, crop, 3] uint8: one view [4] of all frames [T, H, W, 3]."""
    shown_T3HW = resample(torch.from_numpy(video_THWC).permute(0, 3, 1, 2), view, (crop, crop))
    return np.ascontiguousarray(shown_T3HW.permute(0, 2, 3, 1).numpy())


def map_colors(video_BTHWC: Tensor, color_B34: Tensor, into_B3THW: Tensor | None = None) -> Tensor:
    """[B, 3, T, H, W] float32: the colours (0 to 255) of each clip of [B, T, H, W, 3] uint8, mapped.

    `color_B34` maps (red, green, blue, 1) to the colours that come out. These are written into `into_B3THW` if that has
    the right size: touching new memory takes as long as all the rest.
    """
    size = video_BTHWC.permute(0, 4, 1, 2, 3).shape
    fits = into_B3THW is not None and into_B3THW.shape == size and into_B3THW.device == color_B34.device
    mapped = into_B3THW if into_B3THW is not None and fits else color_B34.new_empty(size)
    if color_B34.device.type != "cpu":
        floats_B3n = video_BTHWC.permute(0, 4, 1, 2, 3).to(color_B34.dtype).flatten(2)
        torch.baddbmm(color_B34[:, :, 3:], color_B34[:, :, :3], floats_B3n, out=mapped.view(len(mapped), 3, -1))
        return mapped
    # Frame by frame: what lies between source and result then stays in the cache.
    floats_4n = color_B34.new_ones(4, size[3] * size[4])
    for video_THWC, color_34, out_3THW in zip(video_BTHWC, color_B34, mapped, strict=True):
        for frame_HWC, out_3HW in zip(video_THWC, out_3THW.unbind(1), strict=True):
            # In two steps, planes and then floats, it takes two thirds of the time.
            floats_4n[:3] = frame_HWC.permute(2, 0, 1).contiguous().flatten(1)
            torch.mm(color_34, floats_4n, out=out_3HW.view(3, -1))
    return mapped


def resample(video_T3HW: Tensor, view: Edges, size: tuple[int, int]) -> Tensor:
    """[T, 3, *size] of the same type: one view of all frames [T, 3, H, W], uint8 on the CPU or float anywhere.

    Bytes are rounded to bytes.
    """
    top, left, bottom, right = view.tolist()
    shown = video_T3HW[..., top:bottom, min(left, right) : max(left, right)]
    if shown.shape[2:] != size:
        shown = interpolate(shown, size, mode="bilinear", align_corners=False, antialias=True)
    return shown.flip(-1) if left > right else shown
