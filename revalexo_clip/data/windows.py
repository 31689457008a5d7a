"""Window arithmetic: where windows start, which samples and frames they take, which labels they carry. No I/O.

Times are seconds from the start of a clip. Where two times are compared they are first rounded to a microsecond, so
that 7.4 written in a file and 7.4 reached by adding halves are the same moment.

Labelled stretches of clips, as arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data.base import Windows

Floats = npt.NDArray[np.float64]


Ints = npt.NDArray[np.int64]


Bools = npt.NDArray[np.bool_]

TIME_DECIMALS = 6
"""Times are compared to this many decimals of a second."""

START, AUGMENTATION = 0, 1
"""Streams of random numbers that each window has, so that augmentation never changes where windows start."""


def training_windows(duration_N: Floats, window: float, per_clip: int | Ints) -> Windows:
    """Cut each clip's valid starts, [0, duration - window], into `per_clip` equal segments; one window per segment.

    `per_clip` is one number for all clips, or [N]. `start_N` of the result is where the segment begins; `draw_start`
    picks the window's start within it.
    """
    segment_N = segment_length(duration_N, window, per_clip)
    clip_W, within_W = _counted_out(np.broadcast_to(per_clip, duration_N.shape))
    return Windows(clip_N=clip_W, start_N=within_W * segment_N[clip_W])


def segment_length(duration_N: Floats, window: float, per_clip: int | Ints) -> Floats:
    """Length of one training segment of each clip [s]."""
    return np.maximum(duration_N - window, 0.0) / per_clip


def stretches(duration_N: Floats, window: float, longest: float) -> Ints:
    """[N] how many segments of at most `longest` [s] the valid starts of each clip make: 1 where there is one start."""
    return np.maximum(np.ceil(np.round((duration_N - window) / longest, TIME_DECIMALS)), 1).astype(np.int64)


def _counted_out(count_N: Ints) -> tuple[Ints, Ints]:
    """[W] the clip of each of `count_N` windows a clip, and its place among those of its clip."""
    clip_W = np.repeat(np.arange(len(count_N)), count_N)
    first_N = np.cumsum(count_N) - count_N
    return clip_W, np.arange(len(clip_W)) - first_N[clip_W]


def draw_start(rng: np.random.Generator, segment_start: float, segment_length: float) -> float:
    """A window's start [s], uniform over its segment."""
    return segment_start + segment_length * rng.random()


def evaluation_windows(duration_N: Floats, window: float, stride: float) -> Windows:
    """Windows at 0, `stride`, 2 `stride`, ... of each clip, up to and including `duration - window`."""
    last_N = np.round((duration_N - window) / stride, TIME_DECIMALS)
    count_N = np.floor(np.maximum(last_N, 0.0)).astype(np.int64) + 1
    clip_W, step_W = _counted_out(count_N)
    return Windows(clip_N=clip_W, start_N=np.round(step_W * stride, TIME_DECIMALS))


def sample_rng(seed: int, epoch: int, index: int, stream: int = START) -> np.random.Generator:
    """A generator of what is random about window `index` in `epoch`: its `START`, or its `AUGMENTATION`.

    Counter-based (Philox 4x64; Salmon et al., 2011, doi:10.1145/2063384.2063405): seed and epoch are the key, stream
    and index are high words of the counter, so no two windows share a stream and none depends on who draws it.
    """
    key = np.array([seed, epoch], dtype=np.uint64)
    counter = np.array([0, 0, stream, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def frame_times(start: float, window: float, frames: int) -> Floats:
    """[T] moments of a window to show [s]: evenly spread, first and last included; a single one is the middle."""
    if frames == 1:
        return np.array([start + window / 2])
    return start + np.linspace(0.0, window, frames)


def nearest_frames(time_P: Floats, time_T: Floats) -> Ints:
    """[T] indices into `time_P`, presentation times in any order: the nearest to each moment, of two the earlier."""
    order_P = np.argsort(time_P, kind="stable")
    distance_TP = np.round(np.abs(time_T[:, None] - time_P[order_P]), TIME_DECIMALS)
    return np.asarray(order_P[distance_TP.argmin(axis=1)], dtype=np.int64)


def shown_frames(time_P: Floats, time_T: Floats, tolerance: float) -> Ints:
    """[T] indices into `time_P` as of `nearest_frames`, none of them farther off than `tolerance` [s].

    Raises `DataError` where one is.
    """
    nearest_T = nearest_frames(time_P, time_T)
    distance_T = np.abs(time_P[nearest_T] - time_T)
    worst = int(distance_T.argmax())
    if distance_T[worst] > tolerance:
        where = "where the video ends" if time_P.max() < time_T[worst] else "after it"
        raise DataError(
            f"has no frame near {time_T[worst]:.3f} s: the nearest is at {time_P[nearest_T[worst]]:.3f} s, {where}"
        )
    return nearest_T


def imu_slice(start: float, rate: float, samples: int, available: int) -> slice:
    """The samples of a window among the `available` ones of its clip: `samples` of them from `round(start * rate)`.

    A window that rounding puts one sample beyond the end is moved back by it. Raises `DataError` for anything more.
    """
    first = round(start * rate)
    beyond = first + samples - available
    if beyond > 1 or samples > available:
        raise DataError(
            f"the IMU recording ends at {available / rate:.3f} s ({available} samples at {rate:g} Hz), "
            f"before the window from {start:.3f} s to {start + samples / rate:.3f} s does"
        )
    first -= max(beyond, 0)
    return slice(first, first + samples)


def label_at(time_K: Floats, start_S: Floats, end_S: Floats, label_S: Ints, clip_end: float) -> Ints:
    """[K] labels of the segments [start, end) that hold each time, `UNLABELLED` where none does.

    Where segments overlap, the one that comes later in `start_S` (ascending) holds. A segment that ends with the clip
    holds its end too.
    """
    inside_KS = _inside(time_K, start_S, end_S, clip_end)
    place_K = np.where(inside_KS, np.arange(1, len(start_S) + 1), 0).max(axis=1, initial=0)  # 0: in none of them
    return np.asarray(np.append(UNLABELLED, label_S)[place_K], dtype=np.int64)


def in_any(time_K: Floats, start_S: Floats, end_S: Floats, clip_end: float) -> Bools:
    """[K] whether each time lies in one of the segments, with the same rule for their ends as `label_at`."""
    return np.asarray(_inside(time_K, start_S, end_S, clip_end).any(axis=1))


def _inside(time_K: Floats, start_S: Floats, end_S: Floats, clip_end: float) -> Bools:
    time_K1 = np.round(time_K, TIME_DECIMALS)[:, None]
    start_S, end_S = np.round(start_S, TIME_DECIMALS), np.round(end_S, TIME_DECIMALS)
    end = round(clip_end, TIME_DECIMALS)
    at_end_KS = (time_K1 == end) & (end_S == end)
    return np.asarray((start_S <= time_K1) & ((time_K1 < end_S) | at_end_KS))


@dataclass(frozen=True)
class Segments:
    """Labelled stretches of N clips, those of clip i at `offset_N1[i]:offset_N1[i + 1]`, ascending by start."""

    offset_N1: Ints
    start_S: Floats
    """[s]"""
    end_S: Floats
    """[s]"""
    label_S: Ints

    def of(self, clip: int) -> tuple[Floats, Floats, Ints]:
        """Starts [s], ends [s] and labels of one clip's segments."""
        place = slice(self.offset_N1[clip], self.offset_N1[clip + 1])
        return self.start_S[place], self.end_S[place], self.label_S[place]

    def take(self, clip_M: Ints) -> Segments:
        """The segments of some of the clips, in that order."""
        count_M = np.diff(self.offset_N1)[clip_M]
        offset_M1 = np.concatenate([[0], np.cumsum(count_M)])
        place_S = np.repeat(self.offset_N1[clip_M] - offset_M1[:-1], count_M) + np.arange(offset_M1[-1])
        return Segments(offset_M1, self.start_S[place_S], self.end_S[place_S], self.label_S[place_S])

    @staticmethod
    def gather(clips: Iterable[Sequence[tuple[float, float, int]]]) -> Segments:
        """From (start, end, label) triples, clip by clip."""
        ordered = [sorted(triples) for triples in clips]
        flat = np.array([triple for triples in ordered for triple in triples], dtype=np.float64).reshape(-1, 3)
        return Segments(
            offset_N1=np.cumsum([0, *(len(triples) for triples in ordered)], dtype=np.int64),
            start_S=flat[:, 0].copy(),
            end_S=flat[:, 1].copy(),
            label_S=flat[:, 2].astype(np.int64),
        )
