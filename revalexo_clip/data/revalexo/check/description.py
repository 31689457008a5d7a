"""Checking the JSON files of a dataset, and collecting the clips that they describe."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.index import described_twice
from revalexo_clip.data.windows import TIME_DECIMALS


@dataclass(frozen=True)
class ClipFiles:
    """Files and duration of a clip with a valid description."""

    name: str
    """`subject/pair id`, or `subject/file/pair id`, see `clip_prefix`."""
    subject: str
    video: Path | None
    imu: Path
    duration: float
    """End of the last activity [s]; infinite without one: then the clip lasts as long as its files."""
    described_by: Path
    recording: str | None = None
    """Declared name of the recording that the clip is a piece of."""
    offset: float = 0.0
    """Declared start of the clip in its recording [s]."""
    imu_offset: float = 0.0
    """Declared: how much later than it says the IMU was taken [s]."""
    segments: tuple[tuple[float, float, str], ...] = ()
    """Start and end [s], and activity."""


@dataclass
class Description:
    """Content and problems of the JSON files."""

    root: Path
    min_duration: float
    """Minimum clip duration [s]; shorter clips are ignored."""
    video: bool = True
    """Whether clips must have video."""
    activities: Collection[str] | None = None
    """Names in the label mapping; None if it cannot be read."""
    problems: list[Problem] = field(default_factory=list)
    clips: list[ClipFiles] = field(default_factory=list)
    bad_clips: set[str] = field(default_factory=set)
    """Names of clips whose description is invalid, so that their files cannot be checked."""
    with_video: list[str] = field(default_factory=list)
    """Subjects with video."""
    without_video: list[str] = field(default_factory=list)
    """Subjects that have only IMU recordings."""


def check_description(
    root: Path, subjects: Collection[str] | None, min_duration: float, *, video: bool = True
) -> Description:
    """Check the JSON files of the given subjects (default: all).

    Clips shorter than `min_duration` [s] are ignored; if `video` is False, so are the descriptions of videos.
    """
    found = Description(root, min_duration, video)
    _check_mapping(found)
    files = _read_files(found)
    if not files and not found.problems:
        message = "has no .json file; it should have one per subject"
        found.problems.append(Problem("subject_file", root / layout.DATA_PAIRS, message))
    for subject, own in files.items():
        if subjects is None or subject in subjects:
            _check_subject(own, found)
    return found


_Read = tuple[Path, str, layout.SubjectFile, dict[str, DataError]]
"""A subject's JSON file: path, prefix of the names of its clips, valid clips, and the errors of invalid ones."""


def _read_files(found: Description) -> dict[str, list[_Read]]:
    """Read the JSON files of each subject."""
    paths, names = sorted((found.root / layout.DATA_PAIRS).glob("*.json")), dict[str, list[Path]]()
    for path in paths:
        with suppress(DataError):  # reported below
            names.setdefault(layout.subject_name(path), []).append(path)
    read: dict[str, list[_Read]] = {}
    for path in paths:
        try:
            subject, wrong = layout.read_pairs(path)
        except DataError as error:
            found.problems += _each("subject_file", path, error)
            continue
        name = subject.subject
        read.setdefault(name, []).append((path, layout.clip_prefix(name, path, names[name]), subject, wrong))
    return read


def _check_mapping(found: Description) -> None:
    path = found.root / layout.LABEL_MAPPING
    try:
        found.activities = layout.read_label_mapping(found.root).activities
    except DataError as error:
        found.problems += _each("label_mapping", path, error)
    else:
        found.problems += _repeated(path)


def _each(kind: str, path: Path, error: DataError, clip: str | None = None) -> Iterator[Problem]:
    """Yield one problem per line of an error, without the file name that each line starts with."""
    for line in str(error).splitlines():
        yield Problem(kind, path, line.removeprefix(f"{path}: "), clip)


def _repeated(path: Path) -> Iterator[Problem]:
    for key in layout.repeated_keys(path):
        yield Problem("repeated_key", path, f"has the key {key!r} twice in one object; only the last one is read")


def _check_subject(own: Sequence[_Read], found: Description) -> None:
    """Check all files of a subject."""
    silent = all(
        subject.video_folder is None or all(pair.video is None for pair in subject.pairs.values())
        for _, _, subject, _ in own
    )
    (found.without_video if silent else found.with_video).append(own[0][2].subject)
    described: dict[Path, Path] = {}
    for read in own:
        _check_file(read, described, found, imu_only=silent or not found.video)


def _check_file(read: _Read, described: dict[Path, Path], found: Description, *, imu_only: bool) -> None:
    """Check one file; `described` has the IMU files that the subject's files describe, and by which."""
    path, prefix, subject, wrong = read
    found.problems += _repeated(path)
    for pair_id, error in wrong.items():
        found.problems += _each("clip_description", path, error, prefix + pair_id)
        found.bad_clips.add(prefix + pair_id)
    for pair_id, pair in sorted(subject.pairs.items()):
        if round(pair.duration, TIME_DECIMALS) < found.min_duration:
            continue
        name = prefix + pair_id
        found.problems += _segments(name, path, pair, found.activities)
        if found.activities and not pair.activity_segments:
            message = f"pairs.{pair_id}: has no activity_segments, so none of its windows has a label"
            found.problems.append(Problem("unlabelled", path, message, name))
        video = None if imu_only else _relative(subject.video_folder, pair.video)
        imu = _relative(subject.imu_folder, pair.imu)
        if not imu_only and (subject.video_folder is None or pair.video is None):
            message = f"pairs.{pair_id}: has no video, but other clips of {subject.subject} have one"
            found.problems.append(Problem("no_video", path, message, name))
            found.bad_clips.add(name)
        elif imu is None or (video is None and not imu_only):
            outside = f"{subject.imu_folder}/{pair.imu}" if imu is None else f"{subject.video_folder}/{pair.video}"
            message = f"pairs.{pair_id}: the path {outside!r} is outside the dataset's root {found.root}"
            found.problems.append(Problem("outside_root", path, message, name))
            found.bad_clips.add(name)
        elif (other := described.setdefault(found.root / imu, path)) != path:
            message = described_twice(imu, subject.subject, other)
            found.problems.append(Problem("subject_twice", path, message, name))
            found.bad_clips.add(name)
        else:
            files = ClipFiles(
                name=name,
                subject=subject.subject,
                video=None if video is None else found.root / video,
                imu=found.root / imu,
                duration=pair.duration,
                described_by=path,
                recording=None if pair.recording is None else prefix.partition("/")[2] + pair.recording,
                offset=pair.offset or 0.0,
                imu_offset=pair.imu_offset,
                segments=tuple((one.start, one.end, one.activity) for one in pair.activity_segments),
            )
            found.clips.append(files)


def _relative(folder: str | None, name: str | None) -> str | None:
    return None if folder is None or name is None else layout.relative_file(folder, name)


def _segments(
    name: str, described_by: Path, pair: layout.Pair, activities: Collection[str] | None
) -> Iterator[Problem]:
    for activity in dict.fromkeys(segment.activity for segment in pair.activity_segments):
        if activities is not None and activity not in activities:
            message = f"{name}: activity '{activity}' is not in {layout.LABEL_MAPPING}{nearest(activity, activities)}"
            yield Problem("unknown_activity", described_by, message, name)
    for what, segments in (("activities", pair.activity_segments), ("transitions", pair.transition_segments)):
        if overlap := _overlap(segments):
            message = f"{name}: two {what} overlap from {overlap[0]:g} s to {overlap[1]:g} s"
            yield Problem("overlapping_segments", described_by, message, name)


def _overlap(segments: Sequence[layout.Segment]) -> tuple[float, float] | None:
    """Return the start and end [s] of the first overlap of two segments."""
    ordered = sorted((segment.start, segment.end) for segment in segments)
    for one, other in pairwise(ordered):
        if round(one[1] - other[0], TIME_DECIMALS) > 0 and other[1] > other[0]:
            return other[0], min(one[1], other[1])
    return None
