"""The JSON files of a dataset in RevalExo's layout, read and checked. Keys that are not named here are ignored."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import to_json

from revalexo_clip.core.errors import DataError

LABEL_MAPPING = "label_mapping.json"
DATA_PAIRS = "data_pairs"
LOWER_BODY = ("Pelvis_*", "*_Upper_Leg_*", "*_Lower_Leg_*", "*_Foot_*")
CHANNELS = tuple(f"{kind}_{part}" for kind in ("acc", "gyro") for part in LOWER_BODY)
"""Channel patterns of the published dataset: accelerometers and gyroscopes of the lower body."""
IMU_RATE = 60.0
"""Sampling rate of the published dataset [Hz]."""

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


class _Outline(SubjectName):
    """A subject's file whose clips have not been looked at."""

    video_folder: str | None = None
    imu_folder: str
    pairs: dict[str, JsonValue]


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


def read_subject(path: Path, without: Collection[str] = ()) -> SubjectFile:
    """One subject's clips, but for the pairs in `without`, which may be as wrong as they like.

    Raises `DataError` that names the file and the dotted path of what is wrong.
    """
    if not without:
        return _read(path, SubjectFile)
    outline = _read(path, _Outline)
    kept = {pair_id: pair for pair_id, pair in outline.pairs.items() if pair_id not in without}
    return _parsed(path, to_json(outline.model_copy(update={"pairs": kept})), SubjectFile)


def read_pairs(path: Path) -> tuple[SubjectFile, dict[str, DataError]]:
    """One subject's clips that are described as they should be, and what is wrong with each of the others.

    Raises `DataError` where the file as a whole is wrong.
    """
    outline = _read(path, _Outline)
    wrong: dict[str, DataError] = {}
    for pair_id, pair in outline.pairs.items():
        alone = outline.model_copy(update={"pairs": {pair_id: pair}})
        try:
            _parsed(path, to_json(alone), SubjectFile)
        except DataError as error:
            wrong[pair_id] = error
    return read_subject(path, without=wrong), wrong


def repeated_keys(path: Path) -> list[str]:
    """Keys that an object of the file has more than once, of which only the last is read."""
    repeated: dict[str, None] = {}

    def note(items: list[tuple[str, object]]) -> None:
        counts = Counter(key for key, _ in items)
        repeated.update(dict.fromkeys(key for key, count in counts.items() if count > 1))

    json.loads(path.read_bytes(), object_pairs_hook=note, parse_int=str, parse_float=str)
    return list(repeated)


def _read(path: Path, kind: type[FileT]) -> FileT:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            raise DataError(f"{path}: cannot be read: it is not a file")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return _parsed(path, content, kind)


def _parsed(path: Path, content: bytes, kind: type[FileT]) -> FileT:
    try:
        return kind.model_validate_json(content)
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
