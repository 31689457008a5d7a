"""Shards: files of about 1 GB with packed videos and IMU files. A shard never changes; its name is its digest.

/                  attributes: kind, format, version (of this package), sha256 (of `about` and the columns)
/about             uint8, JSON text: CSV headers, problems, and the decoder that was used (`About`)
/entries/...       one row for each of E entries
  digest           uint8 [E, 32], SHA-256 of the file that was packed
  kind             int8 [E], 0: IMU file, 1: video
  short_side       int32 [E], largest short side of the frames of a video [px]
  quality          int32 [E], JPEG quality of the frames of a video
  source_size      int64 [E], size of the file that was packed [bytes]
  size             int32 [E, 2], height and width of a frame in the video [px]
  turns            int8 [E], counterclockwise quarter turns; plus 4 if left and right are swapped before
  tolerance        float64 [E], largest allowed difference between a requested time and a presentation time [s]
  time_check       uint32 [E], checksum of the presentation times
  header           int32 [E], index into the list of CSV headers, -1 for videos
  problem          int32 [E], index into the list of problems if the file could not be packed, otherwise -1
  first_frame, frames              int64 [E], index of the first frame in /frames, and number of frames
  first_value, values, first_check int64 [E], the same for /imu/values; index of the first checksum in /imu/check
/frames/time       float64 [F], presentation times [s from the first frame], ascending within a video
/frames/place      int64 [F + 1], offset of a frame in /frames/jpeg
/frames/jpeg       uint8, all frames, concatenated
/frames/check      uint32 [F], checksum of each frame in /frames/jpeg
/imu/values        float32, all samples, concatenated; a sample has all columns that its header keeps
/imu/check         uint32 [K], checksums of the samples: one for every 2048 values of a file, see `checksums`
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core.files import sha256_of, sync_folder
from revalexo_clip.core.platform import flush_file
from revalexo_clip.data.revalexo.pack.checksums import blocks_of
from revalexo_clip.data.revalexo.pack.entries import COLUMNS, PAYLOAD, Entries, Header, Pixels, ShardTable
from revalexo_clip.data.revalexo.pack.file import PackError, TablesFile, write_tables
from revalexo_clip.data.revalexo.pack.hdf5 import Growing, Table
from revalexo_clip.data.revalexo.pack.temporary import temporary_name

KIND = "revalexo_clip shard"
SUFFIX = ".h5"
SHARD_BYTES = 10**9
"""Frames and samples in a shard, except for the last one that a process writes [bytes]."""


class About(BaseModel):
    """Metadata of a shard that is not numeric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    headers: tuple[Header, ...]
    problems: tuple[str, ...]
    decoder: str
    """Names and versions of the libraries that read the videos and wrote the JPEGs."""


class Source(BaseModel):
    """A packed file: what is known of it apart from its frames and samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    kind: int
    pixels: Pixels
    source_size: int
    """[bytes]"""
    size: tuple[int, int] = (0, 0)
    turns: int = 0
    tolerance: float = 0.0
    time_check: int = 0
    header: Header | None = None
    problem: str | None = None
    """Why it could not be packed."""
    frames: int = 0
    jpeg_bytes: int = 0
    values: int = 0

    @property
    def bytes(self) -> int:
        """Size of frames and samples [bytes]."""
        return self.jpeg_bytes + 4 * self.values


class Item(NamedTuple):
    """An entry to write."""

    source: Source
    array: Callable[[str], Table]
    """Reads `time` float64 [P], `length` int64 [P] and `check` uint32 [P] of each JPEG, and `jpeg` uint8; or `values`
    float32 and `value_check` uint32 [K]. Raises `DataError` if that fails."""


def publish(folder: Path, items: Sequence[Item], decoder: str) -> str:
    """Write a shard into a folder, unless it is there, and return its name. The same items give the same file.

    It appears under its name when it is complete and on the disk. Raises `OSError`, and the errors of `Item.array`.
    """
    with temporary_file(folder) as temporary:
        _write(temporary, items, decoder)
        flush_file(temporary)
        name = sha256_of(temporary)[:32] + SUFFIX
        path = folder / name
        if not path.is_file() or sha256_of(path)[:32] != path.stem:  # else another process was faster
            temporary.replace(path)
            sync_folder(folder)
    return name


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """Give a name in a folder that no other process uses, on any machine, and remove what is left of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / temporary_name()
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _write(path: Path, items: Sequence[Item], decoder: str) -> None:
    sources = [item.source for item in items]
    headers = list(dict.fromkeys(source.header for source in sources if source.header))
    problems = list(dict.fromkeys(source.problem for source in sources if source.problem is not None))
    about = About(headers=tuple(headers), problems=tuple(problems), decoder=decoder)
    frame_N, value_N = (np.array([getattr(one, name) for one in sources], np.int64) for name in ("frames", "values"))
    check_N = blocks_of(value_N)
    column: dict[str, Table] = {
        "digest": np.frombuffer(b"".join(bytes.fromhex(one.sha256) for one in sources), np.uint8).reshape(-1, 32),
        "short_side": np.array([one.pixels.short_side for one in sources]),
        "quality": np.array([one.pixels.quality for one in sources]),
        "header": np.array([headers.index(one.header) if one.header else -1 for one in sources]),
        "problem": np.array([-1 if one.problem is None else problems.index(one.problem) for one in sources]),
        "first_frame": np.cumsum(frame_N) - frame_N,
        "frames": frame_N,
        "first_value": np.cumsum(value_N) - value_N,
        "values": value_N,
        "first_check": np.cumsum(check_N) - check_N,
    }
    for name in COLUMNS.keys() - column.keys():
        column[name] = np.array([getattr(one, name) for one in sources])
    lengths = {
        **dict.fromkeys(("frames/time", "frames/check"), int(frame_N.sum())),
        "frames/place": int(frame_N.sum()) + 1,
        "frames/jpeg": sum(one.jpeg_bytes for one in sources),
        "imu/values": int(value_N.sum()),
        "imu/check": int(check_N.sum()),
    }
    tables = {f"entries/{name}": (column[name].reshape(-1, *row), dtype) for name, (dtype, row) in COLUMNS.items()}
    write_tables(path, KIND, about.model_dump(mode="json"), tables, lambda file: _write_payload(file, items, lengths))


def _write_payload(file: h5py.File, items: Sequence[Item], lengths: dict[str, int]) -> None:
    """Write frames and samples item by item, so that only a few are in memory."""
    growing = {name: Growing(file, name, lengths[name], dtype) for name, dtype in PAYLOAD.items()}
    place = 0
    for source, array in items:
        if source.frames:
            length_P = array("length").astype(np.int64)
            growing["frames/time"].add(array("time"))
            growing["frames/place"].add(place + np.cumsum(length_P) - length_P)
            growing["frames/jpeg"].add(array("jpeg"))
            growing["frames/check"].add(array("check"))
            place += int(length_P.sum())
        if source.values:
            growing["imu/values"].add(array("values").ravel())
            growing["imu/check"].add(array("value_check"))
    growing["frames/place"].add(np.array([place], dtype=np.int64))
    for one in growing.values():
        one.write()


def read_shard(path: Path) -> Entries:
    """Read the entries of a shard. Raises `PackError` if it is incomplete or corrupt."""
    tables = {f"entries/{name}": dtype for name, (dtype, _) in COLUMNS.items()}
    opened = TablesFile(path, KIND, tables, PAYLOAD)
    try:
        about = About.model_validate_json(opened.about)
        entries = Entries(
            column={name: opened.tables[f"entries/{name}"] for name in COLUMNS},
            shard_E=np.zeros(len(opened.tables["entries/kind"]), dtype=np.int64),
            headers=about.headers,
            problems=about.problems,
            shards=ShardTable(
                names=(path.name,),
                size_S=np.array([opened.size]),
                start_SP=np.array([[opened.places[name].start for name in PAYLOAD]]),
                length_SP=np.array([[opened.places[name].length for name in PAYLOAD]]),
            ),
        )
        entries.check()
    except (ValueError, ValidationError, IndexError) as error:
        raise PackError(f"{path}: is corrupt ({str(error).partition(os.linesep)[0]})") from error
    return entries


def decoder_of(path: Path) -> str:
    """Return the decoder that a shard's videos were read with. Raises `PackError` if it is not known."""
    try:
        return About.model_validate_json(TablesFile(path, KIND, {}, {}, verify=False).about).decoder
    except ValidationError as error:
        raise PackError(f"{path}: is corrupt ({str(error).partition(os.linesep)[0]})") from error
