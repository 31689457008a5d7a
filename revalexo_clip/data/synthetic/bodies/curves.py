"""Curves of human motion: minimum-jerk moves, visits of postures, random drifts.

All are functions of time and a random generator, not of the sampling rate, so that the same motion can be sampled at
any rate. Their second derivatives are continuous, so that accelerations are, too.

Shapes: T = samples in time, K = moves, D = numbers that move together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float


class Moves(NamedTuple):
    """K moves, one after the other: start [s], duration [s] and target of each."""

    start_K: Float
    lasting_K: Float
    target_KD: Float
    """Where each move ends; the first target holds from the beginning."""

    def at(self, times_T: Float) -> Float:
        """Return the curve, [D, T]."""
        index = np.maximum(np.searchsorted(self.start_K, times_T, side="right") - 1, 0)
        before = np.maximum(index - 1, 0)
        done_T = min_jerk((times_T - self.start_K[index]) / self.lasting_K[index])
        return np.asarray(self.target_KD[before].T + (self.target_KD[index] - self.target_KD[before]).T * done_T)


def min_jerk(progress: Float) -> Float:
    """Return the course of a minimum-jerk movement from 0 to 1; `progress` is clipped to [0, 1].

    Flash and Hogan, "The coordination of arm movements", J. Neurosci. 5 (1985).
    """
    u = np.clip(progress, 0.0, 1.0)
    return np.asarray(u * u * u * (10.0 - 15.0 * u + 6.0 * u * u))


def timeline(
    rng: np.random.Generator, times_T: Float, pause: tuple[float, float], lasting: tuple[float, float]
) -> tuple[Float, Float]:
    """Draw starts and durations [s] of moves, with pauses between them; ranges are those of uniform distributions."""
    # Whole seconds, so that the draws do not depend on the sampling rate.
    begin, end = np.floor(times_T[0]), np.ceil(times_T[-1])
    count = int((end - begin) / max(pause[0] + lasting[0], 0.05)) + 2
    lasting_K = rng.uniform(*lasting, size=count)
    start_K = begin + np.cumsum(rng.uniform(*pause, size=count) + np.roll(lasting_K, 1)) - lasting_K[-1]
    keep = start_K < end
    keep[0] = True
    return start_K[keep], lasting_K[keep]


def shifts(
    rng: np.random.Generator,
    times_T: Float,
    spread: float,
    pause: tuple[float, float],
    lasting: tuple[float, float],
    *,
    back: float = 0.4,
) -> Float:
    """Draw a curve [T] that rests at random targets, and moves quickly between them.

    `spread` is the standard deviation of the targets; a share `back` of the moves returns close to zero.
    """
    start_K, lasting_K = timeline(rng, times_T, pause, lasting)
    target_K = rng.normal(0.0, spread, size=len(start_K)) * np.where(rng.random(len(start_K)) < back, 0.15, 1.0)
    return np.asarray(Moves(start_K, lasting_K, target_K[:, None]).at(times_T)[0])


def visits(
    rng: np.random.Generator,
    times_T: Float,
    postures: Sequence[Sequence[float]],
    pause: tuple[float, float],
    lasting: tuple[float, float],
    *,
    spread: float = 0.06,
    order: Sequence[int] | None = None,
) -> Float:
    """Draw a curve [D, T] that visits postures of D numbers each, in turn if there is an `order`, else at random."""
    start_K, lasting_K = timeline(rng, times_T, pause, lasting)
    count = len(start_K)
    which = np.resize(order, count) if order is not None else rng.integers(len(postures), size=count)
    target_KD = np.array(postures, dtype=np.float64)[which]
    return Moves(start_K, lasting_K, target_KD + rng.normal(0.0, spread, size=target_KD.shape)).at(times_T)


def drift(rng: np.random.Generator, times_T: Float, spread: float, slowest: float, fastest: float) -> Float:
    """Draw a smooth random curve [T] of standard deviation `spread`, with periods from `fastest` to `slowest` [s]."""
    rates = 1.0 / np.exp(rng.uniform(np.log(fastest), np.log(slowest), size=6))
    phases = rng.uniform(0.0, 2.0 * np.pi, size=6)
    curve_T = np.zeros_like(times_T)
    for rate, phase in zip(rates, phases, strict=True):
        curve_T += np.sin(2.0 * np.pi * rate * times_T + phase)
    return np.asarray(spread / np.sqrt(3.0) * curve_T)


def bursts(rng: np.random.Generator, times_T: Float, share: float, lasting: tuple[float, float] = (0.5, 4.0)) -> Float:
    """Draw a curve [T] between 0 and 1 that is 1 for about `share` of the time, in bursts."""
    start_K, ease_K = timeline(rng, times_T, lasting, (0.3, 0.6))
    on_K = (rng.random(len(start_K)) < share).astype(np.float64)
    return np.asarray(Moves(start_K, ease_K, on_K[:, None]).at(times_T)[0])


def cycles(rng: np.random.Generator, times_T: Float, rate: float, jitter: float = 0.05) -> Float:
    """Return the number of cycles [T] of a rhythm of `rate` [Hz] that speeds up and slows down."""
    slow = drift(rng, times_T, jitter, 14.0, 5.0) + drift(rng, times_T, 0.25 * jitter, 4.0, 1.5)
    return rate * times_T + rng.uniform() + slow
