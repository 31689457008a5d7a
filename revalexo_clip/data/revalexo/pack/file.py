"""File format of packs: HDF5 with contiguous, uncompressed arrays, so that any part of an array is a single read.

    /                  attributes: kind, format, version (of this package), short_side, quality, sha256 (of everything
                       that is read when a pack is opened, i.e. all except frames and samples)
    /about             uint8, JSON text: names and other metadata that is not numeric (`About`)
    /clips/...         one row for each of N clips, ordered by (subject, pair id)
      subject          int32 [N], index into the list of subjects
      duration         float64 [N], end of the last activity [s]; infinite without one
      recording        int32 [N], the recording that the clip is a piece of, as far as it is declared
      offset           float64 [N], start of the clip in its recording [s]
      declared         bool [N], whether the dataset declares recording and offset
      packed           bool [N]; False if the clip could not be read: it has no frames and samples in the pack
      size             int32 [N, 2], height and width of a frame in the source [px]
      turns            int8 [N], counterclockwise quarter turns; plus 4 if left and right are swapped before
      tolerance        float64 [N], largest allowed difference between a requested time and a presentation time [s]
      time_check       uint32 [N], checksum of a clip's presentation times
      header           int32 [N], index into the list of CSV headers, -1 if there is none
      first_frame      int64 [N + 1], index of a clip's first frame in /frames; the last item is the total
      first_value      int64 [N + 1], index of a clip's first value in /imu/values; the last item is the total
    /activity/..., /transition/...     segments: offset int64 [N + 1], start, end float64 [S] [s], label int64 [S]
    /sources/...       [N, 2], video and IMU file: size int64 [bytes, -1 if there is none], changed int64 [ns],
                       sha256 uint8 [N, 2, 32]
    /frames/time       float64 [F], presentation times [s from the first frame], ascending within a clip
    /frames/place      int64 [F + 1], offset of a frame in /frames/jpeg
    /frames/jpeg       uint8, all frames, concatenated
    /frames/check      uint32 [F], checksum of each frame in /frames/jpeg
    /imu/values        float32, all samples, concatenated; a sample has all columns that its header keeps
    /imu/check         uint32 [K], checksums of the samples: one for every 2048 values of a clip, see `checksums`

The number of HDF5 objects does not depend on the number of clips. Loader workers do not use HDF5: they read bytes at
known offsets, which needs no lock, no cache and no handle that processes cannot share. Whatever they read is compared
with its checksum, see `payload`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.platform import open_binary, read_at
from revalexo_clip.data.revalexo.pack.hdf5 import UNUSABLE, Place, Table, place_of, read_array
from revalexo_clip.data.revalexo.pack.tables import MAX_SIDE, PAYLOAD, TABLES, About, check_tables

KIND = "revalexo_clip pack"
FORMAT = 3
"""Version of the file format; increase it with every change to the format."""


AGAIN = "delete it, and run again to rebuild it"
"""What to do about a pack or a motion file whose content is corrupt."""


class PackError(DataError):
    """The file is not a pack, is incomplete or corrupt, or has another format version."""


class PackFile:
    """Reader of parts of arrays. It can be forked and pickled, and opens the file on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self.identity = _identity(path.stat())

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_descriptor": None}

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; it is opened again when something is read."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def read(self, place: Place, first: int, end: int) -> npt.NDArray[np.generic]:
        """Read items `first` to `end` (exclusive) of an array, read-only. Raises `DataError` if that fails."""
        dtype = np.dtype(place.dtype)
        assert 0 <= first <= end <= place.length
        return np.frombuffer(self.read_bytes(place, first * dtype.itemsize, end * dtype.itemsize), dtype)

    def read_bytes(self, place: Place, first: int, end: int) -> bytes:
        """Read bytes `first` to `end` (exclusive) of an array."""
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            content = read_at(self._descriptor, end - first, place.start + first)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        if len(content) != end - first:
            raise DataError(f"{self.path}: is truncated; {AGAIN}")
        return content

    def _open(self) -> int:
        descriptor = open_binary(self.path)
        if _identity(os.fstat(descriptor)) != self.identity:  # the offsets of its arrays are no longer valid
            os.close(descriptor)
            raise DataError(f"{self.path}: was replaced while it was in use; start again")
        return descriptor


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


class PackTables:
    """Tables of a pack: everything except frames and samples, read into memory."""

    def __init__(self, path: Path) -> None:
        """Open a pack. Raises `PackError` if it cannot be read, or if its tables contradict each other."""
        self.path = path
        try:
            self.file = PackFile(path)
            with h5py.File(path, "r", locking=False) as opened:
                self._check_format(opened)
                self.short_side = _number(opened, "short_side", MAX_SIDE)
                self.quality = _number(opened, "quality", 100)
                about = read_array(opened, "about", "u1")
                self.about = About.model_validate_json(about.tobytes())
                self.tables = {name: read_array(opened, name, TABLES[name].dtype) for name in sorted(TABLES)}
                if opened.attrs["sha256"] != digest_of(about, self.tables):
                    raise ValueError("its tables are corrupt: checksum mismatch")
                places = {name: place_of(opened, name, dtype) for name, dtype in PAYLOAD.items()}
            self.places = places
            check_tables(self.about, self.tables, {name: place.length for name, place in places.items()})
        except FileNotFoundError as error:
            raise PackError(f"{path}: there is no such pack") from error
        except UNUSABLE as error:
            raise PackError(f"{path}: is not a pack, or is incomplete or corrupt ({first_line(error)})") from error

    @staticmethod
    def _check_format(opened: h5py.File) -> None:
        path, kind, found = opened.filename, opened.attrs.get("kind"), opened.attrs.get("format")
        if kind != KIND:
            raise PackError(f"{path}: is not a pack, but another HDF5 file")
        if found != FORMAT:
            version = opened.attrs.get("version", "?")
            raise PackError(
                f"{path}: has pack format {found} (written by revalexo_clip {version}), but this version reads format "
                f"{FORMAT}; run `rxclip pack` again"
            )

    def ints(self, name: str) -> npt.NDArray[np.int64]:
        """Return a table of integers."""
        return self.tables[name].astype(np.int64)

    def floats(self, name: str) -> npt.NDArray[np.float64]:
        """Return a table of floats."""
        return self.tables[name].astype(np.float64)

    def __len__(self) -> int:
        return len(self.about.names)


def _number(opened: h5py.File, name: str, most: int) -> int:
    """Return an attribute that is a whole number from 1 to `most`."""
    value = opened.attrs[name]
    if not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise ValueError(f"{name} is not a whole number from 1 to {most}")
    return int(value)


def digest_of(about: Table, tables: Mapping[str, Table]) -> str:
    """Compute the SHA-256 of the tables, in hex."""
    digest = hashlib.sha256(about.tobytes())
    for name, table in tables.items():
        digest.update(f"{name} {table.dtype.str} {table.shape}".encode())
        digest.update(table.tobytes())
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).partition("\n")[0].strip("'\"")
