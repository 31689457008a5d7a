"""Packing one clip into a file of its own, so that an interrupted `rxclip pack` resumes with the remaining clips."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import atomically, sha256_of
from revalexo_clip.data.imu import header_of, numeric_columns, read_imu
from revalexo_clip.data.revalexo.pack import jpeg
from revalexo_clip.data.revalexo.pack.checksums import block_checks, check_of
from revalexo_clip.data.revalexo.pack.file import FORMAT
from revalexo_clip.data.revalexo.pack.tables import Header
from revalexo_clip.data.revalexo.pack.workers import PartJob
from revalexo_clip.data.video import every_frame

Bytes = npt.NDArray[np.uint8]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackSettings(_Model):
    """How frames are stored."""

    short_side: int = 256
    """Maximum short side of stored frames [px]; larger frames are resized."""
    quality: int = 90
    """JPEG quality, 1 to 100."""


class Stamp(_Model):
    """Size, modification time and digest of a file, to find out whether it has changed."""

    size: int
    """Size [bytes]; -1 if there is no file."""
    changed: int
    """Modification time [ns]."""
    sha256: str = ""
    """SHA-256, in hex; "" if not computed."""


class Job(PartJob):
    """One clip to pack."""

    module: ClassVar[str] = __package__

    video: Path | None
    imu: Path
    settings: PackSettings

    @property
    def source(self) -> Path:
        """See `PartJob.source`."""
        return self.video or self.imu

    def write(self) -> str | None:
        """See `PartJob.write`."""
        return write_part(self)


class PartInfo(_Model):
    """Metadata of a part."""

    format: int = FORMAT
    settings: PackSettings
    files: tuple[str, str]
    """Paths of video (or `None`) and IMU recording, because clip numbers change if the dataset changes."""
    video: Stamp
    imu: Stamp
    header: Header
    size: tuple[int, int] = (0, 0)
    turns: int = 0
    tolerance: float = 0.0
    time_check: int = 0
    """Checksum of the presentation times."""


@dataclass(frozen=True)
class Part:
    """A part on disk; its arrays are read on demand."""

    path: Path
    info: PartInfo

    def array(self, name: str) -> npt.NDArray[np.generic]:
        """Read an array of the part.

        `time` float64 [P]; `length` int64 [P] and `check` uint32 [P] of each JPEG; `jpeg` uint8; `values` float32
        [n, C]; `value_check` uint32 [K].
        """
        with np.load(self.path, allow_pickle=False) as stored:
            return np.asarray(stored[name])


NOTHING = Stamp(size=-1, changed=0)


def stamp(path: Path | None) -> Stamp:
    """Return a file's stamp without digest; `NOTHING` if the file is missing or inaccessible."""
    if path is None:
        return NOTHING
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return NOTHING
    return Stamp(size=status.st_size, changed=status.st_mtime_ns)


def write_part(job: Job) -> str | None:
    """Pack one clip, unless its part is already up to date. Returns the clip's problem, if it cannot be packed.

    Raises `WriteError` if the part cannot be written.
    """
    before = stamp(job.video), stamp(job.imu)
    done = read_part(job.part)
    if done is not None and _is_of(done.info, job) and before == tuple(map(_bare, _stamps(done.info))):
        return None
    try:
        info, arrays = _packed(job)
    except DataError as error:
        return str(error)
    if before != tuple(map(_bare, _stamps(info))):
        return f"{job.video or job.imu}: was changed while it was being packed"
    described = np.frombuffer(info.model_dump_json().encode(), np.uint8)
    with atomically(job.part) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{"info": described, **arrays})
    return None


def read_part(path: Path) -> Part | None:
    """Read a part; returns None if it is missing or unusable."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            part = Part(path, PartInfo.model_validate_json(stored["info"].tobytes()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ValidationError):
        return None
    return part if part.info.format == FORMAT else None


def _is_of(info: PartInfo, job: Job) -> bool:
    return info.settings == job.settings and info.files == _files(job)


def _files(job: Job) -> tuple[str, str]:
    return str(job.video), str(job.imu)


def _stamps(info: PartInfo) -> tuple[Stamp, Stamp]:
    return info.video, info.imu


def _bare(full: Stamp) -> Stamp:
    return full.model_copy(update={"sha256": ""})


def _packed(job: Job) -> tuple[PartInfo, dict[str, npt.NDArray[np.generic]]]:
    stamps = [full_stamp(path) for path in (job.video, job.imu)]
    kept = numeric_columns(job.imu)
    if not kept:
        raise DataError(f"{job.imu}: no column contains only numbers")
    values_nC = read_imu(job.imu, kept)
    header = Header(columns=header_of(job.imu), kept=kept)
    info = PartInfo(settings=job.settings, files=_files(job), video=stamps[0], imu=stamps[1], header=header)
    time_P: list[float] = []
    jpegs: list[bytes] = []
    if job.video is not None:
        for shown in every_frame(job.video, job.settings.short_side):
            if info.size not in ((0, 0), shown.size) or (jpegs and info.turns != shown.turns):
                raise DataError(f"{job.video}: the frame size changes at {shown.time:.3f} s")
            info = info.model_copy(
                update={"size": shown.size, "turns": shown.turns, "tolerance": shown.tolerance},
            )
            time_P.append(shown.time)
            jpegs.append(jpeg.encode(shown.rgb_HWC, job.settings.quality))
        if not jpegs:
            raise DataError(f"{job.video}: has no video frames")
    shown_P, samples_nC = np.array(time_P, dtype="<f8"), np.ascontiguousarray(values_nC, dtype="<f4")
    return info.model_copy(update={"time_check": check_of(shown_P)}), {
        "time": shown_P,
        "length": np.array([len(one) for one in jpegs], dtype="<i8"),
        "check": np.array([check_of(one) for one in jpegs], dtype="<u4"),
        "jpeg": np.frombuffer(b"".join(jpegs), np.uint8),
        "values": samples_nC,
        "value_check": block_checks(samples_nC),
    }


def full_stamp(path: Path | None) -> Stamp:
    """Return a file's stamp with its digest. Raises `DataError` if it cannot be read."""
    if path is None:
        return NOTHING
    try:
        return stamp(path).model_copy(update={"sha256": sha256_of(path)})
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
