"""Packing one video or IMU file into a file of its own, so that interrupted work resumes with the remaining files.

Parts are named by the digest of the file that they were made from, so that processes that pack at once share them.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import simplejpeg
from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core import npz
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.data.imu import header_of, numeric_columns, read_imu
from revalexo_clip.data.revalexo.pack import jpeg
from revalexo_clip.data.revalexo.pack.checksums import block_checks, check_of
from revalexo_clip.data.revalexo.pack.entries import IMU, VIDEO, Header, Pixels
from revalexo_clip.data.revalexo.pack.file import FORMAT
from revalexo_clip.data.revalexo.pack.hdf5 import Table
from revalexo_clip.data.revalexo.pack.shard import Item, Source, temporary_file
from revalexo_clip.data.revalexo.pack.stamps import Stamp, full_stamp, stamp
from revalexo_clip.data.revalexo.pack.workers import PartJob, PassingError
from revalexo_clip.data.revalexo.pack.writers import ATTEMPTS
from revalexo_clip.data.video import every_frame


class PackSettings(BaseModel):
    """How frames are stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_side: int = 256
    """Maximum short side of stored frames [px]; larger frames are resized."""
    quality: int = 90
    """JPEG quality, 1 to 100."""

    @property
    def pixels(self) -> Pixels:
        """The same as part of the key of entries."""
        return Pixels(self.short_side, self.quality)


class Job(PartJob):
    """One file to pack."""

    module: ClassVar[str] = __package__

    file: Path
    kind: int
    stamp: Stamp
    """Stamp of the file, with its digest."""
    pixels: Pixels

    @property
    def source(self) -> Path:
        """See `PartJob.source`."""
        return self.file

    @property
    def packed(self) -> Source:
        """What is known of the file before it is packed."""
        pixels = self.pixels if self.kind == VIDEO else Pixels(0, 0)
        return Source(sha256=self.stamp.sha256, kind=self.kind, pixels=pixels, source_size=self.stamp.size)

    def write(self) -> str | None:
        """See `PartJob.write`."""
        return write_part(self)


class PartInfo(BaseModel):
    """Metadata of a part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    decoder: str
    source: Source


@dataclass(frozen=True)
class Part:
    """A part on disk; its arrays are read on demand."""

    path: Path
    info: PartInfo

    def item(self) -> Item:
        """Return the part as an entry of a shard."""
        return Item(self.info.source, self.array)

    def array(self, name: str) -> Table:
        """Read an array of the part, see `Item`. Raises `DataError` if the part is gone or corrupt."""
        try:
            return npz.read_npz(self.path, [name])[name]
        except UNREADABLE as error:
            raise LostPartError(self.path) from error


class LostPartError(DataError):
    """A part is gone, because another process has published it, or is corrupt."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: was removed or changed since it was written; pack again")
        self.path = path


UNREADABLE = (*npz.UNREADABLE, ValidationError)
"""What reading a part raises if it is missing or corrupt."""


def part_path(folder: Path, sha256: str, kind: int, pixels: Pixels) -> Path:
    """Return the path of the part of a file."""
    return folder / (f"{sha256}.npz" if kind == IMU else f"{sha256}-{pixels.short_side}-{pixels.quality}.npz")


def decoder() -> str:
    """Return the names and versions of the libraries that read videos and write JPEGs."""
    libraries = ", ".join(f"{name} {'.'.join(map(str, found))}" for name, found in sorted(av.library_versions.items()))
    return f"PyAV {av.__version__} ({libraries}), simplejpeg {simplejpeg.__version__}"


def write_part(job: Job) -> str | None:
    """Pack one file, unless its part is there. Returns the file's problem, if it cannot be packed.

    Raises `WriteError` if the part cannot be written, and `PassingError` if the problem is not one of its content.
    """
    done = read_part(job.part)
    if done is not None and done.info.source.sha256 == job.stamp.sha256:
        return None
    try:
        source, arrays = _imu(job) if job.kind == IMU else _video(job)
    except DataError as error:
        if _again(job) == str(error):
            return str(error)
        raise PassingError(str(error)) from error
    if _is_changed(job):
        raise PassingError(f"{job.file}: was changed while it was being packed")
    described = np.frombuffer(PartInfo(decoder=decoder(), source=source).model_dump_json().encode(), np.uint8)
    for left in reversed(range(ATTEMPTS)):
        try:
            _save(job.part, {"info": described, **arrays})
            break
        except FileNotFoundError as error:  # another process that has finished has just removed the empty folder
            if not left:
                raise _not_written(job, error) from error
        except OSError as error:
            raise _not_written(job, error) from error
    return None


def _again(job: Job) -> str | None:
    """Read a file once more; return its problem if its content is still what it was, and if it is to blame."""
    try:
        if full_stamp(job.file) != job.stamp:
            return None
        _imu(job) if job.kind == IMU else _video(job)
    except DataError as error:
        return None if _is_changed(job) or _lacks_resources(error) else str(error)
    return None


def _is_changed(job: Job) -> bool:
    return stamp(job.file) != job.stamp.model_copy(update={"sha256": ""})


def _lacks_resources(error: DataError) -> bool:
    """Return whether memory or file handles ran out."""
    return getattr(error.__cause__, "errno", None) in {errno.ENOMEM, errno.EMFILE, errno.ENFILE}


def _save(path: Path, arrays: dict[str, Table]) -> None:
    with temporary_file(path.parent) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        temporary.replace(path)


def _not_written(job: Job, error: OSError) -> WriteError:
    return WriteError(f"{job.part}: cannot be written: {error.strerror or error}")


def read_part(path: Path) -> Part | None:
    """Read a part; returns None if it is missing or unusable."""
    try:
        part = Part(path, PartInfo.model_validate_json(npz.read_npz(path, ["info"])["info"].tobytes()))
    except UNREADABLE:
        return None
    return part if part.info.format == FORMAT else None


def _imu(job: Job) -> tuple[Source, dict[str, Table]]:
    kept = numeric_columns(job.file)
    if not kept:
        raise DataError(f"{job.file}: no column contains only numbers")
    values_nC = np.ascontiguousarray(read_imu(job.file, kept), dtype="<f4")
    header = Header(columns=header_of(job.file), kept=kept)
    source = job.packed.model_copy(update={"header": header, "values": values_nC.size})
    return source, {"values": values_nC.ravel(), "value_check": block_checks(values_nC)}


def _video(job: Job) -> tuple[Source, dict[str, Table]]:
    time_P: list[float] = []
    jpegs: list[bytes] = []
    source = job.packed
    for shown in every_frame(job.file, job.pixels.short_side):
        if source.size not in ((0, 0), shown.size) or (jpegs and source.turns != shown.turns):
            raise DataError(f"{job.file}: the frame size changes at {shown.time:.3f} s")
        source = source.model_copy(
            update={"size": shown.size, "turns": shown.turns, "tolerance": shown.tolerance},
        )
        time_P.append(shown.time)
        jpegs.append(jpeg.encode(shown.rgb_HWC, job.pixels.quality))
    if not jpegs:
        raise DataError(f"{job.file}: has no video frames")
    shown_P = np.array(time_P, dtype="<f8")
    content = np.frombuffer(b"".join(jpegs), np.uint8)
    counts = {"time_check": check_of(shown_P), "frames": len(jpegs), "jpeg_bytes": len(content)}
    return source.model_copy(update=counts), {
        "time": shown_P,
        "length": np.array([len(one) for one in jpegs], dtype="<i8"),
        "check": np.array([check_of(one) for one in jpegs], dtype="<u4"),
        "jpeg": content,
    }
