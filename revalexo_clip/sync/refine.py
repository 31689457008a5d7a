"""Lag and drift to a fraction of a frame, by least squares, with intervals from blocks of time.

The model is: rotation of the picture = map x turning rate(t - lag - drift x (t - middle)) + constant. It is solved by
Gauss and Newton's method; the linear part is projected out (Frisch and Waugh, 1933). Standard errors are robust against
errors that are related within a block (Liang and Zeger, 1986).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from revalexo_clip.sync.result import Estimate
from revalexo_clip.sync.search import Blocks, blocks_of, reference_time
from revalexo_clip.sync.series import Floats, Gyroscope, PictureRotation

SYSTEMATIC = 0.001
"""Added to the half width of intervals: what the measurement itself may be off by [s]."""
_ROUNDS = 12
_DELTA = 0.004
"""Shift by which derivatives are measured [s]."""
_LARGEST_STEP = 0.03
_CUT = 3.0
"""Pairs whose error is larger than this many standard deviations lose weight (Huber)."""


class Refined(NamedTuple):
    """Lag and drift with their 95% intervals, as half widths."""

    lag: float
    """How much later than it says the IMU was taken, in the middle of the recording [s]."""
    lag_within: float
    at: float
    """The middle of the recording [s]."""
    drift: float
    """[s / s]; 0 if it was not asked for."""
    drift_within: float
    """Infinite if the drift was not asked for."""
    map_33: Floats
    """From turning rates [rad / s] to the rotation of the picture."""
    correlation_3: Floats
    """Of each part of the picture's rotation with what the map makes of the turning rates."""
    predicted_P3: Floats
    """What the map makes of the turning rates; NaN if there are none."""


def refine(
    picture: PictureRotation,
    gyroscope: Gyroscope,
    blocks: Blocks,
    lag: float,
    drift: float,
    *,
    with_drift: bool,
) -> Refined | None:
    """Refine a lag and a drift that are near the best; None if the least squares do not settle near them."""
    from_middle_P = picture.midpoints - reference_time(picture)
    start, weight_P = lag, picture.weight_P.copy()
    solved = None
    for _ in range(_ROUNDS):
        solved = _step(picture, gyroscope, weight_P, from_middle_P, lag, drift, with_drift=with_drift)
        if solved is None:
            return None
        step = float(np.clip(solved.change_2[0], -_LARGEST_STEP, _LARGEST_STEP))
        lag, drift = lag + step, drift + float(solved.change_2[1])
        weight_P = picture.weight_P * np.minimum(1, _CUT / np.maximum(solved.size_P, 1e-9))
        if abs(step) < 1e-6:
            break
    if solved is None or abs(lag - start) > 3 * _LARGEST_STEP:
        return None
    within_2 = _intervals(solved, blocks)
    within_2 = float(np.hypot(within_2[0], SYSTEMATIC)), within_2[1]
    correlation_3 = _correlations(picture.rate_P3, solved.predicted_P3, weight_P)
    return Refined(
        lag,
        within_2[0],
        reference_time(picture),
        drift,
        within_2[1] if with_drift else np.inf,
        solved.map_33,
        correlation_3,
        solved.predicted_P3,
    )


def readout(
    upper: PictureRotation, lower: PictureRotation, gyroscope: Gyroscope, refined: Refined, apart: float
) -> Estimate | None:
    """Measure how much later the last line of the picture is taken than the first [s]; None if that is impossible.

    The rotation is measured in an upper and a lower part of the picture, whose middles are `apart` picture heights.
    What differs between them is their lag, times the change of the turning rate.
    """
    both = PictureRotation(
        upper.begin_P, upper.end_P, lower.rate_P3 - upper.rate_P3, np.minimum(upper.weight_P, lower.weight_P)
    )
    if not both.weight_P.any():
        return None
    blocks = blocks_of(both)
    from_middle_P, weight_P = both.midpoints - refined.at, both.weight_P.copy()
    solved = None
    for _ in range(4):
        solved = _step(
            both,
            gyroscope,
            weight_P,
            from_middle_P,
            refined.lag,
            refined.drift,
            with_drift=False,
            map_33=refined.map_33,
        )
        if solved is None:
            return None
        # The error that counts is what is left after the change.
        left_U3 = solved.error_P3 - solved.jacobian_P3K[..., 0] * solved.change_2[0]
        size_U = np.linalg.norm(left_U3, axis=1) / np.sqrt(3 * weight_P[solved.used_P])
        weight_P[solved.used_P] = both.weight_P[solved.used_P] * np.minimum(1, _CUT / np.maximum(size_U, 1e-9))
    assert solved is not None
    within, _ = _intervals(solved, blocks)
    # A later part of the picture has a smaller lag: its picture is nearer to the time of the frame.
    return Estimate(-float(solved.change_2[0]) / apart, float(np.hypot(within / apart, SYSTEMATIC)))


class _Solved(NamedTuple):
    change_2: Floats
    size_P: Floats
    """Length of each pair's error, in standard deviations of a part; 0 for pairs that are not used."""
    used_P: np.ndarray
    jacobian_P3K: Floats
    error_P3: Floats
    """Of the pairs that are used, weighted."""
    map_33: Floats
    predicted_P3: Floats


def _step(  # noqa: PLR0917
    picture: PictureRotation,
    gyroscope: Gyroscope,
    weight_P: Floats,
    from_middle_P: Floats,
    lag: float,
    drift: float,
    *,
    with_drift: bool,
    map_33: Floats | None = None,
) -> _Solved | None:
    """Solve once, with derivatives of the map that is fitted, or of another one."""
    moved_P = lag + drift * from_middle_P
    rate_P3, later_P3, earlier_P3 = (
        gyroscope.mean_rate(picture.begin_P - moved_P - delta, picture.end_P - moved_P - delta)
        for delta in (0.0, _DELTA, -_DELTA)
    )
    used_P = np.isfinite(rate_P3 + later_P3 + earlier_P3).all(axis=1) & (weight_P > 0)
    if used_P.sum() < 20:
        return None
    root_U1 = np.sqrt(weight_P[used_P])[:, None]
    linear_U4 = np.concatenate([rate_P3[used_P], np.ones((used_P.sum(), 1))], axis=1)
    orthogonal_U4, _ = np.linalg.qr(root_U1 * linear_U4)
    rotation_U3 = root_U1 * picture.rate_P3[used_P]
    solution_43 = np.linalg.lstsq(root_U1 * linear_U4, rotation_U3, rcond=None)[0]
    if map_33 is None:
        map_33 = solution_43[:3].T

    def projected(values_U3: Floats) -> Floats:
        return np.asarray(values_U3 - orthogonal_U4 @ (orthogonal_U4.T @ values_U3))

    error_U3 = projected(rotation_U3)
    covariance_33 = error_U3.T @ error_U3 / used_P.sum()
    white_33 = np.linalg.inv(np.linalg.cholesky(covariance_33 + 1e-12 * np.eye(3))).T
    # Derivative by the lag: a later IMU gives earlier rates.
    slope_U3 = (later_P3 - earlier_P3)[used_P] / (2 * _DELTA) @ map_33.T
    columns = [slope_U3, slope_U3 * from_middle_P[used_P, None]][: 2 if with_drift else 1]
    jacobian_U3K = np.stack([projected(root_U1 * one) @ white_33 for one in columns], axis=-1)
    error_U3 = error_U3 @ white_33
    flat_MK = jacobian_U3K.reshape(-1, len(columns))
    change_K = np.linalg.lstsq(flat_MK, error_U3.ravel(), rcond=None)[0]
    size_P = np.zeros(len(weight_P))
    size_P[used_P] = np.linalg.norm(error_U3 / root_U1, axis=1) / np.sqrt(3)
    predicted_P3 = rate_P3 @ map_33.T + solution_43[3]
    change_2 = np.array([change_K[0], change_K[1] if with_drift else 0.0])
    return _Solved(change_2, size_P, used_P, jacobian_U3K, error_U3, map_33, predicted_P3)


def _intervals(solved: _Solved, blocks: Blocks) -> tuple[float, float]:
    """Return half the width of the 95% intervals of lag and drift."""
    number_U = blocks.number_P[solved.used_P]
    flat_MK = solved.jacobian_P3K.reshape(-1, solved.jacobian_P3K.shape[-1])
    inverse_KK = np.linalg.pinv(flat_MK.T @ flat_MK)
    left_U3 = solved.error_P3 - np.einsum("uck,k->uc", solved.jacobian_P3K, solved.change_2[: flat_MK.shape[1]])
    score_UK = np.einsum("uck,uc->uk", solved.jacobian_P3K, left_U3)
    score_BK = np.stack([score_UK[number_U == block].sum(axis=0) for block in np.unique(number_U)])
    count = len(score_BK)
    if count < 3:
        return np.inf, np.inf
    covariance_KK = inverse_KK @ (score_BK.T @ score_BK) @ inverse_KK * count / (count - 1)
    within_K = student.ppf(0.975, count - 1) * np.sqrt(np.diag(covariance_KK))
    return float(within_K[0]), float(within_K[-1]) if len(within_K) > 1 else np.inf


def _correlations(rotation_P3: Floats, predicted_P3: Floats, weight_P: Floats) -> Floats:
    used_P = np.isfinite(predicted_P3).all(axis=1)
    weight_U1 = weight_P[used_P, None] / weight_P[used_P].sum()
    both = [
        series_P3[used_P] - (weight_U1 * series_P3[used_P]).sum(axis=0) for series_P3 in (rotation_P3, predicted_P3)
    ]
    product_3 = (weight_U1 * both[0] * both[1]).sum(axis=0)
    spread_3 = np.sqrt(np.prod([(weight_U1 * one**2).sum(axis=0) for one in both], axis=0))
    return np.asarray(product_3 / np.maximum(spread_3, 1e-12))
