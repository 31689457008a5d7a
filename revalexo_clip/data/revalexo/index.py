"""Indexing a dataset in RevalExo's layout from its JSON files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.index import ABSENT, ClipIndex, Stamp, check_file, fingerprint
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.subjects import select_subjects
from revalexo_clip.data.windows import TIME_DECIMALS, Floats, Segments

NO_TRANSITION = "no_transition"


@dataclass(frozen=True)
class _Clip:
    subject: str
    name: str
    video: str
    imu: str
    pair: layout.Pair
    described_by: Path
    """The JSON file."""


def read_index(
    root: Path,
    subjects: Sequence[str],
    min_duration: float,
    without: Collection[str] = frozenset(),
    *,
    video: bool = True,
    check: bool = True,
) -> ClipIndex:
    """Index the subjects' clips of at least `min_duration` [s] and, if `check`, check that their files are there.

    Subjects are given by name or by number. The clips in `without` (`subject/pair id`) are ignored; if `video` is
    False, so are videos and their descriptions. Raises `DataError`, naming the file, if anything else does not match
    the layout.
    """
    mapping = layout.read_label_mapping(root)
    files = layout.subject_files(root)
    names = sorted(select_subjects(subjects, tuple(files), root))
    found = _once([clip for name in names for clip in _clips(root, name, files[name], without, video=video)])
    clips = [clip for clip in found if round(clip.pair.duration, TIME_DECIMALS) >= min_duration]
    if not clips:
        raise none_lasts(root, names, min_duration, len(found), len(without))
    index = _gathered(root, clips, mapping, num_too_short=len(found) - len(clips))
    if not check:
        return index
    stamps = [_check_clip(root, clip.name, clip.video, clip.imu, clip.described_by) for clip in clips]
    stamp_N22 = np.array(stamps, dtype=np.int64)
    return replace(index, video_stamp_N2=stamp_N22[:, 0], imu_stamp_N2=stamp_N22[:, 1])


def index_fingerprint(index: ClipIndex) -> str:
    """Compute the SHA-256, in hex, of the label mapping, the subjects' JSON files, and the clip files' names and sizes.

    It does not depend on the location of the dataset, nor on videos that are not needed. Clip files are not read, so a
    change that keeps a file's size is not detected. Sizes are those at the time of indexing, if it looked at them.
    """
    files = layout.subject_files(index.root)
    described = [
        index.root / layout.LABEL_MAPPING,
        *(file for subject in sorted(set(index.subjects)) for file in files[subject]),
    ]
    clips = range(len(index))
    named = [(str(index.video_N[clip]), index.video_stamp(clip)) for clip in clips]
    named += [(str(index.imu_N[clip]), index.imu_stamp(clip)) for clip in clips]
    sizes = ((name, stamp[0] if stamp else (index.root / name).stat().st_size) for name, stamp in named if name)
    return fingerprint(map(sha256_of, described), sizes)


def none_lasts(root: Path, subjects: Sequence[str], min_duration: float, found: int, excluded: int) -> DataError:
    """Return the error that all clips that were found are too short."""
    bad = f"{excluded} were excluded and " if excluded else ""
    return DataError(
        f"{root}: no clip of {', '.join(subjects)} lasts at least {min_duration:g} s "
        f"({bad}{found} are shorter; lower `data.min_duration`)"
    )


def read_subjects(root: Path, files: Mapping[str, Sequence[Path]]) -> ClipIndex:
    """Index all clips of the subjects, including short ones. The video of a clip without video is "".

    Raises `DataError` like `read_index`, but does not check that the clips' files exist.
    """
    mapping = layout.read_label_mapping(root)
    clips = _once([clip for subject in sorted(files) for clip in _described(root, subject, files[subject])])
    return _gathered(root, clips, mapping, num_too_short=0)


def _once(clips: Sequence[_Clip]) -> Sequence[_Clip]:
    """Return the clips. Raises `DataError` if two files of a subject describe one recording, as copies do."""
    first: dict[tuple[str, str], _Clip] = {}
    for clip in clips:
        other = first.setdefault((clip.subject, clip.imu), clip)
        if other.described_by != clip.described_by:
            raise DataError(f"{clip.described_by}: {described_twice(clip.imu, clip.subject, other.described_by)}")
    return clips


def described_twice(imu: str, subject: str, other: Path) -> str:
    """Return the message that an IMU file is described by another file of the subject, too."""
    return f"{imu} of {subject} is already described by {other.name}; remove one of the two files, or that pair"


def check_files(index: ClipIndex, clips: Iterable[int]) -> None:
    """Raise the `DataError` of `read_index` if a file of the clips is missing, empty or not a regular file."""
    files = layout.subject_files(index.root)
    for clip in clips:
        video, imu = str(index.video_N[clip]), str(index.imu_N[clip])
        name, subject = index.names[clip], index.subjects[clip]
        _check_clip(index.root, name, video, imu, described_by(name, subject, files[subject]))


PathT = TypeVar("PathT", str, Path)


def described_by(name: str, subject: str, files: Sequence[PathT]) -> PathT:
    """Return which of a subject's JSON files describes a clip of that name, see `clip_prefix`."""
    session = name.removeprefix(f"{subject}/").partition("/")[0]
    return next((file for file in files if PurePath(file).stem == session and len(files) > 1), files[0])


def _gathered(root: Path, clips: Sequence[_Clip], mapping: layout.LabelMapping, *, num_too_short: int) -> ClipIndex:
    duration_N = np.array([clip.pair.duration for clip in clips])
    return ClipIndex(
        root=root,
        subjects=tuple(clip.subject for clip in clips),
        names=tuple(clip.name for clip in clips),
        video_N=np.array([clip.video for clip in clips], dtype=np.str_),
        imu_N=np.array([clip.imu for clip in clips], dtype=np.str_),
        duration_N=duration_N,
        times=_declared_times(clips, duration_N),
        activity=Segments.gather(_labelled(clip, mapping) for clip in clips),
        transition=Segments.gather(_transitions(clip) for clip in clips),
        activities=mapping.activities,
        num_too_short=num_too_short,
        imu_offset_N=np.array([clip.pair.imu_offset for clip in clips]) if any(_moved(clips)) else None,
    )


def _moved(clips: Sequence[_Clip]) -> Iterator[bool]:
    return (clip.pair.imu_offset != 0 for clip in clips)


def _declared_times(clips: Sequence[_Clip], duration_N: Floats) -> ClipTimes:
    """Return the times of clips as far as the JSON files declare them; the others are recordings of their own.

    Names of recordings apply to one file: two sessions may use the same names.
    """
    names = [(clip.subject, clip.described_by, clip.pair.recording or f"{clip.name}\0") for clip in clips]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return replace(
        ClipTimes.separate(duration_N),
        recording_N=np.array([number[name] for name in names], dtype=np.int64),
        offset_N=np.array([clip.pair.offset or 0.0 for clip in clips]),
        declared_N=np.array([clip.pair.recording is not None for clip in clips], dtype=bool),
    )


def pairs_of(prefix: str, clips: Collection[str]) -> frozenset[str]:
    """Return the pair ids of the clip names with a prefix, see `clip_prefix`."""
    return frozenset(clip.removeprefix(prefix) for clip in clips if clip.startswith(prefix))


def _clips(
    root: Path, subject: str, files: Sequence[Path], without: Collection[str], *, video: bool
) -> Iterator[_Clip]:
    for clip in _described(root, subject, files, without, video=video):
        if video and not clip.video:
            raise no_video(clip.described_by, clip.subject, clip.name)
        yield clip


def no_video(path: Path, subject: str, name: str) -> DataError:
    """Return the error that a clip, described in the file `path`, has no video."""
    pair_id = name.removeprefix(f"{subject}/").removeprefix(f"{path.stem}/")
    return DataError(f"{path}: pairs.{pair_id}: {subject} has no video; leave this subject out")


def _described(
    root: Path, name: str, files: Sequence[Path], without: Collection[str] = frozenset(), *, video: bool = True
) -> Iterator[_Clip]:
    """Yield a subject's clips. The video of a clip is "" if it has none, or if no video is needed."""
    for path in files:
        prefix = layout.clip_prefix(name, path, files)
        subject = layout.read_subject(path, pairs_of(prefix, without))
        for pair_id, pair in sorted(subject.pairs.items()):
            shown: str | None = ""
            if video and subject.video_folder is not None and pair.video is not None:
                shown = layout.relative_file(subject.video_folder, pair.video)
            imu = layout.relative_file(subject.imu_folder, pair.imu)
            if shown is None or imu is None:
                folder, file = (subject.video_folder, pair.video) if shown is None else (subject.imu_folder, pair.imu)
                raise DataError(
                    f"{path}: pairs.{pair_id}: the path {f'{folder}/{file}'!r} is outside the dataset's root {root}"
                )
            yield _Clip(subject.subject, prefix + pair_id, shown, imu, pair, path)


def _check_clip(root: Path, name: str, video: str, imu: str, file: Path) -> tuple[Stamp, Stamp]:
    """Return the stamps of the video and the IMU file."""
    video_stamp = check_file(root, video, f"video of {name}", file) if video else ABSENT
    return video_stamp, check_file(root, imu, f"IMU recording of {name}", file)


def _labelled(clip: _Clip, mapping: layout.LabelMapping) -> list[tuple[float, float, int]]:
    for segment in clip.pair.activity_segments:
        if segment.activity not in mapping.label_to_idx:
            raise DataError(
                f"{clip.described_by}: {clip.name}: activity '{segment.activity}' is not in {layout.LABEL_MAPPING}"
                f"{nearest(segment.activity, mapping.label_to_idx)}"
            )
    return [
        (segment.start, segment.end, mapping.label_to_idx[segment.activity]) for segment in clip.pair.activity_segments
    ]


def _transitions(clip: _Clip) -> list[tuple[float, float, int]]:
    return [
        (segment.start, segment.end, 0)
        for segment in clip.pair.transition_segments
        if segment.transition != NO_TRANSITION
    ]
