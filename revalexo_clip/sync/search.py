"""Search for the lag and drift at which a gyroscope explains the rotation of the picture best.

Shapes: S = shifts that are tried, evenly spaced; B = blocks of time; P = pairs of frames. The sums of a block are those
of the products of 1, three turning rates and three parts of the picture's rotation, [7, 7].

How well is Wilks' lambda: the determinant of what a linear map of the turning rates leaves of the rotation, relative to
that of all of it. It does not depend on how axes are turned or scaled. Its negative logarithm is called evidence here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from revalexo_clip.sync.series import Floats, Gyroscope, Ints, PictureRotation

STEP = 0.015
"""Distance of the shifts that are tried [s]; head turns have little above 5 Hz, whose peak is 100 ms wide."""
LEAST_SHARE = 0.5
"""A shift must leave this share of the recording in common."""
_RIDGE = 1e-6
_MOST_BLOCKS = 100
_SHORTEST_BLOCK = 0.5
_DRIFT_STEP = 0.02
"""Drifts that are tried differ by this at the ends of a recording [s]."""


class Blocks(NamedTuple):
    """A recording in blocks of equal time."""

    number_P: Ints
    """Block of each pair of frames."""
    middle_B: Floats
    """[s in the recording]"""


class Peak(NamedTuple):
    """The best of the shifts and drifts that were tried."""

    lag: float
    """How much later than it says the IMU was taken, in the middle of the recording [s]."""
    drift: float
    """Change of the lag by time [s / s]."""
    evidence: float
    evidence_S: Floats
    """By shift, at the best drift."""
    sums_SB77: Floats
    """By shift and block, at the best drift."""


def blocks_of(picture: PictureRotation) -> Blocks:
    """Divide a recording into 8 blocks or more, of 1 s if it lasts longer, but into at most 100."""
    begin, length = float(picture.begin_P[0]), float(picture.end_P[-1] - picture.begin_P[0])
    count = int(np.clip(length, 8, _MOST_BLOCKS))
    count = max(min(count, int(length / _SHORTEST_BLOCK)), 2)
    number_P = ((picture.midpoints - begin) / length * count).astype(np.int64).clip(0, count - 1)
    return Blocks(number_P, begin + (np.arange(count) + 0.5) * length / count)


def shifts(most: float) -> Floats:
    """Return the shifts that are tried, from -`most` to `most` [s]."""
    count = int(np.ceil(most / STEP))
    return np.arange(-count, count + 1, dtype=np.float64) * STEP


def sums_by_shift(picture: PictureRotation, gyroscope: Gyroscope, blocks: Blocks, shift_S: Floats) -> Floats:
    """Return the sums of each block at each shift, [S, B, 7, 7]. Rates are scaled to unit variance."""
    count = len(blocks.middle_B)
    scale_3 = np.maximum(gyroscope.rate_n3.std(axis=0), 1e-9)
    weight_P = picture.weight_P
    mean_3 = np.average(picture.rate_P3, axis=0, weights=weight_P)
    spread_3 = np.sqrt(np.average((picture.rate_P3 - mean_3) ** 2, axis=0, weights=weight_P))
    rotation_P3 = (picture.rate_P3 - mean_3) / np.maximum(spread_3, 1e-9)
    sums_SB77 = np.zeros((len(shift_S), count, 7, 7))
    for place, shift in enumerate(shift_S):
        rate_P3 = gyroscope.mean_rate(picture.begin_P - shift, picture.end_P - shift) / scale_3
        used_P = np.isfinite(rate_P3).all(axis=1) & (weight_P > 0)
        if not used_P.any():
            continue
        number_P = blocks.number_P[used_P]
        all_P7 = np.concatenate([np.ones((len(number_P), 1)), rate_P3[used_P], rotation_P3[used_P]], axis=1)
        weighted_P7 = weight_P[used_P, None] * all_P7
        edges = np.searchsorted(number_P, np.arange(count + 1))
        for block, (first, end) in enumerate(pairwise(edges.tolist())):
            sums_SB77[place, block] = all_P7[first:end].T @ weighted_P7[first:end]
    return sums_SB77


def evidence(sums_77: Floats, total: float | Floats) -> Floats:
    """Return how well the turning rates explain the rotation, for any number of sums [..., 7, 7].

    It is multiplied by the share of the recording that is in common, `total` being its weight; with less than half, it
    is 0.
    """
    weight = sums_77[..., 0, 0]
    safe = np.maximum(weight, 1e-12)[..., None]
    mean_6 = sums_77[..., 0, 1:] / safe
    covariance_66 = sums_77[..., 1:, 1:] / safe[..., None] - mean_6[..., :, None] * mean_6[..., None, :]
    covariance_66 = covariance_66 + _RIDGE * np.eye(6)
    _, both = np.linalg.slogdet(covariance_66)
    _, rates = np.linalg.slogdet(covariance_66[..., :3, :3])
    _, rotation = np.linalg.slogdet(covariance_66[..., 3:, 3:])
    found = (rates + rotation - both) * weight / total
    return np.asarray(np.where(weight >= LEAST_SHARE * total, found, 0.0))


def drifted(sums_SB77: Floats, moved_B: Ints) -> Floats:
    """Return the sums by shift if block b is shifted by `moved_B[b]` steps more; 0 outside of what was tried."""
    count = len(sums_SB77)
    place_SB = np.arange(count)[:, None] + moved_B
    found_SB77 = np.take_along_axis(sums_SB77, place_SB.clip(0, count - 1)[:, :, None, None], axis=0)
    found_SB77[(place_SB < 0) | (place_SB >= count)] = 0
    return found_SB77


def search(picture: PictureRotation, sums_SB77: Floats, blocks: Blocks, shift_S: Floats, most_drift: float) -> Peak:
    """Find the best shift, and the best drift up to `most_drift` [s / s]."""
    total = float(picture.weight_P.sum())
    from_middle_B = blocks.middle_B - reference_time(picture)
    reach = max(float(np.abs(from_middle_B).max()), 1e-6)
    steps = int(most_drift * reach / _DRIFT_STEP)
    best: Peak | None = None
    for drift in sorted(np.arange(-steps, steps + 1) * (_DRIFT_STEP / reach), key=abs):
        moved_B = np.rint(drift * from_middle_B / STEP).astype(np.int64)
        sums_SB = drifted(sums_SB77, moved_B) if moved_B.any() else sums_SB77
        evidence_S = evidence(sums_SB.sum(axis=1), total)
        place = int(evidence_S.argmax())
        if best is None or evidence_S[place] > best.evidence:
            best = Peak(float(shift_S[place]), float(drift), float(evidence_S[place]), evidence_S, sums_SB)
    assert best is not None
    return best


def reference_time(picture: PictureRotation) -> float:
    """Return the time that the lag of a drifting recording is stated for [s]: the mean of its pairs of frames."""
    return float(np.average(picture.midpoints, weights=picture.weight_P))


def resampled_peaks(peak: Peak, shift_S: Floats, *, repeats: int, seed: int = 0) -> Floats:
    """Return the best shifts of recordings made of blocks that are drawn with replacement [repeats]."""
    draws = np.random.default_rng(seed)
    blocks = peak.sums_SB77.shape[1]
    count_RB = draws.multinomial(blocks, np.full(blocks, 1 / blocks), size=repeats).astype(np.float64)
    found = []
    for count_rB in np.array_split(count_RB, max(repeats // 20, 1)):
        sums_rS77 = np.einsum("rb,sbij->rsij", count_rB, peak.sums_SB77, optimize=True)
        weight_r1 = np.maximum(sums_rS77[:, :, 0, 0].max(axis=1, keepdims=True), 1e-12)
        found.append(shift_S[evidence(sums_rS77, weight_r1).argmax(axis=1)])
    return np.concatenate(found)
