"""From source frames to what an encoder takes: one resampling, one affine map of colour.

Resampling is bilinear with a filter that widens as it shrinks, so that it does not alias. It is done clip by clip, all
frames at once, because every clip has a rectangle of its own; on the CPU torch does it on bytes with vector
instructions, six times faster than on floats. Cutting the rectangle out is a slice, and mirroring reads it backwards.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from revalexo_clip.augment.base import View

Edges = npt.NDArray[np.int64]
"""A view on whole pixels: top, left, bottom, right, [4] or [B, 4]."""

IN_CACHE = 4
"""Frames that the CPU works on at a time: what lies between source and result then stays in its cache."""


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


def render(
    video_BTHWC: Tensor, view_B4: Edges, color_B34: Tensor, crop: int, into_B3THW: Tensor | None = None
) -> Tensor:
    """[B, 3, T, crop, crop] float32: the view of each clip of [B, T, H, W, 3] uint8, its colours (0 to 255) mapped.

    `color_B34` maps (red, green, blue, 1) to the colours that come out. These are written into `into_B3THW` if that has
    the right size: touching new memory takes as long as all the rest.
    """
    count, frames = video_BTHWC.shape[:2]
    size = (count, 3, frames, crop, crop)
    fits = into_B3THW is not None and into_B3THW.shape == size and into_B3THW.device == color_B34.device
    rendered = into_B3THW if into_B3THW is not None and fits else color_B34.new_empty(size)
    at_a_time = IN_CACHE if color_B34.device.type == "cpu" else frames
    for video_THWC, view, color_34, out_3THW in zip(video_BTHWC, view_B4, color_B34, rendered, strict=True):
        for some_tHWC, out_3tHW in zip(video_THWC.split(at_a_time), out_3THW.split(at_a_time, dim=1), strict=True):
            shown_t3HW = resample(some_tHWC.permute(0, 3, 1, 2), view, (crop, crop)).contiguous()
            _map_colors(shown_t3HW, color_34, out_3tHW)
    return rendered


def _map_colors(shown_T3HW: Tensor, color_34: Tensor, out_3THW: Tensor) -> None:
    if shown_T3HW.device.type != "cpu":
        floats_3n = shown_T3HW.transpose(0, 1).to(color_34.dtype).flatten(1)
        torch.addmm(color_34[:, 3:], color_34[:, :3], floats_3n, out=out_3THW.view(3, -1))
        return
    floats_4n = color_34.new_ones(4, shown_T3HW[0, 0].numel())
    for shown_3HW, out_3HW in zip(shown_T3HW, out_3THW.unbind(1), strict=True):
        floats_4n[:3] = shown_3HW.flatten(1)
        torch.mm(color_34, floats_4n, out=out_3HW.view(3, -1))


def resample(video_T3HW: Tensor, view: Edges, size: tuple[int, int]) -> Tensor:
    """[T, 3, *size] of the same type: one view of all frames [T, 3, H, W], uint8 or float.

    Bytes are rounded to bytes. Devices other than the CPU have no filter on bytes; theirs goes by way of floats, and
    may differ by one step of 255.
    """
    top, left, bottom, right = view.tolist()
    shown = video_T3HW[..., top:bottom, min(left, right) : max(left, right)]
    if left > right:
        shown = shown.flip(-1)
    if shown.shape[2:] == size:
        return shown
    if shown.dtype == torch.uint8 and shown.device.type != "cpu":
        return _filter(shown.float(), size).round_().clamp_(0, 255).byte()
    return _filter(shown, size)


def _filter(shown: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(shown, size, mode="bilinear", align_corners=False, antialias=True)
