"""Window arithmetic: start times, samples, frames and labels of windows, and labelled segments as arrays. No I/O.

Times are in seconds from the start of a clip. Times are rounded to a microsecond before they are compared, so that
rounding errors do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data.base import Windows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

TIME_DECIMALS = 6
"""Number of decimals that times [s] are rounded to before they are compared."""

START, AUGMENTATION, SECOND_VIEW, TEXT, KEPT_VIEW = 0, 1, 2, 3, 4
"""Random streams of each window. They are separate, so that augmentation does not change start times, a second view
of the IMU window does not change the first, and the choice of a sentence or of a kept view changes neither."""


def training_windows(begin_N: Floats, end_N: Floats, window: float, per_clip: int | Ints) -> Windows:
    """Split each clip's valid start times, [begin, end - window], into `per_clip` equal segments.

    There is one window per segment. `per_clip` is one number for all clips, or [N]. `start_N` of the result is the
    start of the segment; `draw_start` draws the window's start within it.
    """
    segment_N = segment_length(end_N - begin_N, window, per_clip)
    clip_W, within_W = _counted_out(np.broadcast_to(per_clip, begin_N.shape))
    return Windows(clip_N=clip_W, start_N=begin_N[clip_W] + within_W * segment_N[clip_W])


def segment_length(duration_N: Floats, window: float, per_clip: int | Ints) -> Floats:
    """Compute the length of a training segment of each clip [s]."""
    return np.maximum(duration_N - window, 0.0) / per_clip


def stretches(duration_N: Floats, window: float, longest: float) -> Ints:
    """Return [N], the number of segments of at most `longest` [s] that cover each clip's valid starts; at least 1."""
    return np.maximum(np.ceil(np.round((duration_N - window) / longest, TIME_DECIMALS)), 1).astype(np.int64)


def _counted_out(count_N: Ints) -> tuple[Ints, Ints]:
    """Return [W] and [W]: clip and number within the clip of each window, if clip i has `count_N[i]` windows."""
    clip_W = np.repeat(np.arange(len(count_N)), count_N)
    first_N = np.cumsum(count_N) - count_N
    return clip_W, np.arange(len(clip_W)) - first_N[clip_W]


def draw_start(rng: np.random.Generator, segment_start: float, segment_length: float) -> float:
    """Draw a window's start [s], uniformly from its segment."""
    return segment_start + segment_length * rng.random()


def evaluation_windows(begin_N: Floats, end_N: Floats, window: float, stride: float) -> Windows:
    """Return the windows at multiples of `stride` that lie in [begin, end] of each clip, ends included.

    A clip that is too short for any of them has one window, at the first multiple that is not before its begin.
    """
    first_N = np.ceil(np.round(begin_N / stride, TIME_DECIMALS)).astype(np.int64)
    last_N = np.floor(np.round((end_N - window) / stride, TIME_DECIMALS)).astype(np.int64)
    clip_W, step_W = _counted_out(np.maximum(last_N - first_N, 0) + 1)
    return Windows(clip_N=clip_W, start_N=np.round((first_N[clip_W] + step_W) * stride, TIME_DECIMALS))


def distinct_moments(placed: Windows, recording_J: Ints, offset_J: Floats, end_J: Floats) -> Windows:
    """Leave out the windows that show a moment which another window shows, too: clips may share seconds.

    Of windows at the same time of a recording, the one is kept whose clip continues longest after it, because its
    labels reach furthest; the order of the windows stays. `recording_J`, `offset_J` and `end_J` [s] are those of the J
    clips.
    """
    clip_N = placed.clip_N
    time_N = np.round(placed.start_N + offset_J[clip_N], TIME_DECIMALS)
    remaining_N = end_J[clip_N] - placed.start_N
    order_N = np.lexsort((np.arange(len(placed)), -remaining_N, time_N, recording_J[clip_N]))
    moment_N2 = np.stack([recording_J[clip_N], time_N], axis=1)[order_N]
    is_first_N = np.concatenate([[True], (moment_N2[1:] != moment_N2[:-1]).any(axis=1)]) if len(order_N) else order_N
    kept_M = np.sort(order_N[np.asarray(is_first_N, dtype=bool)])
    return Windows(clip_N=placed.clip_N[kept_M], start_N=placed.start_N[kept_M])


def sample_rng(seed: int, epoch: int, index: int, stream: int = START) -> np.random.Generator:
    """Return the random generator of window `index` in `epoch`, for one of its streams.

    The generator is counter-based (Philox 4x64; Salmon et al., 2011, doi:10.1145/2063384.2063405). Seed and epoch are
    the key; stream and index are the high words of the counter. Therefore no two windows share a stream, and the
    numbers do not depend on the process that draws them.
    """
    counter = np.array([0, 0, stream, index], dtype=np.uint64)
    bits = np.random.Philox(_Key(seed, epoch), counter=counter)  # type: ignore[arg-type]  # it takes any ISeedSequence
    return np.random.Generator(bits)


class _Key(ISeedSequence):
    """The key of a generator, given as a seed: NumPy asks the system for random bytes if it is given as a key."""

    def __init__(self, seed: int, epoch: int) -> None:
        self.key = np.array([seed, epoch], dtype=np.uint64)

    def generate_state(  # NumPy calls it for two 64-bit words
        self, n_words: int, dtype: object = np.uint32
    ) -> npt.NDArray[np.uint32 | np.uint64]:
        return self.key


def frame_times(start: float, window: float, frames: int) -> Floats:
    """Return [T], evenly spaced frame times [s], both ends of the window included; a single frame is in the middle."""
    if frames == 1:
        return np.array([start + window / 2])
    return start + np.linspace(0.0, window, frames)


def nearest_frames(time_P: Floats, time_T: Floats) -> Ints:
    """Return [T], the index into `time_P` (any order) of the frame nearest to each time; in a tie, the earlier one."""
    order_P = np.argsort(time_P, kind="stable")
    distance_TP = np.round(np.abs(time_T[:, None] - time_P[order_P]), TIME_DECIMALS)
    return np.asarray(order_P[distance_TP.argmin(axis=1)], dtype=np.int64)


def shown_frames(time_P: Floats, time_T: Floats, tolerance: float) -> Ints:
    """Return [T], indices into `time_P` as from `nearest_frames`.

    Raises `DataError` if a nearest frame is more than `tolerance` [s] away.
    """
    nearest_T = nearest_frames(time_P, time_T)
    distance_T = np.abs(time_P[nearest_T] - time_T)
    worst = int(distance_T.argmax())
    if distance_T[worst] > tolerance:
        end = ", the end of the video" if time_P.max() < time_T[worst] else ""
        raise DataError(
            f"has no frame near {time_T[worst]:.3f} s: the nearest is at {time_P[nearest_T[worst]]:.3f} s{end}"
        )
    return nearest_T


def burst_frames(time_P: Floats, time_T: Floats, burst: int, tolerance: float) -> Ints:
    """Return [T x burst], indices into `time_P` (any order) of `burst` consecutive frames near each time of a window.

    `time_T` are the ascending times of a window, as from `frame_times`. A burst of one is the frame of `shown_frames`.
    Longer ones lie in the window: the last ends with the frame nearest to the last time, and all begin at the frames
    nearest to moments spread evenly from the first time to the begin of the last. A single burst is around its time.
    Raises `DataError` if a nearest frame is more than `tolerance` [s] away, or if there are fewer than `burst` frames.
    """
    nearest_T = shown_frames(time_P, time_T, tolerance)
    if burst == 1:
        return nearest_T
    order_P = np.argsort(time_P, kind="stable")
    sorted_P = time_P[order_P]
    rank_P = np.argsort(order_P)
    begin, end = int(rank_P[nearest_T[0]]), int(rank_P[nearest_T[-1]])
    if len(time_T) == 1:
        begin -= (burst - 1) // 2
        end = begin + burst - 1
    if begin < 0 or end >= len(sorted_P) or end - begin + 1 < burst:
        around = f"around {time_T[0]:.3f} s" if len(time_T) == 1 else f"from {time_T[0]:.3f} s to {time_T[-1]:.3f} s"
        raise DataError(f"has too few frames {around} for bursts of {burst} (data.burst)")
    last = end - burst + 1
    moment_T = np.linspace(time_T[0], time_T[-1] - (sorted_P[end] - sorted_P[last]), len(time_T))
    first_T = nearest_frames(sorted_P, moment_T).clip(begin, last)
    return np.asarray(order_P[(first_T[:, None] + np.arange(burst)).ravel()], dtype=np.int64)


def imu_slice(start: float, rate: float, samples: int, available: int, begin: int = 0) -> slice:
    """Return the place of a window among the `available` samples of its clip: `samples`, from `round(start * rate)`.

    `begin` is when the first of them was taken [samples from the start of the clip]. If rounding puts the window one
    sample beyond an end, it is moved by one. Raises `DataError` if it is farther beyond the end.
    """
    first = round(start * rate) - begin
    beyond = first + samples - available
    if beyond > 1 or first < -1 or samples > available:
        edge = f"ends at {(begin + available) / rate:.3f} s" if beyond > 1 else f"starts at {begin / rate:.3f} s"
        raise DataError(
            f"the IMU recording {edge} ({available} samples at {rate:g} Hz), but the window lasts from {start:.3f} s "
            f"to {start + samples / rate:.3f} s"
        )
    first = max(first - max(beyond, 0), 0)
    return slice(first, first + samples)


def label_at(time_K: Floats, start_S: Floats, end_S: Floats, label_S: Ints, clip_end: float) -> Ints:
    """Return [K], the label of the segment [start, end) that contains each time; `UNLABELLED` if there is none.

    If segments overlap, the later one in `start_S` (ascending) is used. A segment that ends at the end of the clip
    contains its end.
    """
    inside_KS = _inside(time_K, start_S, end_S, clip_end)
    place_K = np.where(inside_KS, np.arange(1, len(start_S) + 1), 0).max(axis=1, initial=0)  # 0: in none of them
    return np.asarray(np.append(UNLABELLED, label_S)[place_K], dtype=np.int64)


def in_any(time_K: Floats, start_S: Floats, end_S: Floats, clip_end: float) -> Bools:
    """Return [K], whether each time is in a segment, with the same rule for their ends as `label_at`."""
    return np.asarray(_inside(time_K, start_S, end_S, clip_end).any(axis=1))


def _inside(time_K: Floats, start_S: Floats, end_S: Floats, clip_end: float) -> Bools:
    time_K1 = np.round(time_K, TIME_DECIMALS)[:, None]
    start_S, end_S = np.round(start_S, TIME_DECIMALS), np.round(end_S, TIME_DECIMALS)
    end = round(clip_end, TIME_DECIMALS)
    at_end_KS = (time_K1 == end) & (end_S == end)
    return np.asarray((start_S <= time_K1) & ((time_K1 < end_S) | at_end_KS))


@dataclass(frozen=True)
class Segments:
    """Labelled segments of N clips. Those of clip i are at `offset_N1[i]:offset_N1[i + 1]`, ascending by start."""

    offset_N1: Ints
    start_S: Floats
    """[s]"""
    end_S: Floats
    """[s]"""
    label_S: Ints

    def of(self, clip: int) -> tuple[Floats, Floats, Ints]:
        """Return the starts [s], ends [s] and labels of one clip's segments."""
        place = slice(self.offset_N1[clip], self.offset_N1[clip + 1])
        return self.start_S[place], self.end_S[place], self.label_S[place]

    def take(self, clip_M: Ints) -> Segments:
        """Return the segments of the given clips, in that order."""
        count_M = np.diff(self.offset_N1)[clip_M]
        offset_M1 = np.concatenate([[0], np.cumsum(count_M)])
        place_S = np.repeat(self.offset_N1[clip_M] - offset_M1[:-1], count_M) + np.arange(offset_M1[-1])
        return Segments(offset_M1, self.start_S[place_S], self.end_S[place_S], self.label_S[place_S])

    @staticmethod
    def gather(clips: Iterable[Sequence[tuple[float, float, int]]]) -> Segments:
        """Build from the (start, end, label) triples of each clip."""
        ordered = [sorted(triples) for triples in clips]
        flat = np.array([triple for triples in ordered for triple in triples], dtype=np.float64).reshape(-1, 3)
        return Segments(
            offset_N1=np.cumsum([0, *(len(triples) for triples in ordered)], dtype=np.int64),
            start_S=flat[:, 0].copy(),
            end_S=flat[:, 1].copy(),
            label_S=flat[:, 2].astype(np.int64),
        )
