"""Frames, times and samples of a pack, compared with their checksums whenever they are read."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo.pack.checksums import BLOCK, Section, block_checks, check_of
from revalexo_clip.data.revalexo.pack.entries import ShardTable
from revalexo_clip.data.revalexo.pack.file import AGAIN, PackFile
from revalexo_clip.data.revalexo.pack.hdf5 import Place
from revalexo_clip.data.windows import Floats, Ints

LARGEST_FRAME = 2**28
"""Size of the largest JPEG that is read [bytes]; a corrupt place can claim the whole file."""

OPEN_FILES = 128
"""Number of shards that a process keeps open."""


class Blocks(NamedTuple):
    """Values with a checksum for every `BLOCK` of them."""

    values: Place
    checks: Place


class Payload:
    """Reader of a shard's arrays. It can be forked and pickled; its size does not depend on the number of clips.

    Methods raise `DataError`, naming the shard, the clip and the place in it, if something is not what was packed.
    """

    def __init__(self, file: PackFile, places: dict[str, Place]) -> None:
        self.file, self.path = file, file.path
        self.time, self.place, self.jpeg = (places[f"frames/{name}"] for name in ("time", "place", "jpeg"))
        self.frame_check = places["frames/check"]
        self.values = Blocks(places["imu/values"], places["imu/check"])

    def samples(self, section: Section, columns: int, rows: slice, clip: str) -> npt.NDArray[np.generic]:
        """Read rows of a clip's samples, [n, columns]."""
        first, end = rows.start * columns, rows.stop * columns
        values, wrong = read_blocks(self.file, self.values, section, first, end)
        if wrong is not None:
            low, high = wrong // columns, -(-(wrong + BLOCK) // columns)
            raise self._corrupt(clip, f"samples {low} to {min(high, (section.end - section.first) // columns) - 1}")
        return values.reshape(-1, columns)

    def times(self, first: int, end: int, check: int, clip: str) -> Floats:
        """Read the presentation times of a clip's frames [s], which ascend."""
        time_P = self.file.read(self.time, first, end).astype(np.float64, copy=False)
        if check_of(time_P) != check:
            raise self._corrupt(clip, "times of frames")
        if not (np.isfinite(time_P[-1]) and bool((time_P[1:] >= time_P[:-1]).all())):
            raise DataError(f"{self.path}: {clip}: times of frames do not ascend; {AGAIN}")
        return time_P

    def jpegs(self, first: int, frame_T: Ints, clip: str) -> list[bytes]:
        """Read frames of a clip whose frames begin at `first`, as JPEG."""
        low, high = first + int(frame_T.min()), first + int(frame_T.max()) + 1
        place = self.file.read(self.place, low, high + 1).tolist()
        check = self.file.read(self.frame_check, low, high).tolist()
        found = []
        for frame in frame_T.tolist():
            at = first + frame - low
            start, end = place[at], place[at + 1]
            if not 0 <= start < end <= min(self.jpeg.length, start + LARGEST_FRAME):
                raise self._corrupt(clip, f"the place of frame {frame}")
            content = self.file.read_bytes(self.jpeg, start, end)
            if check_of(content) != check[at]:
                raise self._corrupt(clip, f"frame {frame}")
            found.append(content)
        return found

    def _corrupt(self, clip: str, what: str) -> DataError:
        return DataError(f"{self.path}: {clip}: {what}: is corrupt: checksum mismatch; {AGAIN}")


class Payloads:
    """Readers of the shards of a pack, which are opened when they are needed; not too many are open at a time."""

    def __init__(self, folder: Path, shards: ShardTable) -> None:
        """`folder` is that of the shards."""
        self.folder = folder
        self.shards = shards
        self._opened: OrderedDict[int, Payload] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": OrderedDict()}

    def of(self, shard: int) -> Payload:
        """Return the reader of a shard. Raises `DataError` if it is missing, or has another size."""
        found = self._opened.get(shard)
        if found is None:
            found = self._opened[shard] = self._open(shard)
            if len(self._opened) > OPEN_FILES:
                self._opened.popitem(last=False)[1].file.close()
        elif len(self._opened) == OPEN_FILES:
            self._opened.move_to_end(shard)
        return found

    def _open(self, shard: int) -> Payload:
        path, size = self.folder / self.shards.names[shard], int(self.shards.size_S[shard])
        try:
            file = PackFile(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}; start again") from error
        if file.identity[1] != size:
            raise DataError(f"{path}: has {file.identity[1]} bytes, not {size}; {AGAIN}")
        return Payload(file, self.shards.places(shard))

    def close(self) -> None:
        """Close all files; they are opened again when something is read."""
        self._opened.clear()


def read_blocks(
    file: PackFile, stored: Blocks, section: Section, first: int, end: int
) -> tuple[npt.NDArray[np.generic], int | None]:
    """Read values of a section from `first` to `end` (exclusive), and verify the blocks in which they lie.

    Returns also the index in the section of the first value of a wrong block, if there is one.
    """
    low, high, check, check_end = section.blocks(first, end)
    content = file.read(stored.values, low, high)
    wrong = np.flatnonzero(block_checks(content) != file.read(stored.checks, check, check_end))
    begin = section.first + first - low
    place = low - section.first + int(wrong[0]) * BLOCK if len(wrong) else None
    return content[begin : begin + end - first], place
