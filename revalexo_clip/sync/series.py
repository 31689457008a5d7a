"""Rotation of the picture between frames, and the mean turning rate of a gyroscope in the same time.

Shapes: P = pairs of adjacent frames, n = rows of an IMU file. Rotation of the picture has three parts: its shift to the
right and down [picture widths / s], and its roll [rad / s].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from revalexo_clip.motion import MotionTrack

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PARTS = ("right", "down", "roll")
"""Parts of the rotation of the picture."""
_ROUNDS = 6
_LEAST_SCALE = 0.02
"""Deviations of cells below this are noise of the measurement [picture widths / s]."""
_LEAST_CONFIDENCE = 0.6
"""Cells that together are less sure than one good cell have no say; the sum of their confidences."""


@dataclass(frozen=True)
class PictureRotation:
    """Mean rotation of the picture between frames, of ascending times."""

    begin_P: Floats
    end_P: Floats
    """Times of the two frames of each pair [s in the recording]."""
    rate_P3: Floats
    """Shift to the right and down [picture widths / s] and roll [rad / s]."""
    weight_P: Floats
    """From 0 to 1: how sure it is."""

    @property
    def midpoints(self) -> Floats:
        """Times that the rotation belongs to [s in the recording]."""
        return np.asarray((self.begin_P + self.end_P) / 2)

    @property
    def frame(self) -> float:
        """Median time between two frames [s]."""
        return float(np.median(self.end_P - self.begin_P))

    def take(self, chosen_P: npt.NDArray[np.bool_]) -> PictureRotation:
        """Return some of the pairs."""
        return PictureRotation(
            self.begin_P[chosen_P], self.end_P[chosen_P], self.rate_P3[chosen_P], self.weight_P[chosen_P]
        )


def picture_rotation(track: MotionTrack, aspect: float, rows: slice = slice(None)) -> PictureRotation:
    """Fit shift, roll and zoom of the picture to the motion of its cells, pair by pair.

    The fit is robust: cells that move differently from most, such as hands, people and noise, lose their weight
    (Cauchy's function, iterated least squares that begin with the median). `aspect` is height divided by width; `rows`
    are the rows of cells that the fit is of, while the weights are those of the whole picture.
    """
    value_PYX3 = track.value_PYX3.astype(np.float64)
    pairs, count_Y, count_X, _ = value_PYX3.shape
    down_Y = ((np.arange(count_Y) + 0.5) / count_Y - 0.5) * aspect
    right_X = (np.arange(count_X) + 0.5) / count_X - 0.5
    down_N, right_N = (axis.ravel() for axis in np.meshgrid(down_Y, right_X, indexing="ij"))
    zero_N, one_N = np.zeros_like(down_N), np.ones_like(down_N)
    # Unknowns: right, down, roll (clockwise), zoom.
    design_2N4 = np.stack(
        [
            np.stack([one_N, zero_N, -down_N, right_N], axis=-1),
            np.stack([zero_N, one_N, right_N, down_N], axis=-1),
        ]
    )
    cells_PN3 = value_PYX3.reshape(pairs, -1, 3)
    motion_P2N, sure_PN = cells_PN3[..., :2].swapaxes(1, 2), cells_PN3[..., 2].clip(0, 1)
    found_P4 = np.concatenate([np.median(motion_P2N, axis=2), np.zeros((pairs, 2))], axis=1)
    for _ in range(_ROUNDS):
        weight_PN = _weights(motion_P2N, sure_PN, design_2N4, found_P4)
        found_P4 = _solved(motion_P2N, weight_PN, design_2N4)
    inside_N = np.zeros((count_Y, count_X))
    inside_N[rows] = 1
    if not inside_N.all():
        weight_PN = weight_PN * inside_N.ravel()
        found_P4 = _solved(motion_P2N, weight_PN, design_2N4)
    total_P = weight_PN.sum(axis=1)
    weight_P = np.where(total_P > _LEAST_CONFIDENCE, total_P / inside_N.sum(), 0.0)
    weight_P[~np.isfinite(found_P4).all(axis=1)] = 0
    return PictureRotation(track.edge_E[:-1], track.edge_E[1:], np.nan_to_num(found_P4[:, :3]), weight_P)


def _weights(motion_P2N: Floats, sure_PN: Floats, design_2N4: Floats, found_P4: Floats) -> Floats:
    """Return the weight of each cell, by its distance from a fit."""
    off_PN = np.linalg.norm(motion_P2N - np.einsum("cni,pi->pcn", design_2N4, found_P4), axis=1)
    scale_P1 = np.maximum(1.5 * np.median(off_PN, axis=1, keepdims=True), _LEAST_SCALE)
    return np.asarray(sure_PN / (1 + (off_PN / (2 * scale_P1)) ** 2))


def _solved(motion_P2N: Floats, weight_PN: Floats, design_2N4: Floats) -> Floats:
    normal_P44 = np.einsum("pn,cni,cnj->pij", weight_PN, design_2N4, design_2N4, optimize=True) + 1e-6 * np.eye(4)
    right_side_P4 = np.einsum("pn,cni,pcn->pi", weight_PN, design_2N4, motion_P2N, optimize=True)
    return np.asarray(np.linalg.solve(normal_P44, right_side_P4[..., None])[..., 0])


def concatenated(parts: Sequence[PictureRotation]) -> PictureRotation:
    """Join the rotation of pieces of a recording; pairs that begin before the last piece has ended are left out."""
    kept, until = [], -np.inf
    for part in sorted(parts, key=lambda one: float(one.begin_P[0])):
        new = part.take(part.begin_P >= until - 1e-6)
        if len(new.begin_P):
            kept.append(new)
            until = float(new.end_P[-1])
    return PictureRotation(
        *(np.concatenate([getattr(one, name) for one in kept]) for name in ("begin_P", "end_P", "rate_P3", "weight_P"))
    )


class Gyroscope:
    """Turning rate of a sensor, and its mean between any two times, from a smooth curve through its rows."""

    def __init__(self, pieces: Sequence[tuple[Floats, Floats]]) -> None:
        """Set the ascending times [n] and turning rates [n, 3] (rad/s) of pieces without gaps, in order."""
        pieces = [(time_n, rate_n3) for time_n, rate_n3 in pieces if len(time_n) > 1]
        if not pieces:
            raise ValueError("a gyroscope needs two rows or more")
        self.time_n = np.concatenate([time_n for time_n, _ in pieces])
        self.rate_n3 = np.concatenate([rate_n3 for _, rate_n3 in pieces])
        self._first = np.array([time_n[0] for time_n, _ in pieces])
        self._last = np.array([time_n[-1] for time_n, _ in pieces])
        step_n = np.diff(self.time_n)
        trapezoid = 0.5 * (self.rate_n3[1:] + self.rate_n3[:-1]) * step_n[:, None]
        self.angle_n3 = np.concatenate([np.zeros((1, 3)), np.cumsum(trapezoid, axis=0)])

    def mean_rate(self, begin_P: Floats, end_P: Floats) -> Floats:
        """Return the mean turning rate between two times [P, 3]; NaN if there are no rows for some of the time."""
        mean_P3 = (self._angle(end_P) - self._angle(begin_P)) / (end_P - begin_P)[:, None]
        place_P = np.searchsorted(self._first, begin_P, side="right") - 1
        covered_P = (place_P >= 0) & (end_P <= self._last[place_P.clip(min=0)])
        mean_P3[~covered_P] = np.nan
        return mean_P3

    def _angle(self, time_P: Floats) -> Floats:
        """Integrate the turning rate up to each time [P, 3], as straight lines between rows."""
        place_P = np.clip(np.searchsorted(self.time_n, time_P, side="right") - 1, 0, len(self.time_n) - 2)
        step_P = self.time_n[place_P + 1] - self.time_n[place_P]
        share_P1 = ((time_P - self.time_n[place_P]) / step_P).clip(0, 1)[:, None]
        first_P3, second_P3 = self.rate_n3[place_P], self.rate_n3[place_P + 1]
        inside_P3 = (first_P3 * (share_P1 - share_P1**2 / 2) + second_P3 * share_P1**2 / 2) * step_P[:, None]
        return np.asarray(self.angle_n3[place_P] + inside_P3)
