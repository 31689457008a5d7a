"""Writing arrays of an HDF5 file, and reading those of one that nobody trusts yet.

Their places and sizes are checked before memory is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import h5py
import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.generic]

AT_A_TIME = 32 * 2**20
"""Size of the write buffer [bytes]."""

UNUSABLE = (OSError, LookupError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)
"""What h5py, pydantic and the functions of this module raise if a file is corrupt or of another kind."""


@dataclass(frozen=True)
class Place:
    """Position of an array in the file."""

    start: int
    """Offset [bytes]."""
    dtype: str
    length: int
    """Number of items."""


def read_array(opened: h5py.File, name: str, dtype: str) -> Table:
    """Read an array of a type. Raises one of `UNUSABLE` if it is missing, of another type, or beyond the file's end."""
    stored = _dataset(opened, name, dtype)
    return np.asarray(stored[()])


def place_of(opened: h5py.File, name: str, dtype: str) -> Place:
    """Return where a one-dimensional array lies in its file. Raises as `read_array` does."""
    stored = _dataset(opened, name, dtype)
    if stored.ndim != 1:
        raise ValueError(f"{name} has {stored.ndim} dimensions, not one")
    return Place(stored.id.get_offset() or 0, np.dtype(dtype).str, int(stored.size))


def _dataset(opened: h5py.File, name: str, dtype: str) -> h5py.Dataset:
    """Return a contiguous array of the file itself: no link to another file, and no longer than the file."""
    for path in accumulate(name.split("/"), "{}/{}".format):
        if not isinstance(opened.get(path, getlink=True), h5py.HardLink):
            raise KeyError(f"{path} is missing, or lies in another place")
    stored = opened[name]
    if not isinstance(stored, h5py.Dataset) or stored.shape is None or not stored.ndim:
        raise TypeError(f"{name} is not an array")
    if stored.dtype != np.dtype(dtype):
        raise TypeError(f"{name} has the type {stored.dtype}, not {np.dtype(dtype)}")
    if stored.chunks is not None or stored.is_virtual or stored.external is not None:
        raise ValueError(f"{name} is not contiguous")
    start, size = stored.id.get_offset(), int(stored.size) * stored.dtype.itemsize
    if size and (start is None or start + size > opened.id.get_filesize()):
        raise ValueError(f"{name} claims more bytes than the file has")
    return stored


def put(file: h5py.File, name: str, content: Table, dtype: str) -> None:
    """Write an array."""
    file.create_dataset(name, data=content.astype(dtype, copy=False), track_times=False)


class Growing:
    """An array that is written sequentially, through a buffer."""

    def __init__(self, file: h5py.File, name: str, length: int, dtype: str) -> None:
        """Create an array of a final length."""
        self.stored = file.create_dataset(name, shape=(length,), dtype=dtype, track_times=False)
        self.held: list[Table] = []
        self.bytes = 0
        self.done = 0

    def add(self, content: Table) -> None:
        """Append some items."""
        self.held.append(content)
        self.bytes += content.nbytes
        if self.bytes > AT_A_TIME:
            self.write()

    def write(self) -> None:
        """Write what is held."""
        content = np.concatenate(self.held) if self.held else np.empty(0)
        if len(content):
            self.stored[self.done : self.done + len(content)] = content
        self.done += len(content)
        self.held, self.bytes = [], 0
