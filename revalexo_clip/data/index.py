"""The index of a dataset on disk: which clips there are, what their files are called, what happens in them.

It is arrays, not objects, so that a hundred thousand clips cost a loader worker a few megabytes.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.component import nearest
from revalexo_clip.data import layout
from revalexo_clip.data.windows import TIME_DECIMALS, Floats, Ints
from revalexo_clip.errors import DataError

NO_TRANSITION = "no_transition"


@dataclass(frozen=True)
class Segments:
    """Labelled stretches of N clips, those of clip i at `offset_N1[i]:offset_N1[i + 1]`, ascending by start."""

    offset_N1: Ints
    start_S: Floats
    """[s]"""
    end_S: Floats
    """[s]"""
    label_S: Ints

    def of(self, clip: int) -> tuple[Floats, Floats, Ints]:
        """Starts [s], ends [s] and labels of one clip's segments."""
        place = slice(self.offset_N1[clip], self.offset_N1[clip + 1])
        return self.start_S[place], self.end_S[place], self.label_S[place]

    @staticmethod
    def gather(clips: Iterable[Sequence[tuple[float, float, int]]]) -> Segments:
        """From (start, end, label) triples, clip by clip."""
        ordered = [sorted(triples) for triples in clips]
        flat = np.array([triple for triples in ordered for triple in triples], dtype=np.float64).reshape(-1, 3)
        return Segments(
            offset_N1=np.cumsum([0, *(len(triples) for triples in ordered)], dtype=np.int64),
            start_S=flat[:, 0].copy(),
            end_S=flat[:, 1].copy(),
            label_S=flat[:, 2].astype(np.int64),
        )


@dataclass(frozen=True)
class ClipIndex:
    """N clips, ordered by (subject, pair id)."""

    root: Path
    subjects: tuple[str, ...]
    """Subject of each clip."""
    names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    video_N: npt.NDArray[np.str_]
    """Video files, from the root."""
    imu_N: npt.NDArray[np.str_]
    """IMU files, from the root."""
    duration_N: Floats
    """[s]"""
    activity: Segments
    transition: Segments
    """The stretches between two activities; their label is always 0."""
    activities: tuple[str, ...]
    left_out: int
    """Clips that were shorter than the minimum."""

    def __len__(self) -> int:
        return len(self.names)

    def video(self, clip: int) -> Path:
        """A clip's video file."""
        return self.root / str(self.video_N[clip])

    def imu(self, clip: int) -> Path:
        """A clip's IMU file."""
        return self.root / str(self.imu_N[clip])

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the label mapping, the subjects' JSON files, and the names and sizes of the clips' files.

        It does not depend on where the dataset lies. No recording is read, so a change that keeps a file's size goes
        unnoticed.
        """
        digest = hashlib.sha256()
        described = layout.subject_files(self.root)
        subjects = (described[subject] for subject in sorted(set(self.subjects)))
        for content in (path.read_bytes() for path in (self.root / layout.LABEL_MAPPING, *subjects)):
            digest.update(f"{len(content)}\n".encode() + content)
        for name in (*self.video_N, *self.imu_N):
            digest.update(f"{name} {(self.root / str(name)).stat().st_size}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class _Clip:
    subject: str
    name: str
    video: str
    imu: str
    pair: layout.Pair


def read_index(
    root: Path, subjects: Sequence[str], min_duration: float, without: Collection[str] = frozenset()
) -> ClipIndex:
    """Index the subjects' clips of at least `min_duration` [s] and check that their files are there.

    Subjects are named as in their files, or by number. The clips named in `without` (`subject/pair id`) are not looked
    at. Raises `DataError`, which names the file, for everything else that is not as the layout says.
    """
    mapping = layout.read_label_mapping(root)
    files = layout.subject_files(root)
    names = sorted(select_subjects(subjects, tuple(files), root))
    found = [clip for name in names for clip in _clips(root, files[name], pairs_of(name, without))]
    clips = [clip for clip in found if round(clip.pair.duration, TIME_DECIMALS) >= min_duration]
    if not clips:
        bad = f"{len(without)} were excluded and " if without else ""
        raise DataError(
            f"{root}: no clip of {', '.join(names)} lasts {min_duration:g} s "
            f"({bad}{len(found)} are shorter; lower `data.min_duration`?)"
        )
    for clip in clips:
        _check_file(root, clip.video, f"video of {clip.name}", files[clip.subject])
        _check_file(root, clip.imu, f"IMU recording of {clip.name}", files[clip.subject])
    return ClipIndex(
        root=root,
        subjects=tuple(clip.subject for clip in clips),
        names=tuple(clip.name for clip in clips),
        video_N=np.array([clip.video for clip in clips], dtype=np.str_),
        imu_N=np.array([clip.imu for clip in clips], dtype=np.str_),
        duration_N=np.array([clip.pair.duration for clip in clips]),
        activity=Segments.gather(_labelled(clip, mapping, files[clip.subject]) for clip in clips),
        transition=Segments.gather(_transitions(clip) for clip in clips),
        activities=mapping.activities,
        left_out=len(found) - len(clips),
    )


def pairs_of(subject: str, clips: Collection[str]) -> frozenset[str]:
    """The pair ids among clip names that are of a subject."""
    return frozenset(clip.removeprefix(f"{subject}/") for clip in clips if clip.startswith(f"{subject}/"))


def select_subjects(wanted: Sequence[str], known: Sequence[str], root: Path) -> list[str]:
    """Each wanted subject's name as its file has it. '08' selects Subject08."""
    selected = []
    for subject in wanted:
        matching = [name for name in known if name == subject] or [name for name in known if alike(name, subject)]
        if len(matching) != 1:
            problem = f"could be {' or '.join(matching)}" if matching else "is not in the dataset"
            raise DataError(f"{root}: subject '{subject}' {problem}; subjects there: {', '.join(known)}")
        selected.append(matching[0])
    return selected


def alike(one: str, other: str) -> bool:
    """Whether two names may mean one subject: they are equal, or one is the number that the other ends with."""
    return one == other or (one.isdigit() and one == _number(other)) or (other.isdigit() and other == _number(one))


def _number(name: str) -> str:
    return name[len(name.rstrip("0123456789")) :]


def _clips(root: Path, path: Path, without: Collection[str]) -> Iterator[_Clip]:
    subject = layout.read_subject(path, without)
    for pair_id, pair in sorted(subject.pairs.items()):
        if subject.video_folder is None or pair.video is None:
            raise DataError(f"{path}: pairs.{pair_id}: {subject.subject} has no video; leave this subject out")
        video = layout.relative_file(subject.video_folder, pair.video)
        imu = layout.relative_file(subject.imu_folder, pair.imu)
        if video is None or imu is None:
            outside = f"{subject.video_folder}/{pair.video}" if video is None else f"{subject.imu_folder}/{pair.imu}"
            raise DataError(f"{path}: pairs.{pair_id}: the path {outside!r} leaves the dataset's root {root}")
        yield _Clip(subject.subject, f"{subject.subject}/{pair_id}", video, imu, pair)


def _check_file(root: Path, relative: str, what: str, described_by: Path) -> None:
    path = root / relative
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: the {what} is missing: {error.strerror} (named in {described_by})") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: the {what} is not a file (named in {described_by})")
    if status.st_size == 0:
        raise DataError(f"{path}: the {what} is empty (named in {described_by})")


def _labelled(clip: _Clip, mapping: layout.LabelMapping, described_by: Path) -> list[tuple[float, float, int]]:
    for segment in clip.pair.activity_segments:
        if segment.activity not in mapping.label_to_idx:
            raise DataError(
                f"{described_by}: {clip.name}: activity '{segment.activity}' is not in {layout.LABEL_MAPPING}"
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
