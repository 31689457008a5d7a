"""Combining the parts into one file. The same parts always give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from revalexo_clip.core.version import __version__
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.revalexo.pack.checksums import blocks_of
from revalexo_clip.data.revalexo.pack.file import FORMAT, KIND, digest_of
from revalexo_clip.data.revalexo.pack.part import NOTHING, PackSettings, Part, PartInfo, Stamp, stamp
from revalexo_clip.data.revalexo.pack.tables import TABLES, About, Header
from revalexo_clip.data.windows import Segments

AT_A_TIME = 32 * 2**20
"""Size of the write buffer [bytes]."""

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class DatasetDescription:
    """Content of a dataset's JSON files."""

    index: ClipIndex
    """All clips, including those without video."""
    subjects: tuple[str, ...]
    described_by: tuple[tuple[str, ...], ...]
    unreadable: tuple[str, ...]
    digests: dict[str, str]
    """See `About`."""


def assemble(path: Path, described: DatasetDescription, parts: Sequence[Part | None], settings: PackSettings) -> None:
    """Write a pack. A clip whose part is None has no frames and samples in it."""
    index = described.index
    headers: dict[Header, int] = {}
    for part in parts:
        if part is not None:
            headers.setdefault(part.info.header, len(headers))
    about = About(
        activities=index.activities,
        subjects=described.subjects,
        described_by=described.described_by,
        unreadable=described.unreadable,
        digests=described.digests,
        names=index.names,
        videos=tuple(map(str, index.video_N)),
        imus=tuple(map(str, index.imu_N)),
        headers=tuple(headers),
    )
    text = json.dumps(about.model_dump(mode="json"), sort_keys=True).encode()
    number = {subject: place for place, subject in enumerate(described.subjects)}
    # No timestamps, and a fixed order of arrays, so that the bytes are reproducible.
    with h5py.File(path, "w", libver="earliest", locking=False) as file:
        file.attrs.update(kind=KIND, format=FORMAT, version=__version__, **settings.model_dump())
        put(file, "about", np.frombuffer(text, np.uint8), "u1")
        infos = [part.info if part else None for part in parts]
        put(file, "clips/subject", np.array([number[subject] for subject in index.subjects]), "<i4")
        put(file, "clips/duration", index.duration_N, "<f8")
        put(file, "clips/recording", index.times.recording_N, "<i4")
        put(file, "clips/offset", index.times.offset_N, "<f8")
        put(file, "clips/declared", index.times.declared_N, "?")
        _put_infos(file, infos, headers)
        _put_segments(file, "activity", index.activity)
        _put_segments(file, "transition", index.transition)
        _put_sources(file, index, infos)
        _put_recordings(file, parts)
        file.attrs["sha256"] = digest_of(file["about"][()], {name: file[name][()] for name in sorted(TABLES)})


def put(file: h5py.File, name: str, content: Array, dtype: str) -> None:
    """Write an array."""
    file.create_dataset(name, data=content.astype(dtype, copy=False), track_times=False)


def _put_infos(file: h5py.File, infos: Sequence[PartInfo | None], headers: dict[Header, int]) -> None:
    put(file, "clips/packed", np.array([info is not None for info in infos]), "?")
    for name, column, dtype in (
        ("size", [info.size if info else (0, 0) for info in infos], "<i4"),
        ("turns", [info.turns if info else 0 for info in infos], "i1"),
        ("tolerance", [info.tolerance if info else 0.0 for info in infos], "<f8"),
        ("header", [headers[info.header] if info else -1 for info in infos], "<i4"),
        ("time_check", [info.time_check if info else 0 for info in infos], "<u4"),
    ):
        put(file, f"clips/{name}", np.array(column), dtype)


def _put_segments(file: h5py.File, group: str, segments: Segments) -> None:
    put(file, f"{group}/offset", segments.offset_N1, "<i8")
    put(file, f"{group}/start", segments.start_S, "<f8")
    put(file, f"{group}/end", segments.end_S, "<f8")
    put(file, f"{group}/label", segments.label_S, "<i8")


def _put_sources(file: h5py.File, index: ClipIndex, infos: Sequence[PartInfo | None]) -> None:
    rows = [(info.video, info.imu) if info else _unread(index, clip) for clip, info in enumerate(infos)]
    digests = [[bytes.fromhex(one.sha256) if one.sha256 else bytes(32) for one in row] for row in rows]
    put(file, "sources/size", np.array([[one.size for one in row] for row in rows]), "<i8")
    put(file, "sources/changed", np.array([[one.changed for one in row] for row in rows]), "<i8")
    put(file, "sources/sha256", np.frombuffer(b"".join(map(b"".join, digests)), np.uint8).reshape(-1, 2, 32), "u1")


def _unread(index: ClipIndex, clip: int) -> tuple[Stamp, Stamp]:
    return stamp(index.video(clip)) if index.video_N[clip] else NOTHING, stamp(index.imu(clip))


def _put_recordings(file: h5py.File, parts: Sequence[Part | None]) -> None:
    """Write frames and samples clip by clip, so that only a few clips are in memory."""
    sizes = [dict.fromkeys(("length", "jpeg", "values"), 0) if part is None else _sizes(part) for part in parts]
    first_N1 = {name: np.cumsum([0, *(size[name] for size in sizes)], dtype=np.int64) for name in sizes[0]}
    put(file, "clips/first_frame", first_N1["length"], "<i8")
    put(file, "clips/first_value", first_N1["values"], "<i8")
    frames, pixels, values = (int(first[-1]) for first in first_N1.values())
    time = Growing(file, "frames/time", frames, "<f8")
    place = Growing(file, "frames/place", frames + 1, "<i8")
    jpeg = Growing(file, "frames/jpeg", pixels, "u1")
    check = Growing(file, "frames/check", frames, "<u4")
    blocks = blocks_of(np.diff(first_N1["values"])).sum()
    value_check = Growing(file, "imu/check", int(blocks), "<u4")
    samples = Growing(file, "imu/values", values, "<f4")
    for clip, part in enumerate(parts):
        if part is not None:
            length_P = part.array("length").astype(np.int64)
            time.add(part.array("time"))
            place.add(first_N1["jpeg"][clip] + np.cumsum(length_P) - length_P)
            jpeg.add(part.array("jpeg"))
            check.add(part.array("check"))
            samples.add(part.array("values").ravel())
            value_check.add(part.array("value_check"))
    place.add(first_N1["jpeg"][-1:])
    for growing in (time, place, jpeg, check, samples, value_check):
        growing.write()


def _sizes(part: Part) -> dict[str, int]:
    length_P = part.array("length").astype(np.int64)
    return {"length": len(length_P), "jpeg": int(length_P.sum()), "values": part.array("values").size}


class Growing:
    """An array that is written sequentially, through a buffer."""

    def __init__(self, file: h5py.File, name: str, length: int, dtype: str) -> None:
        """Create an array of a final length."""
        self.stored = file.create_dataset(name, shape=(length,), dtype=dtype, track_times=False)
        self.held: list[Array] = []
        self.bytes = 0
        self.done = 0

    def add(self, content: Array) -> None:
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
