"""Which entries of a pack are those of a dataset's files as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.revalexo.pack.entries import IMU, VIDEO
from revalexo_clip.data.revalexo.pack.folder import Pack
from revalexo_clip.data.revalexo.pack.stamps import NOTHING, Stamps, encoded, full_stamps, look, merged, stamps_of
from revalexo_clip.data.windows import Ints

UNKNOWN = -2
"""In place of an entry: the file is not in the pack, or not as it is now."""
RAW = -1
"""In place of an entry: the file could not be packed, as it is now; or the clip has no such file."""

KINDS = IMU, VIDEO
"""Columns of what is known of the files of clips."""


@dataclass(frozen=True)
class Current:
    """The files of N clips. Columns are those of `KINDS`."""

    size_N2: Ints
    """[bytes]; -1 if there is no file."""
    changed_N2: Ints
    """Modification times [ns]."""
    entry_N2: Ints
    """Entries of the pack, `RAW` or `UNKNOWN`."""
    new: Stamps
    """Stamps of files that were read because their times were new, and that are in the pack."""

    @property
    def packed(self) -> npt.NDArray[np.bool_]:
        """Whether a clip can be read from the pack, [N]; if not, both of its files are read."""
        return np.asarray(
            (self.entry_N2[:, IMU] >= 0) & ((self.entry_N2[:, VIDEO] >= 0) | (self.size_N2[:, VIDEO] == _NO_FILE))
        )

    @property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """Whether a clip has a file that is not in the pack as it is now, [N]."""
        return np.asarray((self.entry_N2 == UNKNOWN).any(axis=1))


_NO_FILE = -2
"""Size, if a clip has no file of a kind."""


def names_of(index: ClipIndex, kind: int) -> npt.NDArray[np.str_]:
    """Return the paths of the clips' files of a kind, relative to the root; "" if there is none."""
    return index.video_N if kind == VIDEO else index.imu_N


def find_current(pack: Pack, stamps: Stamps, index: ClipIndex, *, seen: Stamps | None = None) -> Current:
    """Find the entries of the files of clips as they are now.

    A file is read only if its stamp is unknown and it had the same size at another time, as after copying. If the
    dataset's folder is missing, files are taken to be what they were when they were packed. `seen` are sizes and times
    that were found a moment ago, so that no file is looked at again.
    """
    shape = len(index), len(KINDS)
    size_N2, changed_N2 = np.full(shape, _NO_FILE), np.zeros(shape, np.int64)
    entry_N2, new = np.full(shape, RAW), stamps_of([])
    there = index.root.is_dir()
    for kind in KINDS:
        names_N = names_of(index, kind)
        clip_M = np.flatnonzero(names_N != "")
        if not len(clip_M):
            continue
        path_M = encoded(names_N[clip_M])
        if there:
            size_M, changed_M = _sizes(index.root, names_N[clip_M], path_M, seen)
        else:
            row_M = stamps.latest(path_M)
            known_M = row_M >= 0
            size_M = np.where(known_M, _taken(stamps.size_R, row_M), NOTHING.size)
            changed_M = np.where(known_M, _taken(stamps.changed_R, row_M), NOTHING.changed)
        row_M = stamps.find(path_M, size_M, changed_M)
        again_M = np.flatnonzero((row_M < 0) & (size_M >= 0))
        again_M = again_M[stamps.find(path_M[again_M], size_M[again_M], None) >= 0]
        finder = pack.entry(kind)
        digest_M = stamps.digest_R[row_M] if len(stamps.digest_R) else np.zeros((len(row_M), 32), np.uint8)
        if len(again_M):
            names = list(dict.fromkeys(names_N[clip_M[again_M]].tolist()))
            found = stamps_of(zip(names, full_stamps(index.root, names), strict=True))
            new = merged([new, found.take(finder.find(found.digest_R) >= 0)])
            digest_M = digest_M.copy()
            digest_M[again_M] = found.digest_R[found.find(path_M[again_M], size_M[again_M], None)]
        read_M = digest_M.any(axis=1)
        known_M = (row_M >= 0) | np.isin(np.arange(len(row_M)), again_M)
        entry_M = finder.find(digest_M)
        good_M = entry_M >= 0
        good_M &= pack.entries.ints("problem")[entry_M] < 0 if len(pack.entries) else False
        bad_M = known_M & (~read_M | (entry_M >= 0)) & ~good_M
        entry_N2[clip_M, kind] = np.where(known_M & good_M, entry_M, np.where(bad_M, RAW, UNKNOWN))
        size_N2[clip_M, kind], changed_N2[clip_M, kind] = size_M, changed_M
    return Current(size_N2, changed_N2, entry_N2, new)


def problem_of(pack: Pack, stamps: Stamps, index: ClipIndex, current: Current) -> str | None:
    """Describe the first file that is not in the pack as it is now; None if there is none."""
    clips = np.flatnonzero(current.unknown)
    if not len(clips):
        return None
    clip = int(clips[0])
    kind = next(kind for kind in KINDS if current.entry_N2[clip, kind] == UNKNOWN)
    name = str(names_of(index, kind)[clip])
    path = index.root / name
    if pack.damaged:
        return f"{path} is not packed, or in a shard that is damaged: {next(iter(pack.damaged.values()))}"
    row = int(stamps.latest(encoded([name]))[0])
    if row < 0:
        return f"{path} is not packed"
    if current.size_N2[clip, kind] == NOTHING.size:
        return f"{path} is missing"
    same = int(stamps.find(encoded([name]), current.size_N2[[clip], kind], current.changed_N2[[clip], kind])[0]) >= 0
    return f"{path} {'is not packed' if same else 'was changed'}"


def _sizes(
    root: Path, names_M: npt.NDArray[np.str_], path_M: npt.NDArray[np.bytes_], seen: Stamps | None
) -> tuple[Ints, Ints]:
    """Return sizes and times of files."""
    row_M = np.full(len(names_M), -1) if seen is None else seen.latest(path_M)
    if seen is not None and (row_M >= 0).all():
        return seen.size_R[row_M], seen.changed_R[row_M]
    base = f"{root}/"
    found = np.array([look(base + name) for name in names_M.tolist()], dtype=np.int64)
    return found[:, 0], found[:, 1]


def _taken(column_R: Ints, row_M: Ints) -> Ints:
    return column_R[row_M] if len(column_R) else np.zeros(len(row_M), np.int64)


def seen_in(current: Current, index: ClipIndex) -> Stamps:
    """Return sizes and times of the files of clips, to be used again by `find_current`."""
    several = []
    for kind in KINDS:
        clip_M = np.flatnonzero(names_of(index, kind) != "")
        path_M = encoded(names_of(index, kind)[clip_M])
        columns = current.size_N2[clip_M, kind], current.changed_N2[clip_M, kind]
        several.append(Stamps(path_M, *columns, np.zeros((len(clip_M), 32), np.uint8)))
    return merged(several)


def stamps_now(stamps: Stamps, current: Current, index: ClipIndex) -> Stamps:
    """Return the stamps of the files of a dataset as they are now."""
    kept_R = np.zeros(len(stamps.path_R), dtype=bool)
    for kind in KINDS:
        clip_M = np.flatnonzero(names_of(index, kind) != "")
        path_M = encoded(names_of(index, kind)[clip_M])
        row_M = stamps.find(path_M, current.size_N2[clip_M, kind], current.changed_N2[clip_M, kind])
        kept_R[row_M[row_M >= 0]] = True
    return stamps.take(kept_R)
