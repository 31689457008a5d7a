"""The JSON files of a dataset in RevalExo's layout, read and checked. Keys that are not named here are ignored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from revalexo_clip.errors import DataError

LABEL_MAPPING = "label_mapping.json"
DATA_PAIRS = "data_pairs"

Seconds = Annotated[float, Field(ge=0)]


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class Segment(_File):
    """A stretch of a clip [s]."""

    start: Seconds
    end: Seconds

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"ends at {self.end:g} s, before it starts at {self.start:g} s")
        return self


class ActivitySegment(Segment):
    """What the person does for a while."""

    activity: str


class TransitionSegment(Segment):
    """Whether the person is between two activities for a while."""

    transition: str


class Pair(_File):
    """One clip: a video, its IMU recording and what happens in them."""

    video: str | None = None
    imu: str
    activity_segments: tuple[ActivitySegment, ...] = Field(min_length=1)
    transition_segments: tuple[TransitionSegment, ...] = ()

    @property
    def duration(self) -> float:
        """Where the last activity ends [s]."""
        return max(segment.end for segment in self.activity_segments)


class SubjectName(_File):
    """The one thing that is read of every subject's file."""

    subject: str = Field(min_length=1)


class SubjectFile(SubjectName):
    """One subject's clips. A subject without video has no `video_folder`."""

    video_folder: str | None = None
    imu_folder: str
    pairs: dict[str, Pair]


class LabelMapping(_File):
    """The activities and their class indices."""

    label_to_idx: dict[str, int] = Field(min_length=1)
    idx_to_label: dict[str, str] | None = None

    @model_validator(mode="after")
    def _indices_agree(self) -> Self:
        if sorted(self.label_to_idx.values()) != list(range(len(self.label_to_idx))):
            raise ValueError(f"label_to_idx does not number {len(self.label_to_idx)} activities from 0 without gaps")
        inverse = {str(index): activity for activity, index in self.label_to_idx.items()}
        if self.idx_to_label is not None and self.idx_to_label != inverse:
            differing = sorted(
                index for index in inverse | self.idx_to_label if inverse.get(index) != self.idx_to_label.get(index)
            )
            raise ValueError(f"label_to_idx and idx_to_label disagree about index {', '.join(differing)}")
        return self

    @property
    def activities(self) -> tuple[str, ...]:
        """Activity names in the order of their indices."""
        return tuple(sorted(self.label_to_idx, key=self.label_to_idx.__getitem__))


FileT = TypeVar("FileT", bound=_File)


def read_label_mapping(root: Path) -> LabelMapping:
    """The dataset's activities. Raises `DataError` where the root or the file is missing or wrong."""
    if not root.is_dir():
        raise DataError(f"{root}: there is no such dataset folder; point `data.root` at one")
    return _read(root / LABEL_MAPPING, LabelMapping)


def subject_files(root: Path) -> dict[str, Path]:
    """Every subject's file by the subject's name, in the order of names."""
    paths = sorted((root / DATA_PAIRS).glob("*.json"))
    if not paths:
        raise DataError(f"{root / DATA_PAIRS}: holds no .json file; it should hold one per subject")
    files: dict[str, Path] = {}
    for path in paths:
        name = _read(path, SubjectName).subject
        if name in files:
            raise DataError(f"{path}: subject {name} is described by {files[name].name} already")
        files[name] = path
    return dict(sorted(files.items()))


def read_subject(path: Path) -> SubjectFile:
    """One subject's clips. Raises `DataError` that names the file and the dotted path of what is wrong."""
    return _read(path, SubjectFile)


def _read(path: Path, kind: type[FileT]) -> FileT:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DataError("\n".join(_problems(path, error))) from error


def _problems(path: Path, error: ValidationError, shown: int = 5) -> list[str]:
    """The first mistakes of a file, each with its dotted path. Their number is bounded: a file can repeat one."""
    lines = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:shown]:
        place = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{path}: {place}: {message}" if place else f"{path}: {message}")
    if error.error_count() > shown:
        lines.append(f"{path}: and {error.error_count() - shown} more")
    return lines


def relative_file(folder: str, name: str) -> str | None:
    """A file's path from the dataset's root, or None where it would leave the root."""
    if os.path.isabs(folder) or os.path.isabs(name) or "\0" in folder + name:  # noqa: PTH117
        return None
    path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118
    return None if path in (".", "..") or path.startswith(".." + os.sep) else path
