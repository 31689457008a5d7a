"""Simulated evaluations with known truth, E of them at once: ranks of partners and predictions of activities.

Recordings are cut into clips of 12 s that start every 8 s, as those of RevalExo, with a window every 0.5 s. Windows
depend on each other: difficulty changes slowly within a recording (a first-order autoregressive process), activities
last some seconds, and each subject has a level of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from revalexo_clip.data.base import Windows
from revalexo_clip.data.windows import distinct_moments, evaluation_windows
from revalexo_clip.metrics.blocks import TimeUnits, time_units
from revalexo_clip.metrics.evaluated import Floats, Ints

LENGTH, STEP, WINDOW, STRIDE = 12.0, 8.0, 2.0, 0.5
"""Of clips and windows [s]."""
FREQUENCY = (0.4, 0.3, 0.2, 0.1)
"""Of the activities."""
DURATION = (4.0, 20.0)
"""Of an activity, at least and at most [s]."""
EASE = (1.2, 0.8)
"""Separation of the classes for each of two probes."""
RANK_SPREAD, PROBE_SPREAD = 0.3, 0.6
"""Standard deviation of difficulty within recordings."""
SHARED = 0.5
"""Correlation of the difficulties of one window for two compared encoders."""
MANY = 1_000_000
"""Independent windows that show the truth."""


@dataclass(frozen=True)
class Layout:
    """Recordings of equal length, the same number for each subject."""

    name: str
    subjects: int
    recordings: int
    """Of each subject."""
    clips: int
    """Of each recording."""

    def __str__(self) -> str:
        """Return the name, which pytest shows."""
        return self.name

    @cache  # noqa: B019 (there are few of them)
    def windows(self) -> tuple[Ints, Floats, Ints]:
        """Return recording, time [s] and subject of each distinct window, in order of time."""
        count = self.subjects * self.recordings * self.clips
        recording_J = np.arange(count) // self.clips
        offset_J, end_J = STEP * (np.arange(count) % self.clips).astype(np.float64), np.full(count, LENGTH)
        placed = evaluation_windows(np.zeros(count), end_J, WINDOW, STRIDE)
        assert len(distinct_moments(placed, recording_J, offset_J, end_J)) < len(placed)
        placed = _in_order(distinct_moments(placed, recording_J, offset_J, end_J), recording_J, offset_J)
        recording_N = recording_J[placed.clip_N]
        return recording_N, placed.start_N + offset_J[placed.clip_N], recording_N // self.recordings

    def units(self) -> TimeUnits:
        """Return the units of time that are resampled."""
        recording_N, time_N, subject_N = self.windows()
        return time_units(recording_N, time_N, subject_N.astype(str).tolist())

    def subject_levels(self) -> Floats:
        """Return how easy each window's subject is."""
        return _subject_levels(self.subjects)[self.windows()[2]]


def _in_order(placed: Windows, recording_J: Ints, offset_J: Floats) -> Windows:
    order_N = np.lexsort((placed.start_N + offset_J[placed.clip_N], recording_J[placed.clip_N]))
    return Windows(placed.clip_N[order_N], placed.start_N[order_N])


def _subject_levels(subjects: int) -> Floats:
    return np.linspace(-0.5, 0.5, subjects) if subjects > 1 else np.zeros(1)


class Probes(NamedTuple):
    """True activities and what two probes predict, each [E, N]."""

    true_EN: Ints
    better_EN: Ints
    worse_EN: Ints


class Evaluations(NamedTuple):
    """Results of E evaluations of N windows."""

    rank_EN: Floats
    other_rank_EN: Floats
    """Ranks of another encoder, for which other windows are difficult."""
    probes: Probes

    def terms(self) -> dict[str, Floats]:
        """Return the terms whose means over windows are the scores, [E, N] each."""
        true_EN, better_EN, worse_EN = self.probes
        first_EN, right_EN = (self.rank_EN <= 1).astype(float), (better_EN == true_EN).astype(float)
        return {
            "R@1": first_EN,
            "MRR": 1 / self.rank_EN,
            "difference in R@1": first_EN - (self.other_rank_EN <= 1),
            "accuracy": right_EN,
            "gain in accuracy": right_EN - (worse_EN == true_EN),
        }


def simulate(layout: Layout, seconds: float, count: int, seed: Sequence[int]) -> Evaluations:
    """Simulate evaluations; the correlation of the difficulty of two windows is exp(-distance / `seconds`)."""
    rng = np.random.default_rng(seed)
    subject_N = layout.subject_levels()
    one_EN, other_EN, third_EN = (_slow_noise(rng, layout, seconds, count) for _ in range(3))
    ranks = _draw_ranks_of_two(rng, subject_N, one_EN, other_EN)
    return Evaluations(*ranks, _draw_probes(rng, _draw_activities(rng, layout, count), subject_N, third_EN))


def simulate_alike(layout: Layout, seconds: float, count: int, seed: int, probes: int) -> tuple[Ints, list[Ints]]:
    """Return true activities, and what several probes predict that are all as good, [E, N] each.

    Half of what is difficult is so for all of them.
    """
    rng = np.random.default_rng(seed)
    subject_N, shared_EN = layout.subject_levels(), _slow_noise(rng, layout, seconds, count)
    true_EN = _draw_activities(rng, layout, count)
    found = []
    for _ in range(probes):
        own_EN = _slow_noise(rng, layout, seconds, count)
        noise_EN = SHARED * shared_EN + np.sqrt(1 - SHARED**2) * own_EN
        found.append(_draw_probe(rng, true_EN, subject_N, noise_EN, EASE[0]))
    return true_EN, found


def simulate_ranks_alike(layout: Layout, seconds: float, count: int, seed: int, encoders: int) -> list[Floats]:
    """Return the ranks of several encoders that are all as good, [E, N] each."""
    rng = np.random.default_rng(seed)
    subject_N, shared_EN = layout.subject_levels(), _slow_noise(rng, layout, seconds, count)
    own = (_slow_noise(rng, layout, seconds, count) for _ in range(encoders))
    noises = (SHARED * shared_EN + np.sqrt(1 - SHARED**2) * own_EN for own_EN in own)
    return [_draw_ranks(rng, subject_N + RANK_SPREAD * noise_EN) for noise_EN in noises]


@cache
def truth(layout: Layout) -> Evaluations:
    """Return one evaluation of very many independent windows."""
    rng = np.random.default_rng(0)
    subject_N = _subject_levels(layout.subjects)[np.arange(MANY) % layout.subjects]
    one_EN, other_EN, third_EN = rng.standard_normal((3, 1, MANY))
    ranks = _draw_ranks_of_two(rng, subject_N, one_EN, other_EN)
    true_EN = rng.choice(len(FREQUENCY), (1, MANY), p=FREQUENCY)
    return Evaluations(*ranks, _draw_probes(rng, true_EN, subject_N, third_EN))


def _slow_noise(rng: np.random.Generator, layout: Layout, seconds: float, count: int) -> Floats:
    kept = np.exp(-STRIDE / seconds)
    parts = []
    for windows in np.bincount(layout.windows()[0]):
        step_En = rng.standard_normal((count, windows)) * np.sqrt(1 - kept**2)
        parts.append(lfilter([1.0], [1.0, -kept], step_En, axis=1, zi=kept * rng.standard_normal((count, 1)))[0])
    return np.concatenate(parts, axis=1)


def _draw_ranks_of_two(
    rng: np.random.Generator, subject_N: Floats, noise_EN: Floats, own_EN: Floats
) -> tuple[Floats, Floats]:
    other_EN = SHARED * noise_EN + np.sqrt(1 - SHARED**2) * own_EN
    of_two = (_draw_ranks(rng, subject_N + RANK_SPREAD * one_EN) for one_EN in (noise_EN, other_EN))
    return next(of_two), next(of_two)


def _draw_ranks(rng: np.random.Generator, level_EN: Floats) -> Floats:
    """Ranks: 1 with the likelihood of the level, else anything up to 1000, the higher the lower the level."""
    share_EN = _likely(level_EN)
    elsewhere_EN = np.ceil(1 + 999 * rng.random(share_EN.shape) ** (1 + share_EN))
    return np.where(rng.random(share_EN.shape) < share_EN - 0.25, 1.0, elsewhere_EN)


def _draw_activities(rng: np.random.Generator, layout: Layout, count: int) -> Ints:
    """Activities of all windows, one following the other."""
    least, most = (round(seconds / STRIDE) for seconds in DURATION)
    parts = []
    for windows in np.bincount(layout.windows()[0]):
        length_EA = rng.integers(least, most + 1, size=(count, windows // least + 2))
        drawn_EA = rng.choice(len(FREQUENCY), length_EA.shape, p=FREQUENCY)
        begun_E = np.floor(rng.random(count) * length_EA[:, 0])  # the recording starts within an activity
        end_EA = np.cumsum(length_EA, axis=1) - begun_E[:, None].astype(np.int64)
        change_En = np.zeros((count, windows), dtype=np.int64)
        np.add.at(change_En, (np.nonzero(end_EA < windows)[0], end_EA[end_EA < windows]), 1)
        parts.append(np.take_along_axis(drawn_EA, np.cumsum(change_En, axis=1), axis=1))
    return np.concatenate(parts, axis=1)


def _draw_probes(rng: np.random.Generator, true_EN: Ints, subject_N: Floats, noise_EN: Floats) -> Probes:
    """What two probes predict."""
    better_EN, worse_EN = (_draw_probe(rng, true_EN, subject_N, noise_EN, ease) for ease in EASE)
    return Probes(true_EN, better_EN, worse_EN)


def _draw_probe(rng: np.random.Generator, true_EN: Ints, subject_N: Floats, noise_EN: Floats, ease: float) -> Ints:
    """What a probe predicts. Rare activities are harder."""
    level_EN = subject_N + PROBE_SPREAD * noise_EN + ease + 0.4 * rng.standard_normal(true_EN.shape) - 0.3 * true_EN
    mistake_EN = (true_EN + rng.choice([1, 2, 3], true_EN.shape, p=[0.6, 0.3, 0.1])) % len(FREQUENCY)
    return np.asarray(np.where(rng.random(true_EN.shape) < _likely(level_EN), true_EN, mistake_EN))


def _likely(level_EN: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-level_EN)))
