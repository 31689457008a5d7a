"""Recordings in one .npz file, concatenated in one array, with one label each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.core.npz import UNREADABLE, names_of, read_npz
from revalexo_clip.core.text import spelled_twice
from revalexo_clip.data.index import fingerprint
from revalexo_clip.data.recordings.base import WHOLE, Recorded, RecordingSet, Track, positions
from revalexo_clip.data.resampling import resampled
from revalexo_clip.data.windows import Ints

Array = npt.NDArray[np.generic]

ZIP = b"PK"
"""First bytes of an .npz file."""
ARRAYS = ("data", "offsets", "label", "subject", "activities", "channels", "fs")


class NpzRecordings(RecordingSet):
    """R recordings of A activities, in a file with these arrays.

    data        numbers [N, C], the samples of all recordings
    offsets     integers [R + 1]: recording i is data[offsets[i]:offsets[i + 1]]
    label       integers [R], indices into `activities`
    subject     integers or strings [R]
    activities  strings [A]
    channels    strings [C]
    fs          a number, the sampling rate [Hz]
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `DataError` if it does not have this format."""
        self.file = path
        self.root, name = path.parent, path.name
        arrays = _arrays(path)
        self.data_NC = arrays["data"]
        self.channels = tuple(map(str, self._texts(arrays, "channels")))
        self.activities = tuple(map(str, self._texts(arrays, "activities")))
        if problem := spelled_twice(self.activities):
            raise self._wrong(problem)
        self.rate = self._rate(arrays["fs"])
        self.offset_R1 = self._offsets(arrays)
        recordings = len(self.offset_R1) - 1
        self.label_R = self._whole_numbers(arrays, "label", recordings)
        self._check_labels()
        self.subjects = self._subjects(arrays["subject"], recordings)
        digits = len(str(recordings - 1))
        self.names = tuple(f"{number:0{digits}d}" for number in range(recordings))
        self.files = (name,) * recordings

    def columns(self, recording: int) -> tuple[str, ...]:
        """See `RecordingSet.columns`."""
        return self.channels

    def read(self, recording: int, columns: Sequence[str], to: float) -> Recorded:
        """See `RecordingSet.read`."""
        place_C = positions(self.channels, columns, self.file)
        first, end = self.offset_R1[recording], self.offset_R1[recording + 1]
        with np.errstate(over="ignore"):  # values beyond float32 become infinite
            samples_nC = self.data_NC[first:end, place_C].astype(np.float32)
        wrong = np.argwhere(~np.isfinite(samples_nC))
        if len(wrong):
            row, channel = wrong[0]
            raise DataError(
                f"{self.file}: row {first + row} of data (row {row} of recording {recording}), channel "
                f"{columns[channel]}: {samples_nC[row, channel]} is not a finite number ({len(wrong)} such values)"
            )
        track = Track(resampled(samples_nC, self.rate, to), 0.0, [(*WHOLE, int(self.label_R[recording]))])
        return Recorded([track], samples_nC, None, self.rate)

    def fingerprint(self, recordings: Sequence[int]) -> str:
        """See `RecordingSet.fingerprint`."""
        return fingerprint([sha256_of(self.file)], ((self.names[recording], recording) for recording in recordings))

    def _wrong(self, what: str) -> DataError:
        return DataError(f"{self.file}: {what}")

    def _texts(self, arrays: dict[str, Array], name: str) -> list[str]:
        array = arrays[name]
        if array.ndim != 1 or array.dtype.kind != "U" or not len(array):
            raise self._wrong(f"{name} should be an array of strings, but is {_described(array)}")
        if len(set(array.tolist())) < len(array):
            raise self._wrong(f"{name} contains a name twice: {', '.join(array.tolist())}")
        return [str(text) for text in array]

    def _whole_numbers(self, arrays: dict[str, Array], name: str, count: int | None = None) -> Ints:
        array = arrays[name]
        if array.ndim != 1 or array.dtype.kind not in "iu" or (count is not None and len(array) != count):
            number = "integers" if count is None else f"{count} integers, one per recording"
            raise self._wrong(f"{name} should be {number}, but is {_described(array)}")
        return array.astype(np.int64)

    def _rate(self, array: Array) -> float:
        if array.size != 1 or array.dtype.kind not in "iuf" or not 0 < float(array.item()) < np.inf:
            raise self._wrong(f"fs should be a positive number, the sampling rate [Hz], but is {_described(array)}")
        return float(array.item())

    def _offsets(self, arrays: dict[str, Array]) -> Ints:
        data_NC, offset_R1 = arrays["data"], self._whole_numbers(arrays, "offsets")
        if data_NC.ndim != 2 or data_NC.dtype.kind not in "iuf" or data_NC.shape[1] != len(self.channels):
            raise self._wrong(f"data should be numbers [N, {len(self.channels)}], but is {_described(data_NC)}")
        if len(offset_R1) < 2 or offset_R1[0] != 0 or offset_R1[-1] != len(data_NC) or np.diff(offset_R1).min() < 0:
            ends = f"go from {offset_R1[0]} to {offset_R1[-1]}" if len(offset_R1) else "are empty"
            raise self._wrong(f"offsets should ascend from 0 to {len(data_NC)}, the length of data, but they {ends}")
        return offset_R1

    def _check_labels(self) -> None:
        outside = np.flatnonzero((self.label_R < 0) | (self.label_R >= len(self.activities)))
        if len(outside):
            recording = int(outside[0])
            raise self._wrong(
                f"recording {recording} has label {self.label_R[recording]}, but labels should be from 0 to "
                f"{len(self.activities) - 1}, indices into activities"
            )

    def _subjects(self, array: Array, recordings: int) -> tuple[str, ...]:
        if array.shape != (recordings,) or array.dtype.kind not in "iuU":
            raise self._wrong(
                f"subject should be {recordings} integers or strings, one per recording, but is {_described(array)}"
            )
        return tuple(map(str, array.tolist()))


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            if file.read(2) != ZIP:
                raise DataError(f"{path}: is not an .npz file")
        stored = names_of(path)
        if lacking := [name for name in ARRAYS if name not in stored]:
            raise DataError(f"{path}: lacks the array {', '.join(lacking)}; arrays: {', '.join(stored)}")
        return read_npz(path, ARRAYS)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UNREADABLE as error:
        if "pickle" in str(error):
            raise DataError(
                f"{path}: contains pickled Python objects, which are never read: save text as arrays of strings "
                "(`np.array(names)`, without dtype=object)"
            ) from error
        raise DataError(f"{path}: is an incomplete or corrupt .npz file: {error}") from error


def _described(array: Array) -> str:
    return f"{array.dtype} {list(array.shape)}"
