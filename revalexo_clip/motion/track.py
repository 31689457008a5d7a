"""The measured motion of a whole clip, and its resampling to the moments of a window."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from revalexo_clip.core.types import MotionSpec
from revalexo_clip.motion.base import Front

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]

AT_A_TIME = 32
"""Pairs of frames that are measured at once."""
LEAST = 1e-6
"""A moment with less confidence than this has no motion."""


class MotionTrack(NamedTuple):
    """The image motion of a clip between each frame and the next; P is the number of pairs."""

    edge_E: Floats
    """[P + 1] ascending times of the frames [s in the clip]; pair p lasts from `edge_E[p]` to `edge_E[p + 1]`."""
    value_PYX3: Float32
    """[P, Y, X, 3]: mean velocity to the right and down [picture widths / s], and its confidence from 0 to 1."""

    @property
    def midpoints(self) -> Floats:
        """[P] times that the motion of the pairs belongs to [s in the clip]."""
        return np.asarray((self.edge_E[1:] + self.edge_E[:-1]) / 2)


@torch.no_grad()
def measure(front: Front, frames: Iterable[tuple[float, Grey]]) -> MotionTrack:
    """Measure motion between frames [H, W] of ascending time [s]. There must be two or more."""
    times, values, last = list[float](), list[torch.Tensor](), list[Grey]()
    iterator = iter(frames)
    while chunk := list(islice(iterator, AT_A_TIME)):
        times += [time for time, _ in chunk]
        grey_NHW = torch.from_numpy(np.stack([*last, *(frame_HW for _, frame_HW in chunk)]))
        values.append(front(grey_NHW[:-1], grey_NHW[1:]))
        last = [chunk[-1][1]]
    edge_E = np.array(times)
    value_PYX3 = torch.cat(values).numpy()
    value_PYX3[..., :2] /= np.diff(edge_E)[:, None, None, None]
    return MotionTrack(edge_E, value_PYX3)


def resample(track: MotionTrack, start: float, spec: MotionSpec) -> Float32:
    """Compute the motion of the moments of a window that starts at `start` [s in the clip], [M, Y, X, 3] float32.

    Moment m lasts from m / rate to (m + 1) / rate. Its velocity is the mean over this time, weighted by confidence, of
    the velocities of the pairs of frames that it overlaps; its confidence is their mean. Frame rates and jitter
    therefore do not matter. Time without frames has confidence 0; a moment without any confidence has velocity 0.
    """
    bound_N = start + np.arange(spec.moments + 1) / spec.rate
    first, end = span_of(track.edge_E, start, spec)
    edge_E = track.edge_E[first : end + 1]
    overlap_MP = np.minimum(bound_N[1:, None], edge_E[1:]) - np.maximum(bound_N[:-1, None], edge_E[:-1])
    weighted_PYX3 = track.value_PYX3[first:end].astype(np.float64)
    weighted_PYX3[..., :2] *= weighted_PYX3[..., 2:]
    share_MP = overlap_MP.clip(min=0) * spec.rate
    _, rows, columns, kinds = weighted_PYX3.shape
    total_MYX3 = (share_MP @ weighted_PYX3.reshape(-1, rows * columns * kinds)).reshape(-1, rows, columns, kinds)
    confidence_MYX1 = total_MYX3[..., 2:]
    motion_MYX3 = np.zeros(total_MYX3.shape, dtype=np.float32)
    velocity_MYX2 = total_MYX3[..., :2] / np.maximum(confidence_MYX1, LEAST)
    np.copyto(motion_MYX3[..., :2], velocity_MYX2, casting="same_kind", where=confidence_MYX1 > LEAST)
    np.copyto(motion_MYX3[..., 2:], confidence_MYX1.clip(0, 1), casting="same_kind")
    return motion_MYX3


def span_of(edge_E: Floats, start: float, spec: MotionSpec) -> tuple[int, int]:
    """Return the first pair that a window at `start` [s] overlaps, and the one after the last."""
    first = int(np.searchsorted(edge_E, start, side="right")) - 1
    end = int(np.searchsorted(edge_E, start + spec.moments / spec.rate, side="left"))
    return min(max(first, 0), len(edge_E) - 1), min(max(end, 0), len(edge_E) - 1)
