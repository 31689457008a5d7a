"""File format of motion files: HDF5 with contiguous arrays, which are read like those of a pack.

    /                  attributes: kind, format, measurement (`Motion.measurement`), rows, columns, sha256 (of all
                       except /frames)
    /about             uint8, JSON text: videos, relative to the dataset's root, and their problems (`About`)
    /sources/...       one row for each of N videos: size int64 [bytes], changed int64 [ns], sha256 uint8 [N, 32]
    /clips/first       int64 [N + 1], index of a video's first frame in /frames; the last item is the total
    /clips/check       uint32 [N], checksum of a video's presentation times
    /frames/time       float64 [F], presentation times [s], ascending within a video
    /frames/value      float32 [F x Y x X x 3], motion from the frame before to this one: velocity to the right and down
                       [picture widths / s], and confidence; 0 for the first frame of a video
    /frames/check      uint32 [K], checksums of the motion: one for every 2048 values of a video, see `checksums`

A video that could not be measured has no frames, and a problem.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.core.version import __version__
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.revalexo.pack.checksums import Section, block_checks, blocks_of, check_of, first_checks
from revalexo_clip.data.revalexo.pack.file import AGAIN, PackError, PackFile, digest_of, first_line
from revalexo_clip.data.revalexo.pack.hdf5 import UNUSABLE, Growing, Table, place_of, put, read_array
from revalexo_clip.data.revalexo.pack.payload import Blocks, read_blocks
from revalexo_clip.data.revalexo.pack.stamps import Stamp, stamp
from revalexo_clip.motion import MotionTrack
from revalexo_clip.motion.track import Floats

KIND = "revalexo_clip motion"
FORMAT = 2
"""Version of the file format; increase it with every change to the format."""


class About(BaseModel):
    """Metadata of a motion file that is not numeric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    videos: tuple[str, ...]
    problems: tuple[str, ...]
    """Why each video could not be measured; "" if it was."""


class MotionTables:
    """Tables of a motion file, and reading its motion."""

    def __init__(self, path: Path, motion: Motion) -> None:
        """Open a motion file. Raises `PackError` if it cannot be read, or holds another measurement."""
        self.path = path
        self.row_values = motion.rows * motion.columns * 3
        self.grid = motion.rows, motion.columns, 3
        try:
            self.file = PackFile(path)
            with h5py.File(path, "r", locking=False) as opened:
                _check_format(opened, motion)
                about = read_array(opened, "about", "u1")
                self.about = About.model_validate_json(about.tobytes())
                tables = {name: read_array(opened, name, dtype) for name, dtype in _TABLES.items()}
                if opened.attrs["sha256"] != digest_of(about, tables):
                    raise ValueError("its tables are corrupt: checksum mismatch")
                self.time, value, check = (
                    place_of(opened, f"frames/{name}", dtype) for name, dtype in _PAYLOAD.items()
                )
                self.stored = Blocks(value, check)
            self.first_N1 = tables["clips/first"].astype(np.int64)
            self._check_sizes(tables)
        except UNUSABLE as error:
            raise PackError(f"{path}: is no usable motion file ({first_line(error)})") from error
        self.time_check_N = tables["clips/check"].astype(np.int64)
        self.first_check_N1 = first_checks(self.first_N1 * self.row_values)
        self.stamps = [
            Stamp(size=int(size), changed=int(changed), sha256=digest.tobytes().hex())
            for size, changed, digest in zip(*(tables[f"sources/{name}"] for name in _STAMP), strict=True)
        ]
        self.number = {video: place for place, video in enumerate(self.about.videos)}

    def _check_sizes(self, tables: Mapping[str, Table]) -> None:
        """Raise `ValueError` if tables and arrays do not fit each other."""
        videos, first_N1, frames = len(self.about.videos), self.first_N1, self.time.length
        shapes = {name: tables[name].shape for name in _TABLES}
        expected = dict.fromkeys(_TABLES, (videos,)) | {
            "clips/first": (videos + 1,),
            "sources/sha256": (videos, 32),
        }
        if shapes != expected or not len(self.about.problems) == len(set(self.about.videos)) == videos:
            raise ValueError("its tables have different lengths")
        measured_N = np.array([not problem for problem in self.about.problems], dtype=bool)
        frames_N = np.diff(first_N1)
        if first_N1[0] != 0 or first_N1[-1] != frames or not (np.where(measured_N, frames_N > 1, frames_N == 0)).all():
            raise ValueError("clips/first has impossible values")
        blocks = int(blocks_of(frames_N * self.row_values).sum())
        if self.stored.values.length != frames * self.row_values or self.stored.checks.length != blocks:
            raise ValueError("its arrays have the wrong length")

    def is_current(self, root: Path, video: str) -> bool:
        """Return whether a video of the dataset in `root` is the one that was measured.

        It is compared by size and modification time, and read only if its size is the same but its time differs.
        """
        if video not in self.number:
            return False
        known, now = self.stamps[self.number[video]], stamp(root / video)
        if (now.size, now.changed) == (known.size, known.changed):
            return True
        try:
            return now.size == known.size and sha256_of(root / video) == known.sha256
        except OSError:
            return False

    def edges(self, video: str) -> Floats:
        """Read the times of the frames of a video [s in the clip]. Raises `DataError` as `track` does."""
        first, end = self._frames(video)
        edge_E = self.file.read(self.time, first, end).astype(np.float64, copy=False)
        if check_of(edge_E) != self.time_check_N[self.number[video]]:
            raise self._corrupt(video, "times of frames")
        if not (np.isfinite(edge_E[-1]) and bool((edge_E[1:] >= edge_E[:-1]).all())):
            raise DataError(f"{self.path}: {video}: times of frames do not ascend; {AGAIN}")
        return edge_E

    def track(self, video: str, edge_E: Floats, first: int, end: int) -> MotionTrack:
        """Read the motion of the pairs of frames from `first` to `end` (exclusive).

        Raises `DataError`, naming the video, if it is not what was measured.
        """
        row, place = self.row_values, self.number[video]
        begin, stop = self._frames(video)
        section = Section(begin * row, stop * row, int(self.first_check_N1[place]))
        values, wrong = read_blocks(self.file, self.stored, section, (1 + first) * row, (1 + end) * row)
        if wrong is not None:
            raise self._corrupt(video, f"motion of frame {wrong // row} and after it")
        return MotionTrack(edge_E[first : end + 1], values.reshape(-1, *self.grid).astype(np.float32, copy=False))

    def _corrupt(self, video: str, what: str) -> DataError:
        return DataError(f"{self.path}: {video}: {what}: is corrupt: checksum mismatch; {AGAIN}")

    def problem(self, video: str) -> str:
        """Return why a video could not be measured; "" if it was."""
        return self.about.problems[self.number[video]]

    def _frames(self, video: str) -> tuple[int, int]:
        place = self.number[video]
        return int(self.first_N1[place]), int(self.first_N1[place + 1])


def _check_format(opened: h5py.File, motion: Motion) -> None:
    if opened.attrs.get("kind") != KIND:
        raise ValueError("another kind of file")
    found = opened.attrs.get("format")
    if found != FORMAT:
        raise ValueError(f"it has format {found}, but this version reads format {FORMAT}")
    if opened.attrs.get("measurement") != motion.measurement:
        raise ValueError("another measurement")


_TABLES = {
    "clips/first": "<i8",
    "clips/check": "<u4",
    "sources/size": "<i8",
    "sources/changed": "<i8",
    "sources/sha256": "u1",
}
_STAMP = ("size", "changed", "sha256")
_PAYLOAD = {"time": "<f8", "value": "<f4", "check": "<u4"}


class Measured(NamedTuple):
    """One video of a motion file that is written."""

    stamp: Stamp
    frames: int
    problem: str
    """Why it could not be measured; "" if it was."""
    read: Callable[[], MotionTrack] | None
    """Reads its motion; None if it could not be measured."""


def write_motion_file(path: Path, motion: Motion, measured: Mapping[str, Measured]) -> None:
    """Write a motion file video by video, so that only a few are in memory."""
    found = [measured[video] for video in sorted(measured)]
    about = About(videos=tuple(sorted(measured)), problems=tuple(one.problem for one in found))
    text = np.frombuffer(json.dumps(about.model_dump(mode="json"), sort_keys=True).encode(), np.uint8)
    stamps, frames = [one.stamp for one in found], [one.frames for one in found]
    with h5py.File(path, "w", libver="earliest", locking=False) as file:
        file.attrs.update(kind=KIND, format=FORMAT, version=__version__, measurement=motion.measurement)
        put(file, "about", text, "u1")
        put(file, "clips/first", np.cumsum([0, *frames]), "<i8")
        put(file, "sources/size", np.array([one.size for one in stamps]), "<i8")
        put(file, "sources/changed", np.array([one.changed for one in stamps]), "<i8")
        put(file, "sources/sha256", _digests(stamps), "u1")
        row = motion.rows * motion.columns * 3
        time = Growing(file, "frames/time", sum(frames), "<f8")
        value = Growing(file, "frames/value", sum(frames) * row, "<f4")
        check = Growing(file, "frames/check", int(blocks_of(np.array(frames, dtype=np.int64) * row).sum()), "<u4")
        time_check = []
        for one in found:
            if one.read is None:
                time_check.append(0)
                continue
            track = one.read()
            edge_E = np.ascontiguousarray(track.edge_E, dtype="<f8")
            values = np.concatenate([np.zeros(row), track.value_PYX3.ravel()]).astype("<f4")
            time_check.append(check_of(edge_E))
            for growing, content in ((time, edge_E), (value, values), (check, block_checks(values))):
                growing.add(content)
        for growing in (time, value, check):
            growing.write()
        put(file, "clips/check", np.array(time_check, dtype=np.int64), "<u4")
        file.attrs["sha256"] = digest_of(text, {name: file[name][()] for name in _TABLES})


def _digests(stamps: Sequence[Stamp]) -> np.ndarray:
    content = b"".join(bytes.fromhex(one.sha256) if one.sha256 else bytes(32) for one in stamps)
    return np.frombuffer(content, np.uint8).reshape(-1, 32)
