"""Measuring one video into a file of its own, so that interrupted work resumes with the remaining videos."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import atomically
from revalexo_clip.core.npz import UNREADABLE, read_npz
from revalexo_clip.data.motion import Motion, measure_video
from revalexo_clip.data.revalexo.motion.file import FORMAT
from revalexo_clip.data.revalexo.pack.stamps import Stamp, full_stamp, stamp
from revalexo_clip.data.revalexo.pack.workers import PartJob
from revalexo_clip.motion import MotionTrack


class MeasureJob(PartJob):
    """One video to measure."""

    module: ClassVar[str] = __package__

    video: Path
    settings: Motion

    @property
    def source(self) -> Path:
        """See `PartJob.source`."""
        return self.video

    def write(self) -> str | None:
        """See `PartJob.write`."""
        done, before = read_part(self.part), stamp(self.video)
        if done is not None and done.info == self._info(done.info.stamp) and _same_file(done.info.stamp, before):
            return None
        try:
            full, track = full_stamp(self.video), measure_video(self.video, self.settings)
        except DataError as error:
            return str(error)
        if not _same_file(full, before) or not _same_file(full, stamp(self.video)):
            return f"{self.video}: was changed while its motion was being measured"
        described = np.frombuffer(self._info(full).model_dump_json().encode(), np.uint8)
        with atomically(self.part) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, info=described, edge=track.edge_E, value=track.value_PYX3)
        return None

    def _info(self, full: Stamp) -> PartInfo:
        return PartInfo(video=str(self.video), measurement=self.settings.measurement, stamp=full)


class PartInfo(BaseModel):
    """What a part was measured from, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    video: str
    measurement: str
    stamp: Stamp


class Part(NamedTuple):
    """The motion of one video."""

    info: PartInfo
    track: MotionTrack


def read_part(path: Path) -> Part | None:
    """Read a part; returns None if it is missing or unusable."""
    try:
        info = PartInfo.model_validate_json(read_npz(path, ["info"])["info"].tobytes())
        if info.format != FORMAT:
            return None
        stored = read_npz(path, ["edge", "value"])
        return Part(info, MotionTrack(np.asarray(stored["edge"], np.float64), np.asarray(stored["value"], np.float32)))
    except (*UNREADABLE, ValidationError):
        return None


def _same_file(one: Stamp, other: Stamp) -> bool:
    return (one.size, one.changed) == (other.size, other.changed)
