"""Recordings at any rate, brought to the rate that an encoder was trained at. Arithmetic, no I/O."""

from __future__ import annotations

import math

import numpy as np

from revalexo_clip.data.imu import Samples
from revalexo_clip.data.windows import Floats

LEAST_SHARE = 0.5
"""Lowest rate that is taken, as a share of the one that is wanted: of a recording at half of it, half of the band that
an encoder was trained on is empty."""
GAP = 0.1
"""Longest time between two samples that is interpolated over [s], or four times the usual one where that is longer."""
EVEN = 1e-3
"""Samples no farther than this from even spacing are evenly spaced [samples]."""

ZEROS = 16
"""Zero crossings of the filter on either side of its middle: what lies below 0.84 of the new band's end passes, and
nothing above 1.16 of it."""
BETA = 8.0
"""Of its Kaiser window: what is stopped is 80 dB down."""
BLOCK = 1024
"""Samples that are filtered at a time, to bound memory."""


def resampled(samples_nC: Samples, rate: float, to: float) -> Samples:
    """Evenly spaced samples at `rate` [Hz] -> [m, C] at `to` [Hz]; the first is at the same moment, the last within n.

    Each new sample is a windowed sinc around its own moment (Smith and Gossett, 1984, doi:10.1109/ICASSP.1984.1172555),
    so rates may have any ratio, nothing is shifted, and what the new rate cannot hold is filtered out. At the ends the
    first and the last sample go on. At the same rate samples stay as they are. Raises `ValueError` for a rate that is
    too low.
    """
    if not math.isfinite(rate) or rate <= 0:
        raise ValueError(f"a sampling rate is a positive number of samples in a second, not {rate}")
    if rate < LEAST_SHARE * to:
        raise ValueError(
            f"a recording at {rate:g} Hz holds nothing above {rate / 2:g} Hz, where an encoder at {to:g} Hz knows "
            f"signals up to {to / 2:g} Hz: it takes {LEAST_SHARE * to:g} Hz and more"
        )
    if rate == to:
        return samples_nC
    return resampled_at(samples_nC, np.arange(_count(len(samples_nC), rate, to)) * (rate / to), rate, to)


def resampled_at(samples_nC: Samples, place_m: Floats, rate: float, to: float) -> Samples:
    """Evenly spaced samples at `rate` [Hz] -> [m, C] at the places `place_m` among them [samples], spaced by rate / to.

    As `resampled`, with a first sample anywhere. Places that coincide with samples at an equal rate are copied. Raises
    `ValueError` for a rate that is too low.
    """
    if rate < LEAST_SHARE * to:
        raise ValueError(
            f"a recording at {rate:g} Hz holds nothing above {rate / 2:g} Hz, where an encoder at {to:g} Hz knows "
            f"signals up to {to / 2:g} Hz: it takes {LEAST_SHARE * to:g} Hz and more"
        )
    nearest_m = np.round(place_m).astype(np.int64)
    if rate == to and np.abs(place_m - nearest_m).max(initial=0.0) <= EVEN:
        return samples_nC[nearest_m]
    band = min(1.0, to / rate)
    reach = math.ceil(ZEROS / band)
    blocks = np.split(place_m, range(BLOCK, len(place_m), BLOCK))
    return np.concatenate([_filtered(samples_nC, block_m, band, reach) for block_m in blocks])


def _count(samples: int, rate: float, to: float) -> int:
    """Samples at the new rate that begin within the recording; 600 at 300 Hz and 120 at 60 Hz are the same 2 s."""
    return math.ceil(round(samples * to / rate, 6))


def _filtered(samples_nC: Samples, place_m: Floats, band: float, reach: int) -> Samples:
    before_m = np.floor(place_m).astype(np.int64)
    near_mK = before_m[:, None] + np.arange(1 - reach, reach + 1)  # K: old samples within reach
    distance_mK = near_mK - place_m[:, None]
    taper_mK = np.i0(BETA * np.sqrt(np.maximum(1 - (distance_mK / reach) ** 2, 0)))
    weight_mK = np.sinc(band * distance_mK) * taper_mK
    weight_mK /= weight_mK.sum(axis=1, keepdims=True)  # gravity stays what it is
    near_mKC = samples_nC[np.clip(near_mK, 0, len(samples_nC) - 1)]
    return np.asarray((weight_mK[:, None] @ near_mKC)[:, 0], dtype=np.float32)


def evenly_spaced(samples_nC: Samples, time_n: Floats) -> tuple[Samples, float]:
    """Samples taken at ascending times [s] -> as many, evenly spaced from the first to the last; their rate [Hz].

    Between two samples lies a straight line: where times jitter it invents no peaks. Raises `ValueError` for times that
    do not ascend, and for gaps.
    """
    if len(time_n) < 2:
        raise ValueError("a single sample has no sampling rate")
    if not np.isfinite(time_n).all():
        raise ValueError(f"the time in row {int(np.flatnonzero(~np.isfinite(time_n))[0])} is not a finite number")
    step_n = np.diff(time_n)
    if step_n.min() <= 0:
        row = int(np.flatnonzero(step_n <= 0)[0])
        raise ValueError(f"times must ascend: row {row + 1} has {time_n[row + 1]:.12g} s, after {time_n[row]:.12g} s")
    if step_n.max() > max(GAP, 4 * float(np.median(step_n))):
        row = int(step_n.argmax())
        raise ValueError(
            f"there is no sample between {time_n[row]:.3f} s and {time_n[row + 1]:.3f} s: take what comes before and "
            "what comes after that as two recordings"
        )
    rate = (len(time_n) - 1) / float(time_n[-1] - time_n[0])
    even_n = np.linspace(time_n[0], time_n[-1], len(time_n))
    if np.abs(time_n - even_n).max() * rate <= EVEN:
        return samples_nC, rate
    even_Cn = [np.interp(even_n, time_n, samples_n) for samples_n in samples_nC.T]
    return np.stack(even_Cn, axis=1).astype(np.float32), rate
