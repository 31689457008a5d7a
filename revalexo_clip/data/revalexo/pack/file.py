"""Opening files of packs and motion files: HDF5 with contiguous, uncompressed arrays, of which any part is one read.

Loader workers do not use HDF5: they read bytes at known offsets, which needs no lock, no cache and no handle that
processes cannot share. Whatever they read is compared with its checksum, see `payload`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.platform import open_binary, read_at
from revalexo_clip.core.version import __version__
from revalexo_clip.data.revalexo.pack.hdf5 import UNUSABLE, Place, Table, place_of, put, read_array

FORMAT = 4
"""Version of the format of packs; increase it with every change to a file in a pack."""

AGAIN = "delete it, and run again to rebuild it"
"""What to do about a shard or a motion file whose content is corrupt."""


class PackError(DataError):
    """The file is not of a pack, is incomplete or corrupt, or has another format version."""


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
        descriptor: int | None = getattr(self, "_descriptor", None)  # missing if the file could not be opened
        if descriptor is not None:
            os.close(descriptor)
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


class TablesFile:
    """The tables of an HDF5 file, in memory, and the places of its other arrays."""

    def __init__(
        self, path: Path, kind: str, tables: Mapping[str, str], payload: Mapping[str, str], *, verify: bool = True
    ) -> None:
        """Open a file of a kind with tables and other arrays of given types. Raises `PackError` if that fails.

        To `verify` their digest, all tables of the file must be given.
        """
        self.path = path
        try:
            self.size = path.stat().st_size
            with h5py.File(path, "r", locking=False) as opened:
                found = opened.attrs.get("kind"), opened.attrs.get("format")
                if found != (kind, FORMAT):
                    raise ValueError(f"kind and format are {found[0]} {found[1]}, not {kind} {FORMAT}")
                about = read_array(opened, "about", "u1")
                self.about = about.tobytes()
                self.tables = {name: read_array(opened, name, tables[name]) for name in sorted(tables)}
                if verify and opened.attrs["sha256"] != digest_of(about, self.tables):
                    raise ValueError("its tables are corrupt: checksum mismatch")
                self.places = {name: place_of(opened, name, dtype) for name, dtype in payload.items()}
        except UNUSABLE as error:
            raise PackError(f"{path}: is incomplete or corrupt ({first_line(error)}); {AGAIN}") from error


def write_tables(
    path: Path,
    kind: str,
    about: JsonObject,
    tables: Mapping[str, tuple[npt.NDArray[np.generic], str]],
    write_payload: Callable[[h5py.File], None] | None = None,
) -> None:
    """Write a file that `TablesFile` reads. The same content gives the same bytes: there are no times in it."""
    text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    with h5py.File(path, "w", libver="earliest", locking=False) as file:
        file.attrs.update(kind=kind, format=FORMAT, version=__version__)
        put(file, "about", text, "u1")
        typed = {name: np.asarray(content).astype(dtype, copy=False) for name, (content, dtype) in tables.items()}
        for name, content in typed.items():
            put(file, name, content, content.dtype.str)
        if write_payload is not None:
            write_payload(file)
        file.attrs["sha256"] = digest_of(text, {name: typed[name] for name in sorted(typed)})


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
