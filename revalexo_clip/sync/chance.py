"""What evidence unrelated recordings reach: the gyroscope with its own spectrum, but random phases.

A gyroscope and a picture that have nothing to do with each other also agree at some lag: the longer the lags that are
tried, the shorter the recording and the more regular the movement, the better. Gyroscopes with random phases (Theiler
et al., 1992) show how well. All three axes get the same phases, so that they stay related to each other; steps remain
as regular as they are.
"""

from __future__ import annotations

import numpy as np

from revalexo_clip.sync.search import reference_time
from revalexo_clip.sync.series import Floats, Gyroscope, PictureRotation

DRAWS = 199
"""Gyroscopes with random phases; the smallest p-value is 1 / (DRAWS + 1)."""
_TAPER = 0.1
"""Share of the recording at each end that is faded in or out."""
_RIDGE = 1e-6
_LONGEST = 7200
"""Longest even series that is compared [samples]; longer recordings are taken at half the rate, or less."""


def chance_of(
    picture: PictureRotation, gyroscope: Gyroscope, lag: float, most: float, *, drift: float = 0.0, seed: int = 0
) -> float:
    """Return the p-value of the agreement at `lag` [s] and `drift` [s / s] among all lags up to `most` [s].

    It is the share of gyroscopes with random phases whose best lag agrees at least as well.
    """
    step = picture.frame * max(int(np.ceil(len(picture.begin_P) / _LONGEST)), 1)
    edge_G1 = np.arange(float(picture.begin_P[0]), float(picture.end_P[-1]), step)
    moved_G1 = edge_G1 - lag - drift * (edge_G1 - reference_time(picture))
    rate_G3 = gyroscope.mean_rate(moved_G1[:-1], moved_G1[1:])
    used_P = picture.weight_P > 0
    middle_G = (edge_G1[1:] + edge_G1[:-1]) / 2
    rotation_G3 = np.stack(
        [np.interp(middle_G, picture.midpoints[used_P], part_P[used_P]) for part_P in picture.rate_P3.T], axis=1
    )
    kept_G = np.isfinite(rate_G3).all(axis=1)
    rate_G3, rotation_G3 = _prepared(rate_G3[kept_G]), _prepared(rotation_G3[kept_G])
    length = len(rate_G3)
    if length < 16:
        return 1.0
    reach = min(max(int(most / step), 1), length // 2)
    lags = np.arange(-reach, reach + 1)
    observed = _evidence(rate_G3[None], rotation_G3, lags[[reach - 1, reach, reach + 1]]).max()
    draws = np.random.default_rng(seed)
    spectrum_F3 = np.fft.rfft(rate_G3, axis=0)
    turned = np.exp(2j * np.pi * draws.uniform(size=(DRAWS, len(spectrum_F3), 1)))
    reached = 0
    for phase_rF1 in np.array_split(turned, 10):
        drawn_rG3 = np.fft.irfft(spectrum_F3 * phase_rF1, n=length, axis=1)
        reached += int((_evidence(drawn_rG3, rotation_G3, lags).max(axis=1) >= observed).sum())
    return (1 + reached) / (1 + DRAWS)


def _prepared(series_G3: Floats) -> Floats:
    """Remove the mean, fade the ends, and scale to unit variance."""
    ends = max(int(_TAPER * len(series_G3)), 1)
    fade_G = np.ones(len(series_G3))
    fade_G[:ends] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ends) + 0.5) / ends)
    fade_G[-ends:] = fade_G[:ends][::-1]
    around_G3 = (series_G3 - series_G3.mean(axis=0)) * fade_G[:, None]
    around_G3 = around_G3 - around_G3.mean(axis=0)
    return np.asarray(around_G3 / np.maximum(around_G3.std(axis=0), 1e-9))


def _evidence(rate_RG3: Floats, rotation_G3: Floats, lags: np.ndarray) -> Floats:
    """Return the evidence at each lag of a circle [R, lags]."""
    length = len(rotation_G3)
    crossed_RF33 = np.einsum(
        "rfi,fj->rfij", np.fft.rfft(rate_RG3, axis=1).conj(), np.fft.rfft(rotation_G3, axis=0), optimize=True
    )
    cross_RG33 = np.fft.irfft(crossed_RF33, n=length, axis=1)[:, lags % length] / length
    ridge = _RIDGE * np.eye(3)
    rates_R33 = np.einsum("rgi,rgj->rij", rate_RG3, rate_RG3, optimize=True) / length + ridge
    rotation_33 = rotation_G3.T @ rotation_G3 / length + ridge
    explained_RG33 = np.einsum("rgij,rik,rgkl->rgjl", cross_RG33, np.linalg.inv(rates_R33), cross_RG33, optimize=True)
    _, left = np.linalg.slogdet(rotation_33 - explained_RG33)
    return np.asarray(np.linalg.slogdet(rotation_33)[1] - left)
