"""The file: HDF5 whose arrays lie in it as they are, so that any part of one is a single read.

    /                  attributes: kind, format, version (of this package), short_side, quality, sha256 (of all that is
                       read when a pack is opened; frames and samples are not)
    /about             uint8, JSON text: names, and what else is not numbers (`About`)
    /clips/...         one row for each of N clips, ordered by (subject, pair id)
      subject          int32 [N], place in the list of subjects
      duration         float64 [N], where the last activity ends [s]
      packed           bool [N]; what could not be read when it was packed has neither frames nor samples here
      size             int32 [N, 2], height and width of a frame in the source [px]
      turns            int8 [N], quarter turns against the clock that put a frame upright
      tolerance        float64 [N], how far from it the moments may be that a frame stands for [s]
      header           int32 [N], place in the list of CSV headers, -1 where there is none
      first_frame      int64 [N + 1], where a clip's frames begin in /frames, and where the last one's end
      first_value      int64 [N + 1], where a clip's samples begin in /imu/values
    /activity/..., /transition/...     segments: offset int64 [N + 1], start, end float64 [S] [s], label int64 [S]
    /sources/...       [N, 2], video and IMU file: size int64 [bytes, -1 where there is none], changed int64 [ns],
                       sha256 uint8 [N, 2, 32]
    /frames/time       float64 [F], presentation times [s from the first frame], ascending within a clip
    /frames/place      int64 [F + 1], where a frame begins in /frames/jpeg
    /frames/jpeg       uint8, all frames, one after the other
    /imu/values        float32, all samples, one after the other; a sample has all columns that its header keeps

A hundred thousand clips are as many objects as one. Loader workers neither open HDF5 nor keep any of it: they read
bytes from where the arrays lie, which needs no lock, no cache and no handle that processes could not share.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from revalexo_clip.core.errors import DataError

Table = npt.NDArray[np.generic]

KIND = "revalexo_clip pack"
FORMAT = 1
"""Goes up with every change to what is said above."""


class PackError(DataError):
    """A file that is no pack, or no whole one, or one of another format."""


class Header(BaseModel):
    """The first row of a CSV."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...]
    kept: tuple[str, ...]
    """Those whose samples are in the pack."""


class About(BaseModel):
    """What a pack says in words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    activities: tuple[str, ...]
    subjects: tuple[str, ...]
    """All that are described, in order."""
    described_by: tuple[str, ...]
    """Each subject's JSON file, from the root."""
    unreadable: tuple[str, ...]
    """Subjects whose description is wrong: no clip of theirs is here."""
    digests: dict[str, str]
    """SHA-256 of every JSON file, from the root."""
    names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    videos: tuple[str, ...]
    """From the root; "" where there is none."""
    imus: tuple[str, ...]
    """From the root."""
    headers: tuple[Header, ...]


@dataclass(frozen=True)
class Place:
    """An array that stays in the file."""

    start: int
    """[bytes]"""
    dtype: str
    length: int


class PackFile:
    """Reads parts of arrays. May be forked and pickled; opened when something is first read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self.identity = _identity(path.stat())

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_descriptor": None}

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self, place: Place, first: int, end: int) -> npt.NDArray[np.generic]:
        """Items `first` to `end` of an array; read-only. Raises `DataError` where they cannot be read."""
        dtype = np.dtype(place.dtype)
        assert 0 <= first <= end <= place.length
        return np.frombuffer(self.read_bytes(place, first * dtype.itemsize, end * dtype.itemsize), dtype)

    def read_bytes(self, place: Place, first: int, end: int) -> bytes:
        """The bytes from `first` to `end` of an array."""
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            content = os.pread(self._descriptor, end - first, place.start + first)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        if len(content) != end - first:
            raise DataError(f"{self.path}: ends too early; delete it, and it is made again")
        return content

    def _open(self) -> int:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        if _identity(os.fstat(descriptor)) != self.identity:  # where its arrays lie is no longer known
            os.close(descriptor)
            raise DataError(f"{self.path}: was replaced while it was in use; start again")
        return descriptor


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


class PackTables:
    """What there is to know about a pack's clips, in arrays; frames and samples stay where they are."""

    def __init__(self, path: Path) -> None:
        """Open a pack. Raises `PackError`, which says what to do, where it is none that can be read."""
        self.path = path
        try:
            self.file = PackFile(path)
            with h5py.File(path, "r", locking=False) as opened:
                self._check_format(opened)
                self.short_side, self.quality = int(opened.attrs["short_side"]), int(opened.attrs["quality"])
                self.about = About.model_validate_json(opened["about"][()].tobytes())
                self.tables = tables_of(opened)
                if opened.attrs["sha256"] != digest_of(opened["about"][()], self.tables):
                    raise ValueError("its tables are damaged")
                names = ("frames/time", "frames/place", "frames/jpeg", "imu/values")
                self.time, self.place, self.jpeg, self.values = (_place(opened[name]) for name in names)
        except FileNotFoundError as error:
            raise PackError(f"{path}: there is no such pack") from error
        except (OSError, LookupError, ValueError, TypeError, RuntimeError) as error:  # whatever HDF5 makes of damage
            raise PackError(f"{path}: is not a pack, or not a whole one ({_first_line(error)})") from error

    @staticmethod
    def _check_format(opened: h5py.File) -> None:
        path, kind, found = opened.filename, opened.attrs.get("kind"), opened.attrs.get("format")
        if kind != KIND:
            raise PackError(f"{path}: is not a pack: it is some other HDF5 file")
        if found != FORMAT:
            version = opened.attrs.get("version", "?")
            raise PackError(
                f"{path}: is a pack of format {found}, made by revalexo_clip {version}; this version reads format "
                f"{FORMAT}"
            )

    def ints(self, name: str) -> npt.NDArray[np.int64]:
        """A table of whole numbers."""
        return self.tables[name].astype(np.int64)

    def floats(self, name: str) -> npt.NDArray[np.float64]:
        """A table of numbers."""
        return self.tables[name].astype(np.float64)

    def __len__(self) -> int:
        return len(self.about.names)


def tables_of(opened: h5py.File) -> dict[str, Table]:
    """All arrays that are read when a pack is opened."""
    groups = ("clips", "activity", "transition", "sources")
    return {f"{group}/{name}": stored[()] for group in groups for name, stored in sorted(opened[group].items())}


def digest_of(about: Table, tables: dict[str, Table]) -> str:
    """SHA-256, in hex."""
    digest = hashlib.sha256(about.tobytes())
    for name, table in tables.items():
        digest.update(f"{name} {table.dtype.str} {table.shape}".encode())
        digest.update(table.tobytes())
    return digest.hexdigest()


def _place(stored: h5py.Dataset) -> Place:
    start = stored.id.get_offset()
    if start is None and stored.size:
        raise KeyError(f"{stored.name} is not contiguous")
    return Place(start or 0, str(stored.dtype.str), int(stored.size))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip("'\"")
