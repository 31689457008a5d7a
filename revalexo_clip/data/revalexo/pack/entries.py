"""Entries of a pack: one for each packed file, found by the SHA-256 of the file and the settings of its pixels.

An entry is a video, with its frames and their times, or an IMU file, with its samples; or a file that could not be
packed, with its problem. Entries are rows of arrays, so that a million clips take 250 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from revalexo_clip.data.packets import MAX_PIXELS
from revalexo_clip.data.revalexo.pack.checksums import blocks_of
from revalexo_clip.data.revalexo.pack.hdf5 import Place, Table
from revalexo_clip.data.windows import Floats, Ints

IMU, VIDEO = 0, 1
"""Kinds of entries."""

MAX_SIDE = 2**15
"""Largest short side of stored frames [px]."""

TURNS = 8
"""Number of ways to make a frame upright: four rotations, mirrored or not."""

COLUMNS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "digest": ("u1", (32,)),
    "kind": ("i1", ()),
    "short_side": ("<i4", ()),
    "quality": ("<i4", ()),
    "source_size": ("<i8", ()),
    "size": ("<i4", (2,)),
    "turns": ("i1", ()),
    "tolerance": ("<f8", ()),
    "time_check": ("<u4", ()),
    "header": ("<i4", ()),
    "problem": ("<i4", ()),
    "first_frame": ("<i8", ()),
    "frames": ("<i8", ()),
    "first_value": ("<i8", ()),
    "values": ("<i8", ()),
    "first_check": ("<i8", ()),
}
"""Type and shape of a row of each column, see `shard`."""

PAYLOAD: Mapping[str, str] = {
    "frames/time": "<f8",
    "frames/place": "<i8",
    "frames/jpeg": "u1",
    "frames/check": "<u4",
    "imu/values": "<f4",
    "imu/check": "<u4",
}
"""Types of the arrays that are read window by window."""

Item = TypeVar("Item", bound=Hashable)
Digests = npt.NDArray[np.uint8]
"""[N, 32]"""


class Header(BaseModel):
    """Column names of a CSV file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...]
    kept: tuple[str, ...]
    """Columns whose samples are in the pack."""


class Pixels(NamedTuple):
    """Settings of the frames of a video. Those of IMU files are zero."""

    short_side: int
    quality: int


class ShardTable(NamedTuple):
    """The shards of a pack."""

    names: tuple[str, ...]
    size_S: Ints
    """Size of each file [bytes]."""
    start_SP: Ints
    """Offset of each array of `PAYLOAD` in the file [bytes]."""
    length_SP: Ints
    """Number of items of each array."""

    def places(self, shard: int) -> dict[str, Place]:
        """Return the places of a shard's arrays."""
        rows = zip(PAYLOAD.items(), self.start_SP[shard].tolist(), self.length_SP[shard].tolist(), strict=True)
        return {name: Place(start, np.dtype(dtype).str, length) for (name, dtype), start, length in rows}


@dataclass(frozen=True)
class Entries:
    """E entries in S shards."""

    column: Mapping[str, Table]
    """The columns of `COLUMNS`."""
    shard_E: Ints
    headers: tuple[Header, ...]
    problems: tuple[str, ...]
    shards: ShardTable

    def __len__(self) -> int:
        return len(self.shard_E)

    def ints(self, name: str) -> Ints:
        """Return a column of integers."""
        return self.column[name].astype(np.int64)

    def floats(self, name: str) -> Floats:
        """Return a column of floats."""
        return self.column[name].astype(np.float64)

    def digests(self) -> Digests:
        """Return the SHA-256 of the packed files, [E, 32]."""
        return np.asarray(self.column["digest"], dtype=np.uint8)

    def finder(self, kind: int, pixels: Pixels) -> Finder:
        """Return what finds the entries of a kind and of settings (of videos) by the digest of their files."""
        wanted_E = self.ints("kind") == kind
        if kind == VIDEO:
            wanted_E &= (self.ints("short_side") == pixels.short_side) & (self.ints("quality") == pixels.quality)
        entry_K = np.flatnonzero(wanted_E)
        digest_K = self.digests()[entry_K]
        # The same file may have several entries: one without a problem comes first, then the one in the first shard.
        order_K = np.lexsort((entry_K, self.ints("problem")[entry_K] >= 0, beginnings(digest_K)))
        return Finder(beginnings(digest_K)[order_K], digest_K[order_K], entry_K[order_K])

    def select(self, kept_E: npt.NDArray[np.bool_]) -> Entries:
        """Return some entries; shards without entries are left out."""
        used_U, shard_E = np.unique(self.shard_E[kept_E], return_inverse=True)
        old = self.shards
        shards = ShardTable(
            tuple(old.names[shard] for shard in used_U), old.size_S[used_U], old.start_SP[used_U], old.length_SP[used_U]
        )
        column = {name: self.column[name][kept_E] for name in COLUMNS}
        return Entries(column, shard_E.reshape(-1).astype(np.int64), self.headers, self.problems, shards)

    def check(self) -> None:
        """Check that all columns fit each other and the shards, so that readers need not. Raises `ValueError`."""
        shards = len(self.shards.names)
        _check_shape("shards", self.shards.size_S, (shards,))
        for array in (self.shards.start_SP, self.shards.length_SP):
            _check_shape("shards", array, (shards, len(PAYLOAD)))
            _demand("shards", (array >= 0) & (array < 2**56))
        for name, (_, row) in COLUMNS.items():
            _check_shape(name, self.column[name], (len(self), *row))
        _demand("shard", (self.shard_E >= 0) & (self.shard_E < max(shards, 1)))
        for header in self.headers:
            kept = {*header.kept}
            _demand("headers", 0 < len(header.kept) == len(kept) and kept <= {*header.columns})
        self._check_sections()
        self._check_values()

    def _check_sections(self) -> None:
        length_EP = self.shards.length_SP[self.shard_E] if len(self) else np.zeros((0, len(PAYLOAD)), np.int64)
        length = {name: length_EP[:, place] for place, name in enumerate(PAYLOAD)}
        for first, count, arrays in (
            ("first_frame", "frames", ("frames/time", "frames/check", "frames/place")),
            ("first_value", "values", ("imu/values",)),
        ):
            first_E, count_E = self.ints(first), self.ints(count)
            _demand(first, (first_E >= 0) & (first_E < 2**56))
            _demand(count, (count_E >= 0) & (count_E < 2**56))
            for array in arrays:
                _demand(count, first_E + count_E + (array == "frames/place") <= length[array])
        first_E, blocks_E = self.ints("first_check"), blocks_of(self.ints("values"))
        _demand("first_check", (first_E >= 0) & (first_E < 2**56))
        _demand("first_check", first_E + blocks_E <= length["imu/check"])

    def _check_values(self) -> None:
        kind_E, header_E, problem_E = self.ints("kind"), self.ints("header"), self.ints("problem")
        good_E = problem_E < 0
        video_E, imu_E = (kind_E == VIDEO) & good_E, (kind_E == IMU) & good_E
        _demand("kind", (kind_E == IMU) | (kind_E == VIDEO))
        _demand("problem", (problem_E >= -1) & (problem_E < len(self.problems)))
        _demand("header", (header_E >= -1) & (header_E < len(self.headers)) & ((header_E >= 0) == imu_E))
        _demand("frames", (self.ints("frames") > 0) == video_E)
        columns_E = np.array([*(len(header.kept) for header in self.headers), 1])[header_E]  # -1 is the last one
        _demand("values", np.where(imu_E, self.ints("values") % columns_E == 0, self.ints("values") == 0))
        _demand("turns", (self.ints("turns") >= 0) & (self.ints("turns") < TURNS))
        tolerance_E, size_E2 = self.floats("tolerance"), self.ints("size")
        _demand("tolerance", np.isfinite(tolerance_E) & (tolerance_E >= 0))
        _demand("size", ((size_E2 > 0).all(axis=1) & (size_E2.prod(axis=1) <= 4 * MAX_PIXELS)) | ~video_E)
        for name, most in (("short_side", MAX_SIDE), ("quality", 100)):
            value_E = self.ints(name)
            _demand(name, ((value_E >= 1) & (value_E <= most)) | (kind_E != VIDEO))


class Finder(NamedTuple):
    """Digests in the order of their first eight bytes, and the entry of each."""

    beginning_K: npt.NDArray[np.uint64]
    digest_K: Digests
    entry_K: Ints

    def find(self, digest_N: Digests) -> Ints:
        """Return the entry of each digest [N, 32]; -1 if there is none."""
        wanted_N, found_N = beginnings(digest_N), np.full(len(digest_N), -1)
        first_N = np.searchsorted(self.beginning_K, wanted_N)
        for more in range(len(self.beginning_K)):  # nearly always twice: digests differ in their first bytes
            at_N = first_N + more
            left_M = np.flatnonzero((found_N < 0) & (at_N < len(self.beginning_K)))
            left_M = left_M[self.beginning_K[at_N[left_M]] == wanted_N[left_M]]
            if not len(left_M):
                break
            same_M = (self.digest_K[at_N[left_M]] == digest_N[left_M]).all(axis=1)
            found_N[left_M[same_M]] = self.entry_K[at_N[left_M[same_M]]]
        return found_N


def beginnings(digest_N: Digests) -> npt.NDArray[np.uint64]:
    """Return the first eight bytes of digests [N, 32] as numbers, which are sorted fast."""
    return np.ascontiguousarray(digest_N[:, :8], dtype=np.uint8).view(np.uint64).reshape(-1)


def joined(several: Sequence[Entries]) -> Entries:
    """Return the entries of several shards or manifests as one table."""
    headers = _numbered(header for one in several for header in one.headers)
    problems = _numbered(problem for one in several for problem in one.problems)
    renamed: dict[str, Callable[[Entries], Ints]] = {
        "header": lambda one: _renumber(one.ints("header"), [headers[header] for header in one.headers]),
        "problem": lambda one: _renumber(one.ints("problem"), [problems[problem] for problem in one.problems]),
    }
    column = {
        name: np.concatenate(
            [
                np.zeros((0, *row), dtype),
                *((renamed[name](one) if name in renamed else one.column[name]) for one in several),
            ]
        ).astype(dtype, copy=False)
        for name, (dtype, row) in COLUMNS.items()
    }
    first = np.cumsum([0, *(len(one.shards.names) for one in several)])
    shards = ShardTable(
        names=tuple(chain.from_iterable(one.shards.names for one in several)),
        size_S=np.concatenate([np.zeros(0, np.int64), *(one.shards.size_S for one in several)]),
        start_SP=np.concatenate([_NO_PLACES, *(one.shards.start_SP for one in several)]),
        length_SP=np.concatenate([_NO_PLACES, *(one.shards.length_SP for one in several)]),
    )
    shard_E = [one.shard_E + first[place] for place, one in enumerate(several)]
    return Entries(column, np.concatenate([np.zeros(0, np.int64), *shard_E]), tuple(headers), tuple(problems), shards)


_NO_PLACES = np.zeros((0, len(PAYLOAD)), dtype=np.int64)


def _numbered(items: Iterable[Item]) -> dict[Item, int]:
    return {item: place for place, item in enumerate(dict.fromkeys(items))}


def _renumber(number_E: Ints, new: Sequence[int]) -> Ints:
    return np.array([*new, -1], dtype=np.int64)[number_E]  # -1 is the last one


def _check_shape(name: str, found: Table, shape: tuple[int, ...]) -> None:
    if found.shape != shape:
        raise ValueError(f"{name} has the shape {found.shape}, not {shape}")


def _demand(name: str, right: npt.NDArray[np.bool_] | bool) -> None:
    if not np.all(right):
        raise ValueError(f"{name} has impossible values")
