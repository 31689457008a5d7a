"""Cut whole recordings into windows for an encoder, and check arrays and named columns."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from revalexo_clip.core.text import counted
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.resampling import evenly_spaced, resampled
from revalexo_clip.data.revalexo.check.signals import check_signals
from revalexo_clip.data.windows import Floats, evaluation_windows, imu_slice

_SHOWN = 6

_CHECKED_UNITS = ("m/s^2", "rad/s")


class Table(Protocol):
    """Columns by name: a mapping or a pandas data frame."""

    def keys(self) -> Iterable[Hashable]:
        """Return the names."""

    def __contains__(self, name: object, /) -> bool: ...

    def __getitem__(self, name: str, /) -> npt.ArrayLike: ...


ImuWindow = Tensor | npt.NDArray[np.generic] | Table
"""Windows [B, L, C] as a tensor or an array, or named channels."""


class RecordingVectors(NamedTuple):
    """One vector for each of the N sliding windows of a recording."""

    start_N: Tensor
    """[N] float64, start of each window in the recording's time [s]."""
    vector_ND: Tensor
    """[N, D] float32."""


class Windows(NamedTuple):
    """Sliding windows of a recording. They are cut batch by batch."""

    samples_nC: Samples
    """The recording at the encoder's rate."""
    start_N: Floats
    """Start of each window in the recording's time [s]."""
    places: Sequence[slice]
    """Samples of each window."""

    def batches(self, size: int) -> Iterable[Samples]:
        """Yield windows [B, L, C], at most `size` at a time to limit the memory."""
        if size < 1:
            raise ValueError(f"batch must be 1 window or more, not {size}")
        for first in range(0, len(self.places), size):
            yield np.stack([self.samples_nC[place] for place in self.places[first : first + size]])


def slide(
    recording: Table | Tensor | npt.NDArray[np.generic],
    spec: ImuSpec,
    *,
    rate: float | None,
    time: str | None,
    stride: float,
) -> Windows:
    """Place a window every `stride` seconds from the first sample on. See `embed_recording`."""
    if not stride > 0:  # also false for NaN
        raise ValueError(f"stride must be above 0 s, not {stride:g}")
    if isinstance(recording, Tensor):
        recording = _array_of(recording)
    if not isinstance(recording, np.ndarray) and not hasattr(recording, "keys"):
        raise TypeError(
            "a recording must be named columns, such as a pandas data frame, or an array or tensor [n, C], not "
            f"{type(recording).__name__}"
        )
    if (rate is None) is (time is None):
        raise ValueError(
            f"pass either the sampling rate (rate=... [Hz]) or a time column (time=NAME [s]){_hint(recording)}"
        )
    samples_nC = _samples_of(recording, spec.channels)
    first = 0.0
    if time is not None:
        if isinstance(recording, np.ndarray):
            raise ValueError("time names a column, and an array has no columns; pass rate=... [Hz]")
        if time not in recording:
            raise ValueError(f"no column {time}{_hint(recording)}")
        time_n = _column(recording, time)
        if time_n.shape != samples_nC.shape[:1]:
            raise ValueError(
                f"column {time} has shape {list(time_n.shape)}, but {spec.channels[0]} has [{len(samples_nC)}]"
            )
        samples_nC, rate = evenly_spaced(samples_nC, time_n)
        first = float(time_n[0])
    assert rate is not None
    refuse_other_units(samples_nC, spec, rate)
    samples_mC = resampled(samples_nC, rate, spec.rate)
    if len(samples_mC) < spec.samples:
        raise ValueError(
            f"the recording is too short: {len(samples_mC) / spec.rate:.3g} s; a window lasts {spec.window:g} s"
        )
    placed = evaluation_windows(np.zeros(1), np.array([len(samples_mC) / spec.rate]), spec.window, stride)
    places = [imu_slice(start, spec.rate, spec.samples, len(samples_mC)) for start in placed.start_N]
    return Windows(samples_mC, first + placed.start_N, places)


def refuse_other_units(samples_nC: Samples, spec: ImuSpec, rate: float) -> None:
    """Raise `ValueError` if sensors of a recording at `rate` [Hz] seem to be in g, deg/s or another unit.

    Only sensors with all three axes are checked, if the encoder takes them in m/s^2 or rad/s.
    """
    places = [place for place, unit in enumerate(spec.units) if unit in _CHECKED_UNITS]
    if not places or not len(samples_nC):
        return
    findings = check_signals(samples_nC[:, places], [spec.channels[place] for place in places], rate)
    wrong = [message for kind, message in findings if kind in ("acc_units", "gyro_units")]
    if wrong:
        raise ValueError(
            f"{'; '.join(wrong)}. Convert the recording to the encoder's units (spec.units): multiply g by 9.80665, "
            "deg/s by pi / 180"
        )


def _array_of(values: Tensor) -> npt.NDArray[np.generic]:
    """Convert a tensor of any device and data type to an array, float32 unless it is float64."""
    kept = values.detach().cpu()
    array: npt.NDArray[np.generic] = (kept if kept.dtype == torch.float64 else kept.float()).numpy()
    return array


def _hint(recording: Table | npt.NDArray[np.generic]) -> str:
    names = () if isinstance(recording, np.ndarray) else recording.keys()
    found = [str(name) for name in names if "time" in str(name).lower()]
    return f"; the recording has a column {found[0]}" if found else ""


def _samples_of(recording: Table | npt.NDArray[np.generic], channels: Sequence[str]) -> Samples:
    if isinstance(recording, np.ndarray):
        if recording.ndim != 2 or recording.shape[1] != len(channels):
            raise ValueError(
                f"a recording must be an array [n, {len(channels)}] in the order of spec.channels, or named columns; "
                f"this is an array {list(recording.shape)}"
            )
        return finite(recording, channels)
    samples_nC = stacked(recording, channels)
    if samples_nC.ndim != 2:
        raise ValueError(f"channels of a recording must be [n], but {channels[0]} is {list(samples_nC.shape[:-1])}")
    return samples_nC


def stacked(table: Table, channels: Sequence[str]) -> npt.NDArray[np.float32]:
    """Stack named columns of one shape to [..., C] float32. Raises `ValueError`, which names the wrong ones."""
    missing = [name for name in channels if name not in table]
    if missing:
        names = [str(name) for name in table.keys()]  # noqa: SIM118 (a table need not be a mapping)
        asked = [name + _close(name, names) for name in missing]
        raise ValueError(f"channels missing: {_listed(asked)}; given: {_listed(names)}")
    columns = [_column(table, name) for name in channels]
    for name, column in zip(channels, columns, strict=True):
        if column.shape != columns[0].shape:
            raise ValueError(f"channel {name} is {list(column.shape)}, but {channels[0]} is {list(columns[0].shape)}")
    return finite(np.stack(columns, axis=-1), channels)


def finite(samples: npt.NDArray[np.generic], channels: Sequence[str]) -> npt.NDArray[np.float32]:
    """Convert [..., C] to float32. Raises `ValueError`, which names the channels with NaN or infinite values."""
    try:
        with np.errstate(over="ignore"):  # values too large for float32 become infinite
            as_float = samples.astype(np.float32)
    except (ValueError, TypeError) as error:  # texts; None
        raise ValueError(f"the array has type {samples.dtype}, which is no number: {error}") from error
    broken = np.argwhere(~np.isfinite(as_float))
    if len(broken):
        names = [channels[place] for place in np.unique(broken[:, -1])]
        row = int(broken[0, -2])
        raise ValueError(
            f"channels with NaN or infinite values: {_listed(names)} "
            f"({counted(len(broken), 'value')}, the first in row {row})"
        )
    return as_float


def _column(table: Table, name: str) -> Floats:
    found = table[name]
    values = np.atleast_1d(_array_of(found) if isinstance(found, Tensor) else np.asarray(found))
    if values.dtype.kind in "mM":
        raise ValueError(f"column {name} has type {values.dtype}; it must be numbers in seconds")
    try:
        return values.astype(np.float64)
    except (ValueError, TypeError) as error:  # texts; None
        raise ValueError(f"channel {name}: {error}") from error


def _close(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
