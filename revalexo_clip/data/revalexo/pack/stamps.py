"""Stamps: which content a file had at a size and modification time, so that no file is read again to find its digest.

They are kept in a pack by dataset root, because copies of a dataset have other modification times. A process adds a
file of its own, and files are merged when a dataset has been packed; so several machines can add stamps at a time. If
the pack is read-only, stamps lie in the dataset's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.core.platform import cpu_count, flush_file
from revalexo_clip.data.revalexo.layout import LABEL_MAPPING
from revalexo_clip.data.revalexo.pack.entries import Digests
from revalexo_clip.data.revalexo.pack.file import PackError, TablesFile, write_tables
from revalexo_clip.data.revalexo.pack.folder import STAMPS
from revalexo_clip.data.revalexo.pack.hdf5 import Table
from revalexo_clip.data.revalexo.pack.shard import SUFFIX, temporary_file
from revalexo_clip.data.revalexo.pack.temporary import PREFIX
from revalexo_clip.data.windows import Ints

KIND = "revalexo_clip stamps"
_TABLES = {"path": "u1", "size": "<i8", "changed": "<i8", "sha256": "u1"}
NO_DIGEST = bytes(32)
"""Digest of a file that could not be read."""


class Stamp(BaseModel):
    """Size, modification time and digest of a file, to find out whether it has changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    """Size [bytes]; -1 if there is no file."""
    changed: int
    """Modification time [ns]."""
    sha256: str = ""
    """SHA-256, in hex; "" if not computed."""


NOTHING = Stamp(size=-1, changed=0)


def stamp(path: Path | None) -> Stamp:
    """Return a file's stamp without digest; `NOTHING` if the file is missing or inaccessible."""
    if path is None:
        return NOTHING
    size, changed = look(str(path))
    return Stamp(size=size, changed=changed)


def look(path: str) -> tuple[int, int]:
    """Return size [bytes] and modification time [ns] of a file; (-1, 0) if it is missing or inaccessible."""
    try:
        status = os.stat(path)  # noqa: PTH116 - faster, for hundreds of thousands of files before every run
    except (OSError, ValueError):
        return NOTHING.size, NOTHING.changed
    return status.st_size, status.st_mtime_ns


def full_stamp(path: Path) -> Stamp:
    """Return a file's stamp with its digest. Raises `DataError` if it cannot be read."""
    try:
        return stamp(path).model_copy(update={"sha256": sha256_of(path)})
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


class Stamps(NamedTuple):
    """R stamps, ordered by path. A path may have several."""

    path_R: npt.NDArray[np.bytes_]
    """Paths relative to the dataset's root, in UTF-8."""
    size_R: Ints
    changed_R: Ints
    digest_R: Digests
    """[R, 32]; zero if the file could not be read."""

    def find(self, path_N: npt.NDArray[np.bytes_], size_N: Ints, changed_N: Ints | None) -> Ints:
        """Return the stamp of each file at a size and time; -1 if there is none. Without times, any time will do."""
        first_N, found_N = np.searchsorted(self.path_R, path_N), np.full(len(path_N), -1)
        for more in range(len(self.path_R)):  # nearly always twice: there is a stamp for each path
            at_N = first_N + more
            left_M = np.flatnonzero((found_N < 0) & (at_N < len(self.path_R)))
            left_M = left_M[self.path_R[at_N[left_M]] == path_N[left_M]]
            if not len(left_M):
                break
            right_M = self.size_R[at_N[left_M]] == size_N[left_M]
            if changed_N is not None:
                right_M &= self.changed_R[at_N[left_M]] == changed_N[left_M]
            found_N[left_M[right_M]] = at_N[left_M[right_M]]
        return found_N

    def latest(self, path_N: npt.NDArray[np.bytes_]) -> Ints:
        """Return a stamp of each path; -1 if there is none."""
        if not len(self.path_R):
            return np.full(len(path_N), -1)
        first_N = np.searchsorted(self.path_R, path_N).clip(max=len(self.path_R) - 1)
        return np.where(self.path_R[first_N] == path_N, first_N, -1)

    def ambiguous(self, path_N: npt.NDArray[np.bytes_]) -> str | None:
        """Return the first of some paths that has several digests; None if there is none."""
        read = self.take(np.asarray(self.digest_R.any(axis=1)))
        other_R = (read.path_R[1:] == read.path_R[:-1]) & (read.digest_R[1:] != read.digest_R[:-1]).any(axis=1)
        found = np.intersect1d(read.path_R[1:][other_R], path_N)
        return None if not len(found) else found[0].decode()

    def take(self, kept_R: npt.NDArray[np.bool_]) -> Stamps:
        """Return some of these stamps."""
        return Stamps(self.path_R[kept_R], self.size_R[kept_R], self.changed_R[kept_R], self.digest_R[kept_R])

    def with_rows(self, rows: Iterable[tuple[str, Stamp]]) -> Stamps:
        """Return these stamps and some more."""
        return merged([self, stamps_of(rows)])


def stamps_of(rows: Iterable[tuple[str, Stamp]]) -> Stamps:
    """Return the stamps of some files, which are given by their paths relative to the root."""
    rows = list(rows)
    return merged(
        [
            Stamps(
                encoded([path for path, _ in rows]),
                np.array([one.size for _, one in rows], dtype=np.int64),
                np.array([one.changed for _, one in rows], dtype=np.int64),
                np.frombuffer(
                    b"".join(bytes.fromhex(one.sha256) or NO_DIGEST for _, one in rows), dtype=np.uint8
                ).reshape(-1, 32),
            )
        ]
    )


def encoded(paths: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[np.bytes_]:
    """Return paths in UTF-8."""
    return np.char.encode(np.asarray(paths, dtype=np.str_), "utf-8")


def merged(several: Sequence[Stamps]) -> Stamps:
    """Return all stamps, ordered by path, each once; of several digests at one size and time, the last one.

    A digest counts more than none: a file that could not be read at first may have been made readable.
    """
    path_R = np.concatenate([np.zeros(0, "S1"), *(one.path_R for one in several)])
    size_R = np.concatenate([np.zeros(0, np.int64), *(one.size_R for one in several)])
    changed_R = np.concatenate([np.zeros(0, np.int64), *(one.changed_R for one in several)])
    digest_R = np.concatenate([np.zeros((0, 32), np.uint8), *(one.digest_R for one in several)])
    order_R = np.lexsort((-np.arange(len(path_R)), ~digest_R.any(axis=1), changed_R, size_R, path_R))
    path_R, size_R, changed_R = path_R[order_R], size_R[order_R], changed_R[order_R]
    new_R = np.ones(len(path_R), dtype=bool)
    new_R[1:] = (path_R[1:] != path_R[:-1]) | (size_R[1:] != size_R[:-1]) | (changed_R[1:] != changed_R[:-1])
    return Stamps(path_R[new_R], size_R[new_R], changed_R[new_R], digest_R[order_R][new_R])


def full_stamps(root: Path, paths: Sequence[str]) -> list[Stamp]:
    """Read files to find their digests, several at a time. A file that cannot be read has no digest."""

    def read(path: str) -> Stamp:
        try:
            return full_stamp(root / path)
        except DataError:
            return stamp(root / path)

    with ThreadPoolExecutor(min(cpu_count(), 8)) as pool:
        return list(pool.map(read, paths))


def read_stamps(pack: Path, root: Path, cache: Path | None = None, packed: str | None = None) -> Stamps:
    """Read the stamps of a dataset, and those of the place that it was copied from, or of its copies.

    `cache` is the dataset's cache folder. If the dataset is missing, only its own stamps count, and those of the
    dataset whose JSON files the pack has, which start with `packed`; if there are none, those of all datasets.
    """
    folders = [pack / STAMPS, *([cache / STAMPS] if cache else [])]
    files = [file for folder in folders for file in stamp_files(folder)]
    preferred = () if root.is_dir() else (root_name(root), *([packed] if packed else []))
    own = [file for file in files if file.name.startswith(preferred)]
    return merged([found for file in own or files if (found := read_stamp_file(file)) is not None])


def stamp_files(folder: Path) -> list[Path]:
    """Return the files with stamps in a folder, in order."""
    return sorted(file for file in folder.glob(f"*{SUFFIX}") if not file.name.startswith(PREFIX))


def root_name(root: Path) -> str:
    """Return what the names of the files with the stamps of a dataset start with."""
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12] + "-"


def read_stamp_file(path: Path) -> Stamps | None:
    """Read a file with stamps; None if it is corrupt: then files are read again to find their digests."""
    try:
        tables = TablesFile(path, KIND, _TABLES, {}).tables
        rows, width = tables["path"].shape
        shapes = [tables[name].shape for name in ("size", "changed", "sha256")]
        if shapes != [(rows,), (rows,), (rows, 32)] or not width:
            return None
    except (PackError, ValueError):
        return None
    path_R = np.ascontiguousarray(tables["path"]).view(f"S{width}").reshape(-1)
    return Stamps(
        path_R,
        tables["size"].astype(np.int64),
        tables["changed"].astype(np.int64),
        np.asarray(tables["sha256"], dtype=np.uint8),
    )


def write_stamps(folder: Path, root: Path, stamps: Stamps) -> Path:
    """Write stamps of a dataset into a folder, beside those that are there. Raises `OSError`."""
    path_R = np.ascontiguousarray(stamps.path_R)
    tables: dict[str, tuple[Table, str]] = {
        "path": (path_R.view(np.uint8).reshape(len(path_R), -1), "u1"),
        "size": (stamps.size_R, "<i8"),
        "changed": (stamps.changed_R, "<i8"),
        "sha256": (stamps.digest_R, "u1"),
    }
    with temporary_file(folder) as temporary:
        write_tables(temporary, KIND, {"root": str(root.resolve())}, tables)
        flush_file(temporary)
        path = folder / f"{root_name(root)}{sha256_of(temporary)[:16]}{SUFFIX}"
        temporary.replace(path)
    return path


def replace_stamps(folder: Path, root: Path, stamps: Stamps, before: Sequence[Path]) -> None:
    """Write all stamps of a dataset into one file, and remove the files `before` that they were read from."""
    path = write_stamps(folder, root, stamps)
    for file in before:
        if file != path and file.name.startswith(root_name(root)):
            file.unlink(missing_ok=True)


def digests_of_others(pack: Path, root: Path) -> Iterator[Digests]:
    """Yield the digests of the files of other datasets that were packed into the same pack and are still there."""
    for file in stamp_files(pack / STAMPS):
        if not file.name.startswith(root_name(root)) and (found := read_stamp_file(file)) is not None:
            other = json.loads(TablesFile(file, KIND, _TABLES, {}).about)["root"]
            if (Path(other) / LABEL_MAPPING).is_file():
                yield found.digest_R
