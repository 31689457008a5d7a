"""Rendering of source frames into an encoder's input: one resampling in the loader, one colour map per batch.

Resampling is bilinear and antialiased: the filter widens when frames shrink. All frames of a clip are resampled at
once, and clips one by one, because every clip has its own rectangle. On the CPU, torch resamples bytes with vector
instructions, six times faster than floats. The rectangle is cut out as a slice; the result is mirrored, because it is
smaller. Resampling runs in the loader, while the frames are in its processor's cache: this halves the data that is sent
to the training device, and the result does not depend on that device.
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
"""A view in whole pixels: top, left, bottom, right, [4]."""

_PIECE = 1 << 14
"""Pixels that are colour-mapped at once: few enough that numpy starts no threads, which would be mostly idle."""


def whole_pixels(view: View, height: int, width: int) -> Edges:
    """Round the edges of a view to whole pixels. The result has at least one pixel and lies inside the frame."""
    top, bottom = _nearest(view.top, view.bottom, height)
    left, right = _nearest(min(view.left, view.right), max(view.left, view.right), width)
    if view.left > view.right:
        left, right = right, left
    return np.array([top, left, bottom, right], dtype=np.int64)


def _nearest(low: float, high: float, size: int) -> tuple[int, int]:
    first = min(max(math.floor(low + 0.5), 0), size - 1)
    return first, min(max(math.floor(high + 0.5), first + 1), size)


def show(video_THWC: Pixels, view: Edges, crop: int) -> Pixels:
    """Resample one view [4] of all frames [T, H, W, 3] to [T, crop, crop, 3] uint8."""
    shown_T3HW = resample(torch.from_numpy(video_THWC).permute(0, 3, 1, 2), view, (crop, crop))
    return np.ascontiguousarray(shown_T3HW.permute(0, 2, 3, 1).numpy())


def map_colors(video_BTHWC: Tensor, color_B34: Tensor, into_B3THW: Tensor | None = None) -> Tensor:
    """Map the colours (0 to 255) of each clip: [B, T, H, W, 3] uint8 -> [B, 3, T, H, W] float32.

    `color_B34` maps (red, green, blue, 1) to the output colours. The result is written to `into_B3THW` if that has the
    right size, because using new memory takes as long as all the rest.
    """
    size = video_BTHWC.permute(0, 4, 1, 2, 3).shape
    if not size.numel():
        return color_B34.new_empty(size)
    fits = into_B3THW is not None and into_B3THW.shape == size and into_B3THW.device == color_B34.device
    mapped = into_B3THW if into_B3THW is not None and fits else color_B34.new_empty(size)
    if color_B34.device.type != "cpu":
        floats_B3n = video_BTHWC.permute(0, 4, 1, 2, 3).to(color_B34.dtype).flatten(2)
        torch.baddbmm(color_B34[:, :, 3:], color_B34[:, :, :3], floats_B3n, out=mapped.view(len(mapped), 3, -1))
        return mapped
    _map_on_cpu(video_BTHWC.flatten(1, 3).numpy(), color_B34.numpy(), mapped.view(len(mapped), 3, -1).numpy())
    return mapped


def _map_on_cpu(video_Bn3: Pixels, color_B34: Draw, mapped_B3n: Draw) -> None:
    # For matrices as flat as these, numpy's product takes two fifths of the time of torch's. Working piece by piece
    # keeps intermediate results in the cache. Converting to planes and then to floats is faster than both at once.
    planes_3p, floats_4p = np.empty((3, _PIECE), dtype=np.uint8), np.ones((4, _PIECE), dtype=color_B34.dtype)
    for video_n3, color_34, mapped_3n in zip(video_Bn3, color_B34, mapped_B3n, strict=True):
        for start in range(0, len(video_n3), _PIECE):
            piece_p3 = video_n3[start : start + _PIECE]
            place = slice(len(piece_p3))
            planes_3p[:, place] = piece_p3.T
            floats_4p[:3, place] = planes_3p[:, place]
            np.matmul(color_34, floats_4p[:, place], out=mapped_3n[:, start : start + _PIECE])


def resample(video_T3HW: Tensor, view: Edges, size: tuple[int, int]) -> Tensor:
    """Resample one view of all frames [T, 3, H, W] to [T, 3, *size] of the same dtype.

    The frames are uint8 on the CPU, or float on any device. Results of uint8 are rounded to uint8.
    """
    top, left, bottom, right = view.tolist()
    shown = video_T3HW[..., top:bottom, min(left, right) : max(left, right)]
    if shown.shape[2:] != size:
        shown = interpolate(shown, size, mode="bilinear", align_corners=False, antialias=True)
    return shown.flip(-1) if left > right else shown
