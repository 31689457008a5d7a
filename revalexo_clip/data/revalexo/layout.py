"""Reading and validating the JSON files of a dataset in RevalExo's layout. Unknown keys are ignored."""

from __future__ import annotations

import json
import math
import os
import stat
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import to_json

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import spelled_twice

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
    """A part of a clip, from `start` to `end` [s]."""

    start: Seconds
    end: Seconds

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"ends at {self.end:g} s, before it starts at {self.start:g} s")
        return self


class ActivitySegment(Segment):
    """A segment with an activity."""

    activity: str


class TransitionSegment(Segment):
    """A segment with a transition between two activities, or `no_transition`."""

    transition: str


class Pair(_File):
    """One clip: a video, its IMU recording and their labels."""

    video: str | None = None
    imu: str
    recording: str | None = Field(default=None, min_length=1)
    """Name of the recording that the clip is a piece of; clips of a subject with the same name share it."""
    offset: Seconds | None = None
    """Start of the clip in its recording [s]."""
    imu_offset: float = 0.0
    """How much later than its rows or clock say the IMU was taken [s]; `rxclip check-sync --apply` writes it."""
    activity_segments: tuple[ActivitySegment, ...] = ()
    transition_segments: tuple[TransitionSegment, ...] = ()

    @model_validator(mode="after")
    def _is_placed_or_not(self) -> Self:
        if (self.recording is None) is not (self.offset is None):
            raise ValueError("recording and offset belong together: give both, or neither")
        return self

    @property
    def duration(self) -> float:
        """End of the last activity [s]; infinite without one: then the clip lasts as long as its files."""
        return max((segment.end for segment in self.activity_segments), default=math.inf)


class SubjectName(_File):
    """The subject's name, which is read from every subject's file."""

    subject: str = Field(min_length=1)


class SubjectFile(SubjectName):
    """One subject's clips. A subject without video has no `video_folder`."""

    video_folder: str | None = None
    imu_folder: str
    pairs: dict[str, Pair]


class _Outline(SubjectName):
    """A subject's file whose clips are not validated."""

    video_folder: str | None = None
    imu_folder: str
    pairs: dict[str, JsonValue]


class LabelMapping(_File):
    """The activities and their class indices."""

    label_to_idx: dict[str, int]
    idx_to_label: dict[str, str] | None = None

    @model_validator(mode="after")
    def _indices_agree(self) -> Self:
        if sorted(self.label_to_idx.values()) != list(range(len(self.label_to_idx))):
            raise ValueError(f"label_to_idx does not number {len(self.label_to_idx)} activities from 0 without gaps")
        if problem := spelled_twice(self.label_to_idx):
            raise ValueError(f"label_to_idx: {problem}")
        inverse = {str(index): activity for activity, index in self.label_to_idx.items()}
        if self.idx_to_label is not None and self.idx_to_label != inverse:
            differing = sorted(
                index for index in inverse | self.idx_to_label if inverse.get(index) != self.idx_to_label.get(index)
            )
            raise ValueError(f"label_to_idx and idx_to_label disagree about index {', '.join(differing)}")
        return self

    @property
    def activities(self) -> tuple[str, ...]:
        """Activity names, in the order of their indices."""
        return tuple(sorted(self.label_to_idx, key=self.label_to_idx.__getitem__))


FileT = TypeVar("FileT", bound=_File)


def read_label_mapping(root: Path) -> LabelMapping:
    """Read the dataset's activities. Raises `DataError` if the root or the file is missing or invalid."""
    if not root.is_dir():
        raise DataError(f"{root}: there is no such dataset folder; set `data.root`")
    return _read(root / LABEL_MAPPING, LabelMapping)


def subject_files(root: Path) -> dict[str, tuple[Path, ...]]:
    """Return every subject's files by the subject's name, sorted by name: one, or several, such as one per session."""
    paths = sorted((root / DATA_PAIRS).glob("*.json"))
    if not paths:
        raise DataError(f"{root / DATA_PAIRS}: has no .json file; it should have one per subject")
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(subject_name(path), []).append(path)
    return {name: tuple(files[name]) for name in sorted(files)}


def subject_name(path: Path) -> str:
    """Read the subject of a file. Raises `DataError`."""
    return _read(path, SubjectName).subject


def clip_prefix(subject: str, path: Path, files: Sequence[Path]) -> str:
    """Return what the names of a file's clips start with; pair ids are unique only within one of the subject's files.

    It is `Subject01/`, or `Subject01/morning/` for `morning.json` if the subject has several files.
    """
    return f"{subject}/" if len(files) == 1 else f"{subject}/{path.stem}/"


def read_subject(path: Path, without: Collection[str] = ()) -> SubjectFile:
    """Read one subject's clips, except the pairs in `without`, which are not validated.

    Raises `DataError`, naming the file and the dotted path of the problem.
    """
    if not without:
        return _read(path, SubjectFile)
    outline = _read(path, _Outline)
    kept = {pair_id: pair for pair_id, pair in outline.pairs.items() if pair_id not in without}
    return _parsed(path, to_json(outline.model_copy(update={"pairs": kept})), SubjectFile)


def read_pairs(path: Path) -> tuple[SubjectFile, dict[str, DataError]]:
    """Read one subject's valid clips, and the errors of the invalid ones by pair id.

    Raises `DataError` if the file as a whole is invalid.
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
    """Return the keys that occur more than once in an object of the file; only the last one is read."""
    repeated: dict[str, None] = {}

    def note(items: list[tuple[str, object]]) -> None:
        counts = Counter(key for key, _ in items)
        repeated.update(dict.fromkeys(key for key, count in counts.items() if count > 1))

    json.loads(path.read_bytes(), object_pairs_hook=note, parse_int=str, parse_float=str)
    return list(repeated)


def _read(path: Path, kind: type[FileT]) -> FileT:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would block forever
            raise DataError(f"{path}: cannot be read: it is not a file")
        content = path.read_bytes().removeprefix(BOM_UTF8)  # editors on Windows write it
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return _parsed(path, content, kind)


def _parsed(path: Path, content: bytes, kind: type[FileT]) -> FileT:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise DataError("\n".join(_problems(path, error))) from error


def _problems(path: Path, error: ValidationError, shown: int = 5) -> list[str]:
    """Return the first errors of a file, with dotted paths. The number is limited, because errors often repeat."""
    lines = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:shown]:
        place = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{path}: {place}: {message}" if place else f"{path}: {message}")
    if error.error_count() > shown:
        lines.append(f"{path}: and {error.error_count() - shown} more")
    return lines


def relative_file(folder: str, name: str) -> str | None:
    """Return a file's path relative to the dataset's root, or None if it would be outside the root."""
    if os.path.isabs(folder) or os.path.isabs(name) or "\0" in folder + name:  # noqa: PTH117
        return None
    path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118
    return None if path in (".", "..") or path.startswith(".." + os.sep) else path
