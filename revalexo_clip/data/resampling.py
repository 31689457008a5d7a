"""Resampling of IMU recordings to the sampling rate of an encoder. Arithmetic, no I/O."""

from __future__ import annotations

import math

import numpy as np

from revalexo_clip.data.imu import Samples
from revalexo_clip.data.windows import Floats

LEAST_SHARE = 0.5
"""Lowest accepted rate, as a fraction of the new rate. At half the rate, half of the encoder's frequency band is
empty."""
GAP = 0.1
"""Longest gap between two samples that is interpolated [s]; four times the median interval if that is longer."""
EVEN = 1e-3
"""Samples are evenly spaced if none is farther than this from its even position [samples]."""

ZEROS = 16
"""Zero crossings on either side of the filter's centre. The passband ends at 0.84 of the new Nyquist frequency, the
stopband starts at 1.16 of it."""
BETA = 8.0
"""Beta of the filter's Kaiser window: 80 dB attenuation in the stopband."""
BLOCK = 1024
"""Number of samples that are filtered at a time, to limit memory."""


def resampled(samples_nC: Samples, rate: float, to: float) -> Samples:
    """Resample evenly spaced samples at `rate` [Hz] to [m, C] at `to` [Hz].

    The first new sample has the time of the first old one; no new sample is beyond the end of the recording. Each new
    sample is computed with a windowed sinc filter centred on its time (Smith and Gossett, 1984,
    doi:10.1109/ICASSP.1984.1172555), so the ratio of the rates can be any number, nothing is shifted, and frequencies
    above the new Nyquist frequency are filtered out. Beyond the ends, the first and last sample are repeated. If the
    rates are equal, samples are unchanged. Raises `ValueError` if the rate is too low.
    """
    if not math.isfinite(rate) or rate <= 0:
        raise ValueError(f"the sampling rate must be a positive number [Hz], not {rate}")
    if rate == to:
        return samples_nC
    return resampled_at(
        samples_nC, np.arange(_count(len(samples_nC), rate, to), dtype=np.float64) * (rate / to), rate, to
    )


def resampled_at(samples_nC: Samples, place_m: Floats, rate: float, to: float) -> Samples:
    """Resample evenly spaced samples at `rate` [Hz] to [m, C] at `to` [Hz], at the places `place_m` [samples].

    As `resampled`, but the first new sample may lie anywhere. If the rates are equal and the places are whole numbers,
    samples are copied. Raises `ValueError` if the rate is too low.
    """
    if rate < LEAST_SHARE * to:
        raise ValueError(
            f"a recording at {rate:g} Hz has no signal above {rate / 2:g} Hz, but an encoder at {to:g} Hz expects "
            f"signals up to {to / 2:g} Hz: use recordings at {LEAST_SHARE * to:g} Hz or more"
        )
    nearest_m = np.round(place_m).astype(np.int64)
    if rate == to and np.abs(place_m - nearest_m).max(initial=0.0) <= EVEN:
        return samples_nC[nearest_m]
    band = min(1.0, to / rate)
    reach = math.ceil(ZEROS / band)
    blocks = np.split(place_m, range(BLOCK, len(place_m), BLOCK))
    return np.concatenate([_filtered(samples_nC, block_m, band, reach) for block_m in blocks])


def _count(samples: int, rate: float, to: float) -> int:
    """Count the samples at the new rate that start within the recording; 600 at 300 Hz give 120 at 60 Hz."""
    return math.ceil(round(samples * to / rate, 6))


def _filtered(samples_nC: Samples, place_m: Floats, band: float, reach: int) -> Samples:
    before_m = np.floor(place_m).astype(np.int64)
    near_mK = before_m[:, None] + np.arange(1 - reach, reach + 1)  # K: old samples within reach
    distance_mK = near_mK - place_m[:, None]
    taper_mK = np.i0(BETA * np.sqrt(np.maximum(1 - (distance_mK / reach) ** 2, 0)))
    weight_mK = np.sinc(band * distance_mK) * taper_mK
    weight_mK /= weight_mK.sum(axis=1, keepdims=True)  # so that constants (gravity) are not changed
    near_mKC = samples_nC[np.clip(near_mK, 0, len(samples_nC) - 1)]
    return np.asarray((weight_mK[:, None] @ near_mKC)[:, 0], dtype=np.float32)


def evenly_spaced(samples_nC: Samples, time_n: Floats) -> tuple[Samples, float]:
    """Interpolate samples at ascending times [s] to equally many, evenly spaced ones; return also their rate [Hz].

    The interpolation is linear, so that jitter in the times adds no peaks. Raises `ValueError` if times do not ascend,
    or if there is a gap.
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
            f"there is no sample between {time_n[row]:.3f} s and {time_n[row + 1]:.3f} s: split the recording in two "
            "at this gap"
        )
    rate = (len(time_n) - 1) / float(time_n[-1] - time_n[0])
    even_n = np.linspace(time_n[0], time_n[-1], len(time_n))
    if np.abs(time_n - even_n).max() * rate <= EVEN:
        return samples_nC, rate
    even_Cn = [np.interp(even_n, time_n, samples_n) for samples_n in samples_nC.T]
    return np.stack(even_Cn, axis=1).astype(np.float32), rate
