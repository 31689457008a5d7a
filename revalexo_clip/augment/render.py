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

from revalexo_clip.augment.base import Draw, Pixels, View

Edges = npt.NDArray[np.int64]
"""A view on whole pixels: top, left, bottom, right, [4]."""

_PIECE = 1 << 14
"""Pixels that are coloured at once: few enough for numpy not to start threads, which would wait for more to do."""


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
    _map_on_cpu(video_BTHWC.flatten(1, 3).numpy(), color_B34.numpy(), mapped.view(len(mapped), 3, -1).numpy())
    return mapped


def _map_on_cpu(video_Bn3: Pixels, color_B34: Draw, mapped_B3n: Draw) -> None:
    # Of matrices as flat as these numpy's product takes two fifths of the time of torch's. Piece by piece, what lies
    # between source and result stays in the cache; to planes first and then to floats is quicker than at once.
    planes_3p, floats_4p = np.empty((3, _PIECE), dtype=np.uint8), np.ones((4, _PIECE), dtype=color_B34.dtype)
    for video_n3, color_34, mapped_3n in zip(video_Bn3, color_B34, mapped_B3n, strict=True):
        for start in range(0, len(video_n3), _PIECE):
            piece_p3 = video_n3[start : start + _PIECE]
            place = slice(len(piece_p3))
            planes_3p[:, place] = piece_p3.T
            floats_4p[:3, place] = planes_3p[:, place]
            np.matmul(color_34, floats_4p[:, place], out=mapped_3n[:, start : start + _PIECE])


def resample(video_T3HW: Tensor, view: Edges, size: tuple[int, int]) -> Tensor:
    """[T, 3, *size] of the same type: one view of all frames [T, 3, H, W], uint8 on the CPU or float anywhere.

    Bytes are rounded to bytes.
    """
    top, left, bottom, right = view.tolist()
    shown = video_T3HW[..., top:bottom, min(left, right) : max(left, right)]
    if shown.shape[2:] != size:
        shown = interpolate(shown, size, mode="bilinear", align_corners=False, antialias=True)
    return shown.flip(-1) if left > right else shown
