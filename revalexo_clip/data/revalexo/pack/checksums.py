"""Checksums of what a pack or a motion file holds: CRC-32, taken when it is made and verified whenever it is read.

Frames and times have one checksum for each frame or clip. Values (samples, motion) have one for every `BLOCK` values of
a clip, so that a window is verified without reading the whole clip.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.data.windows import Ints

BLOCK = 2048
"""Values per checksum: 8 KiB of float32. Reading a window reads at most two blocks more than it needs."""

Checks = npt.NDArray[np.uint32]


def check_of(content: bytes | npt.NDArray[np.generic]) -> int:
    """Return the CRC-32 of bytes or of a contiguous array."""
    return zlib.crc32(content.data if isinstance(content, np.ndarray) else content)


def block_checks(values: npt.NDArray[np.generic]) -> Checks:
    """Return the CRC-32 of every `BLOCK` values of a contiguous array, [K] uint32; the last block may be shorter."""
    flat = values.reshape(-1)
    found = [check_of(flat[first : first + BLOCK]) for first in range(0, len(flat), BLOCK)]
    return np.array(found, dtype=np.uint32)


def blocks_of(values_N: Ints) -> Ints:
    """Return the number of blocks of each number of values."""
    return -(-values_N // BLOCK)


def first_checks(first_N1: Ints) -> Ints:
    """Return [N + 1], the index of the first checksum of each clip; `first_N1` are the indices of their values."""
    return np.concatenate([[0], np.cumsum(blocks_of(np.diff(first_N1)))])


class Section(NamedTuple):
    """The values of one clip in an array."""

    first: int
    """Index of its first value."""
    end: int
    """Index after its last value."""
    check: int
    """Index of its first checksum."""

    def blocks(self, first: int, end: int) -> tuple[int, int, int, int]:
        """Return which values and which checksums cover the section's values from `first` to `end` (exclusive).

        Both are ranges of indices in their arrays: values from and to, checksums from and to.
        """
        low, high = first // BLOCK, -(-end // BLOCK)
        return self.first + low * BLOCK, min(self.first + high * BLOCK, self.end), self.check + low, self.check + high
