"""File format of motion files: HDF5 with contiguous arrays, which are read like those of a pack.

    /                  attributes: kind, format, measurement (`Motion.measurement`), rows, columns, sha256 (of all
                       except /frames)
    /about             uint8, JSON text: videos, relative to the dataset's root, and their problems (`About`)
    /sources/...       one row for each of N videos: size int64 [bytes], changed int64 [ns], sha256 uint8 [N, 32]
    /clips/first       int64 [N + 1], index of a video's first frame in /frames; the last item is the total
    /frames/time       float64 [F], presentation times [s], ascending within a video
    /frames/value      float32 [F x Y x X x 3], motion from the frame before to this one: velocity to the right and down
                       [picture widths / s], and confidence; 0 for the first frame of a video

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

from revalexo_clip.core.files import sha256_of
from revalexo_clip.core.version import __version__
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.revalexo.pack.assemble import Growing, put
from revalexo_clip.data.revalexo.pack.file import PackError, PackFile, digest_of, first_line, place_of
from revalexo_clip.data.revalexo.pack.part import Stamp, stamp
from revalexo_clip.motion import MotionTrack
from revalexo_clip.motion.track import Floats

KIND = "revalexo_clip motion"
FORMAT = 1
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
                found = opened.attrs.get("kind"), opened.attrs.get("format"), opened.attrs.get("measurement")
                if found != (KIND, FORMAT, motion.measurement):
                    raise ValueError("another kind of file, format or measurement")
                about = opened["about"][()]
                self.about = About.model_validate_json(about.tobytes())
                tables = {name: opened[name][()] for name in _TABLES}
                if opened.attrs["sha256"] != digest_of(about, tables):
                    raise ValueError("its tables are corrupt: checksum mismatch")
                self.time, self.value = place_of(opened["frames/time"]), place_of(opened["frames/value"])
        except (OSError, LookupError, ValueError, TypeError, RuntimeError) as error:  # HDF5's errors for corrupt files
            raise PackError(f"{path}: is no usable motion file ({first_line(error)})") from error
        self.first_N1 = tables["clips/first"].astype(np.int64)
        self.stamps = [
            Stamp(size=int(size), changed=int(changed), sha256=digest.tobytes().hex())
            for size, changed, digest in zip(*(tables[name] for name in _TABLES[1:]), strict=True)
        ]
        self.number = {video: place for place, video in enumerate(self.about.videos)}

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
        """Read the times of the frames of a video [s in the clip]."""
        first, end = self._frames(video)
        return self.file.read(self.time, first, end).astype(np.float64, copy=False)

    def track(self, video: str, edge_E: Floats, first: int, end: int) -> MotionTrack:
        """Read the motion of the pairs of frames from `first` to `end` (exclusive)."""
        begin, row = self._frames(video)[0] + 1, self.row_values
        values = self.file.read(self.value, (begin + first) * row, (begin + end) * row)
        return MotionTrack(edge_E[first : end + 1], values.reshape(-1, *self.grid).astype(np.float32, copy=False))

    def problem(self, video: str) -> str:
        """Return why a video could not be measured; "" if it was."""
        return self.about.problems[self.number[video]]

    def _frames(self, video: str) -> tuple[int, int]:
        place = self.number[video]
        return int(self.first_N1[place]), int(self.first_N1[place + 1])


_TABLES = ("clips/first", "sources/size", "sources/changed", "sources/sha256")


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
        time = Growing(file, "frames/time", sum(frames), "<f8")
        value = Growing(file, "frames/value", sum(frames) * motion.rows * motion.columns * 3, "<f4")
        for one in found:
            if one.read is not None:
                track = one.read()
                time.add(track.edge_E)
                value.add(np.zeros(motion.rows * motion.columns * 3, dtype=np.float32))
                value.add(track.value_PYX3.ravel())
        time.write()
        value.write()
        file.attrs["sha256"] = digest_of(text, {name: file[name][()] for name in _TABLES})


def _digests(stamps: Sequence[Stamp]) -> np.ndarray:
    content = b"".join(bytes.fromhex(one.sha256) if one.sha256 else bytes(32) for one in stamps)
    return np.frombuffer(content, np.uint8).reshape(-1, 32)
