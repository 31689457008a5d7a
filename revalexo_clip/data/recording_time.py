"""Place clips in the recordings that they were cut from, by the IMU rows that their files share.

A clip is a piece of a recording. Clips cut with overlap hold the same seconds twice, and two windows are the same
moment if they lie at the same time of the same recording, whatever their clips. If a dataset does not declare where its
clips lie, identical rows of neighbouring IMU files show it: sensors never repeat themselves to the last digit.

No I/O: `place_clips` takes rows, and finds shared ones in time proportional to their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.windows import TIME_DECIMALS, Bools, Floats, Ints

SHORTEST_RUN = 1.0
"""Shared rows must follow one another for at least this long [s] to count."""
SAME_MOMENT = 1.5
"""Times of two clocks that differ by less are those of one moment [samples]."""
_SAME_ROW_LIMIT = 64
"""A row that occurs in more clips than this says nothing about where any of them lies."""


@dataclass(frozen=True)
class ClipTimes:
    """When each of N clips was recorded, and which part of it can be used."""

    recording_N: Ints
    """Index of the recording that the clip is a piece of; equal for clips of one recording."""
    offset_N: Floats
    """Time from the start of the recording to the start of the clip [s]."""
    declared_N: Bools
    """Whether the dataset itself says so."""
    begin_N: Floats
    """Start of the time that annotations, IMU and video share [s in the clip]."""
    end_N: Floats
    """End of that time [s in the clip]."""

    @classmethod
    def separate(cls, duration_N: Floats) -> Self:
        """Return the times of clips that are recordings of their own, and whole."""
        count = len(duration_N)
        return cls(np.arange(count), np.zeros(count), np.zeros(count, dtype=bool), np.zeros(count), duration_N.copy())

    def take(self, clip_M: Ints) -> Self:
        """Return the times of some of the clips, in that order; recordings are numbered anew and start at 0 s."""
        _, first_R, recording_M = np.unique(self.recording_N[clip_M], return_index=True, return_inverse=True)
        number_R = np.empty(len(first_R), dtype=np.int64)
        number_R[np.argsort(first_R)] = np.arange(len(first_R))
        recording_M, offset_M = number_R[recording_M], self.offset_N[clip_M]
        start_R = np.full(len(first_R), np.inf)
        np.minimum.at(start_R, recording_M, offset_M)
        return replace(
            self,
            recording_N=recording_M,
            offset_N=np.round(offset_M - start_R[recording_M], TIME_DECIMALS),
            declared_N=self.declared_N[clip_M],
            begin_N=self.begin_N[clip_M],
            end_N=self.end_N[clip_M],
        )

    def shared_seconds(self) -> Floats:
        """Return [N], how much of each clip lies in earlier clips of its recording, too [s]."""
        shared_N = np.zeros(len(self.recording_N))
        together_N = np.flatnonzero(np.bincount(self.recording_N, minlength=1)[self.recording_N] > 1)
        order_N = together_N[np.lexsort((self.offset_N[together_N], self.recording_N[together_N]))]
        covered, recording = -np.inf, -1
        for clip in order_N.tolist():
            start, end = (float(self.offset_N[clip] + edge_N[clip]) for edge_N in (self.begin_N, self.end_N))
            if self.recording_N[clip] != recording:
                covered, recording = -np.inf, int(self.recording_N[clip])
            shared_N[clip] = max(min(covered, end) - start, 0.0)
            covered = max(covered, end)
        return np.round(shared_N, TIME_DECIMALS)


@dataclass(frozen=True)
class Placement:
    """Where each of N clips lies: in which recording, and how far from its start."""

    recording_N: Ints
    """Number of the recording, from 0 in the order in which clips first name them."""
    offset_N: Floats
    """Time from the start of the recording to the start of the clip [s]."""

    @property
    def recordings(self) -> int:
        """Number of recordings."""
        return int(self.recording_N.max(initial=-1)) + 1


@dataclass(frozen=True)
class Link:
    """Two clips that share rows."""

    first: int
    second: int
    shift: int
    """Rows from the start of the first clip to the start of the second; negative if the second starts earlier."""
    rows: int
    """Length of the longest shared run."""
    row: int = 0
    """Row of the first clip at which it ends."""

    def seconds(self, rate: float, times: Sequence[Floats] | None) -> float:
        """Return the time from the start of the first clip to the start of the second [s]; see `place_clips`."""
        if times is None:
            return self.shift / rate
        return float(times[self.first][self.row] - times[self.second][self.row - self.shift])


def place_clips(
    clips: Sequence[Samples], rate: float, names: Sequence[str], times: Sequence[Floats] | None = None
) -> tuple[Placement, list[Link]]:
    """Find the recordings of clips from the rows that their IMU files share.

    `clips` are [n, C] float32 with the same C columns, without clocks; `rate` is in Hz; `times` are the times of the
    rows in their clips [s], if they are not 1 / `rate` apart from the start. The order of the clips does not matter.
    Returns where each clip lies, and the pairs that showed it. A clip that shares no run of at least `SHORTEST_RUN`
    seconds of changing values with another is a recording of its own.

    Raises `DataError` if the shared rows contradict each other, which happens if a stretch of a recording was copied to
    two places.
    """
    links = shared_runs(clips, shortest_run(rate))
    return place_by(links, rate, names, times), links


def shortest_run(rate: float) -> int:
    """Return how many rows two clips must share, one after the other, at `rate` [Hz]."""
    return max(round(SHORTEST_RUN * rate), 2)


def place_by(
    links: Sequence[Link], rate: float, names: Sequence[str], times: Sequence[Floats] | None = None
) -> Placement:
    """Place the clips of these names by the pairs that share rows. Raises `DataError` like `place_clips`."""
    root_N, offset_N = np.arange(len(names)), np.zeros(len(names))
    members = {clip: [clip] for clip in range(len(names))}
    for link in sorted(links, key=lambda link: -link.rows):
        one, other = int(root_N[link.first]), int(root_N[link.second])
        shift = float(offset_N[link.first] + link.seconds(rate, times) - offset_N[link.second])
        if one == other:
            if abs(shift) * rate > (0.5 if times is None else SAME_MOMENT):
                raise DataError(
                    f"{names[link.first]} and {names[link.second]} share {link.rows / rate:.1f} s of IMU rows that put "
                    f"the second {abs(shift):.2f} s away from where their other neighbours put it; state "
                    '"recording" and "offset" of these pairs in their JSON file'
                )
            continue
        for clip in members[other]:
            root_N[clip], offset_N[clip] = one, offset_N[clip] + shift
        members[one] += members.pop(other)
    number = {root: place for place, root in enumerate(dict.fromkeys(root_N.tolist()))}
    recording_N = np.array([number[root] for root in root_N.tolist()], dtype=np.int64)
    start_R = np.full(len(number), np.inf)
    np.minimum.at(start_R, recording_N, offset_N)
    offset_N -= start_R[recording_N]
    exact_N = np.round(offset_N * rate) / rate if times is None else np.round(offset_N, TIME_DECIMALS)
    return Placement(recording_N, exact_N)


def shared_runs(clips: Sequence[Samples], shortest: int) -> list[Link]:
    """Pairs of clips that share at least `shortest` consecutive rows of changing values, once per pair and shift."""
    links = []
    for first, second, shift in _distinct(_candidates(row_digests(clips)))[0].tolist():
        run, row = _longest_run(clips[first], clips[second], shift)
        if run >= shortest:
            links.append(Link(first, second, shift, run, row))
    return links


def shared_between(rows: RowDigests, group_N: Ints, shortest: int) -> list[Link]:
    """Find the pairs of clips of different groups that share at least `shortest` rows at one shift.

    `group_N` numbers the group of each clip. Rows need not follow one another, and are compared by their digests only.
    """
    found_K3 = _candidates(rows)
    found_K3 = found_K3[group_N[found_K3[:, 0]] != group_N[found_K3[:, 1]]]
    distinct_L3, count_L = _distinct(found_K3)
    enough_L = count_L >= shortest
    pairs = zip(distinct_L3[enough_L].tolist(), count_L[enough_L].tolist(), strict=True)
    return [Link(first, second, shift, count) for (first, second, shift), count in pairs]


@dataclass(frozen=True)
class RowDigests:
    """M rows of clips: of every row that differs from the one before it."""

    digest_M: npt.NDArray[np.uint64]
    """Equal for equal rows, and different for others, except by a chance of one in 2^64."""
    clip_M: Ints
    row_M: Ints


def row_digests(clips: Sequence[Samples]) -> RowDigests:
    """Compute the digests of the rows of clips that have the same columns."""
    columns = next((samples_nC.shape[1] for samples_nC in clips), 0)
    odd_C = np.random.default_rng(0).integers(1, 2**63, size=columns, dtype=np.uint64) | np.uint64(1)
    digests, numbers, rows = [], [], []
    for clip, samples_nC in enumerate(clips):
        bits_nC = (np.ascontiguousarray(samples_nC, dtype=np.float32) + np.float32(0)).view(np.uint32)  # -0.0 is 0.0
        mixed_nC = (bits_nC.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)) * odd_C
        mixed_nC ^= mixed_nC >> np.uint64(29)
        row_m = np.flatnonzero(_changing(samples_nC))
        digests.append((mixed_nC * odd_C[::-1]).sum(axis=1, dtype=np.uint64)[row_m])
        numbers.append(np.full(len(row_m), clip))
        rows.append(row_m)
    if not digests:
        return RowDigests(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))
    return RowDigests(np.concatenate(digests), np.concatenate(numbers), np.concatenate(rows))


def _changing(samples_nC: Samples) -> npt.NDArray[np.bool_]:
    """[n] whether each row differs from the one before it: a sensor that stands still repeats itself."""
    changing_n = np.ones(len(samples_nC), dtype=bool)
    changing_n[1:] = (samples_nC[1:] != samples_nC[:-1]).any(axis=1)
    return changing_n


def _candidates(rows: RowDigests) -> Ints:
    """[K, 3] pairs of clips and their shift [rows] that equal digests suggest: a row is linked to the next clip's."""
    order_M = np.lexsort((rows.row_M, rows.clip_M, rows.digest_M))
    digest_M, clip_M, row_M = rows.digest_M[order_M], rows.clip_M[order_M], rows.row_M[order_M]
    starts_M = np.flatnonzero(np.concatenate([[True], digest_M[1:] != digest_M[:-1]])) if len(digest_M) else row_M
    copies_M = np.repeat(np.diff(np.append(starts_M, len(digest_M))), np.diff(np.append(starts_M, len(digest_M))))
    linked_m = np.flatnonzero(
        (digest_M[1:] == digest_M[:-1]) & (clip_M[1:] != clip_M[:-1]) & (copies_M[1:] <= _SAME_ROW_LIMIT)
    )
    return np.stack([clip_M[linked_m], clip_M[linked_m + 1], row_M[linked_m] - row_M[linked_m + 1]], axis=1)


def _distinct(found_K3: Ints) -> tuple[Ints, Ints]:
    """[L, 3] the different rows in ascending order, and [L] how often each occurs."""
    low_3 = found_K3.min(axis=0, initial=0)
    size_3 = found_K3.max(axis=0, initial=0) - low_3 + 1
    number_K = np.ravel_multi_index(tuple((found_K3 - low_3).T), tuple(size_3.tolist()))  # much faster than rows
    number_L, count_L = np.unique(number_K, return_counts=True)
    return np.stack(np.unravel_index(number_L, tuple(size_3.tolist())), axis=1) + low_3, count_L


def _longest_run(one_nC: Samples, other_mC: Samples, shift: int) -> tuple[int, int]:
    """Length of the longest run of equal, changing rows if the second clip starts `shift` rows after the first.

    Returns also its last row in the first clip.
    """
    first, last = max(shift, 0), min(len(one_nC), len(other_mC) + shift)
    if last <= first:
        return 0, 0
    equal_k = (one_nC[first:last] == other_mC[first - shift : last - shift]).all(axis=1)
    changing_k = _changing(one_nC)[first:last]
    longest = changes = row = 0
    for place, (same, changes_here) in enumerate(zip(equal_k.tolist(), changing_k.tolist(), strict=True)):
        changes = changes + changes_here if same else 0
        if changes > longest:
            longest, row = changes, first + place
    return longest, row
