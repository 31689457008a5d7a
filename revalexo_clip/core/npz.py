"""Reading .npy and .npz files that nobody trusts yet.

No pickled object is loaded, and no more memory is taken than the file can fill.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

Array = npt.NDArray[np.generic]

UNREADABLE = (OSError, ValueError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What `read_npz` and `read_npy` raise if a file is missing, corrupt, holds objects or claims more than it has."""

DENSEST = 1100
"""A deflated file contains at most about 1,032 times its own size."""


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, Array]:
    """Read the arrays `names` of an .npz file, all of them if None. Raises one of `UNREADABLE`.

    An array whose header claims another size than its entry in the archive is refused before memory is taken.
    """
    with zipfile.ZipFile(path) as archive:
        return {name: _member(archive, name) for name in (names_in(archive) if names is None else names)}


def names_of(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz file. Raises one of `UNREADABLE`."""
    with zipfile.ZipFile(path) as archive:
        return names_in(archive)


def names_in(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the arrays in an open .npz file."""
    return [name.removesuffix(".npy") for name in archive.namelist()]


def read_npy(path: Path) -> Array:
    """Read a .npy file. Raises one of `UNREADABLE`."""
    with path.open("rb") as file:
        _check_claim(file, path.stat().st_size, path.name)
        file.seek(0)
        array: Array = np.load(file, allow_pickle=False)
        return array


def _member(archive: zipfile.ZipFile, name: str) -> Array:
    entry = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name)
    if entry.file_size > DENSEST * max(entry.compress_size, 1):
        raise ValueError(f"{name} claims {entry.file_size} bytes, more than {entry.compress_size} packed ones can hold")
    with archive.open(entry) as file:
        _check_claim(file, entry.file_size, name)
    with archive.open(entry) as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))


def _check_claim(file: IO[bytes], size: int, name: str) -> None:
    """Raise `ValueError` if the header of an array claims another size than that of its file [bytes]."""
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"{name} has version {version} of the .npy format, not 1.0 or 2.0")
    if dtype.hasobject:
        raise ValueError(f"{name} contains pickled Python objects, which are never read")
    claimed = dtype.itemsize
    for length in shape:
        claimed *= length
    if claimed != size - file.tell():
        raise ValueError(f"{name} claims {claimed} bytes, and its file has {size - file.tell()}")
