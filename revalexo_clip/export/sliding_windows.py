"""What an encoder is given: windows or whole recordings, as arrays or as named columns."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.resampling import evenly_spaced, resampled
from revalexo_clip.data.windows import Floats, evaluation_windows, imu_slice

_SHOWN = 6


class Table(Protocol):
    """Columns by name: a mapping, or a frame as pandas reads it."""

    def keys(self) -> Iterable[Hashable]:
        """The names."""

    def __contains__(self, name: object, /) -> bool: ...

    def __getitem__(self, name: str, /) -> npt.ArrayLike: ...


class RecordingVectors(NamedTuple):
    """One vector for each of the N windows that slide over a recording."""

    start_N: Tensor
    """[N] float64, where each window starts, by the recording's own clock [s]."""
    vector_ND: Tensor
    """[N, D] float32."""


class Windows(NamedTuple):
    """The windows that slide over a recording, cut from it when they are asked for."""

    samples_nC: Samples
    """The recording at the encoder's rate."""
    start_N: Floats
    """By the recording's own clock [s]."""
    places: Sequence[slice]
    """Which samples each window takes."""

    def batches(self, size: int) -> Iterable[Samples]:
        """[B, L, C] at a time, so that memory does not grow with the recording."""
        for first in range(0, len(self.places), size):
            yield np.stack([self.samples_nC[place] for place in self.places[first : first + size]])


def slide(
    recording: Table | npt.NDArray[np.generic], spec: ImuSpec, *, rate: float | None, time: str | None, stride: float
) -> Windows:
    """The windows that start every `stride` seconds from the first sample on; see `embed_recording`."""
    if stride <= 0:
        raise ValueError(f"stride is the time from one window to the next [s], not {stride:g}")
    if (rate is None) is (time is None):
        raise ValueError(
            f"say how the recording was sampled: rate=... [Hz] or time=..., a column [s]{_hint(recording)}"
        )
    samples_nC = _samples_of(recording, spec.channels)
    first = 0.0
    if time is not None:
        if isinstance(recording, np.ndarray):
            raise ValueError("time names a column, and an array has none: give its rate [Hz]")
        if time not in recording:
            raise ValueError(f"there is no column {time}{_hint(recording)}")
        time_n = _column(recording, time)
        if time_n.shape != samples_nC.shape[:1]:
            raise ValueError(f"column {time} is {list(time_n.shape)}, and {spec.channels[0]} is [{len(samples_nC)}]")
        samples_nC, rate = evenly_spaced(samples_nC, time_n)
        first = float(time_n[0])
    assert rate is not None
    samples_mC = resampled(samples_nC, rate, spec.rate)
    if len(samples_mC) < spec.samples:
        raise ValueError(f"the recording lasts {len(samples_mC) / spec.rate:.3g} s, and a window {spec.window:g} s")
    placed = evaluation_windows(np.zeros(1), np.array([len(samples_mC) / spec.rate]), spec.window, stride)
    places = [imu_slice(start, spec.rate, spec.samples, len(samples_mC)) for start in placed.start_N]
    return Windows(samples_mC, first + placed.start_N, places)


def _hint(recording: Table | npt.NDArray[np.generic]) -> str:
    names = () if isinstance(recording, np.ndarray) else recording.keys()
    found = [str(name) for name in names if "time" in str(name).lower()]
    return f"; it has a column {found[0]}" if found else ""


def _samples_of(recording: Table | npt.NDArray[np.generic], channels: Sequence[str]) -> Samples:
    if isinstance(recording, np.ndarray):
        if recording.ndim != 2 or recording.shape[1] != len(channels):
            raise ValueError(
                f"a recording is [n, {len(channels)}] with channels in the order of spec.channels, or named columns; "
                f"not {list(recording.shape)}"
            )
        return finite(recording, channels)
    samples_nC = stacked(recording, channels)
    if samples_nC.ndim != 2:
        raise ValueError(f"a recording's channels are [n] each, and {channels[0]} is {list(samples_nC.shape[:-1])}")
    return samples_nC


def stacked(table: Table, channels: Sequence[str]) -> npt.NDArray[np.float32]:
    """Named columns, all of one shape -> [..., C] float32. Raises `ValueError` that names those that will not do."""
    missing = [name for name in channels if name not in table]
    if missing:
        names = [str(name) for name in table.keys()]  # noqa: SIM118 (a table is no mapping)
        asked = [name + _close(name, names) for name in missing]
        raise ValueError(f"channels missing: {_listed(asked)}; given: {_listed(names)}")
    columns = [_column(table, name) for name in channels]
    for name, column in zip(channels, columns, strict=True):
        if column.shape != columns[0].shape:
            raise ValueError(f"channel {name} is {list(column.shape)}, and {channels[0]} is {list(columns[0].shape)}")
    return finite(np.stack(columns, axis=-1), channels)


def finite(samples: npt.NDArray[np.generic], channels: Sequence[str]) -> npt.NDArray[np.float32]:
    """[..., C] as float32. Raises `ValueError` that names the channels with NaN or infinite values, and where."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        as_float = samples.astype(np.float32)
    broken = np.argwhere(~np.isfinite(as_float))
    if len(broken):
        names = [channels[place] for place in np.unique(broken[:, -1])]
        row = int(broken[0, -2])
        raise ValueError(
            f"channels with NaN or infinite values: {_listed(names)} ({len(broken)} of them, the first in row {row})"
        )
    return as_float


def _column(table: Table, name: str) -> Floats:
    values = np.atleast_1d(np.asarray(table[name]))
    if values.dtype.kind in "mM":
        raise ValueError(f"column {name} holds {values.dtype}; seconds are numbers here")
    try:
        return values.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"channel {name}: {error}") from error


def _close(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
