"""Comparing the IMU rows of all clips: which lie in one recording, where, and which are shared across subjects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.data.recording_time import (
    SAME_MOMENT,
    ClipTimes,
    Link,
    Placement,
    RowDigests,
    place_by,
    row_digests,
    shared_between,
    shared_runs,
    shortest_run,
)
from revalexo_clip.data.revalexo.check.clip import ClipCheck, Settings
from revalexo_clip.data.revalexo.check.description import ClipFiles
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.survey import comparable, sensors_of_file
from revalexo_clip.data.windows import Floats


@dataclass(frozen=True)
class SubjectRows:
    """What the IMU rows of a subject's clips show."""

    clips: Sequence[ClipFiles]
    columns: tuple[str, ...]
    """The columns that are compared."""
    rows: RowDigests
    shifts: Sequence[tuple[Link, float]]
    """Pairs of clips that share rows, and the time from the start of the first to the start of the second [s]."""
    placement: Placement
    """Of the clips that declare no recording, in order."""
    contradiction: str | None
    """How shared rows contradict each other."""


def compare_rows(clips: Sequence[ClipFiles], settings: Settings) -> SubjectRows:
    """Read the IMU files of a subject's clips and compare their rows. Files that cannot be read share nothing."""
    rate, clock = settings.rate, settings.clock
    files, times = [], []
    for clip in clips:
        columns, samples_nC = sensors_of_file(clip.imu) if clip.imu.is_file() else ((), np.empty((0, 0), np.float32))
        time_n: Floats = np.empty(0)
        if clock is not None and len(samples_nC):
            try:
                time_n = clock.row_times(clip.imu)
            except DataError:  # reported as a problem of the clip
                columns, samples_nC = (), samples_nC[:0]
        files.append((columns, samples_nC))
        times.append(time_n)
    samples, row_times = comparable(files), None if clock is None else times
    usual = Counter(columns for columns, _ in files if columns).most_common(1)
    links = shared_runs(samples, shortest_run(rate))
    free = [number for number, clip in enumerate(clips) if clip.recording is None]
    placement, contradiction = Placement(np.arange(len(free)), np.zeros(len(free))), None
    among, free_times = links, row_times
    if len(free) < len(clips):  # a row is linked to one other clip only, so the declared ones must be left out
        among = shared_runs([samples[number] for number in free], shortest_run(rate))
        free_times = None if row_times is None else [row_times[number] for number in free]
    try:
        placement = place_by(among, rate, [clips[number].name for number in free], free_times)
    except DataError as error:
        contradiction = str(error)
    return SubjectRows(
        clips=clips,
        columns=usual[0][0] if usual else (),
        rows=row_digests(samples),
        shifts=[(link, link.seconds(rate, row_times)) for link in links],
        placement=placement,
        contradiction=contradiction,
    )


def placement_problems(subjects: Sequence[SubjectRows], checked: Sequence[ClipCheck], rate: float) -> Iterator[Problem]:
    """Yield what shared rows contradict, and the rows that subjects share."""
    digest = {each.clip.name: each.digests.get(each.clip.imu) for each in checked}
    for subject in subjects:
        if subject.contradiction is not None:
            yield Problem("contradictory_offsets", subject.clips[0].described_by, subject.contradiction)
        for link, seconds in subject.shifts:
            first, second = subject.clips[link.first], subject.clips[link.second]
            same_file = digest.get(first.name) is not None and digest.get(first.name) == digest.get(second.name)
            wrong = None if same_file else _wrong_offset(first, second, seconds, rate)
            if wrong is not None:
                file = (second if second.recording is not None else first).described_by
                shared = f"{second.name} shares {link.rows / rate:.1f} s of IMU rows with {first.name}"
                yield Problem("wrong_offset", file, f"{shared}, {wrong}", second.name)
    yield from _across_subjects(subjects, digest, rate)


def _wrong_offset(first: ClipFiles, second: ClipFiles, seconds: float, rate: float) -> str | None:
    """How rows that two clips share contradict what the clips declare; None if they do not."""
    if first.recording is None and second.recording is None:
        return None
    if first.recording != second.recording:
        return "but is not declared as a piece of the same recording"
    found = first.offset + seconds
    if abs(found - second.offset) * rate <= SAME_MOMENT:
        return None
    return f"which puts it at {found:.3f} s of recording {second.recording}, and not at {second.offset:.3f} s"


def _across_subjects(subjects: Sequence[SubjectRows], digest: dict[str, str | None], rate: float) -> Iterator[Problem]:
    usual = Counter(subject.columns for subject in subjects if subject.columns).most_common(1)
    compared = [subject for subject in subjects if usual and subject.columns == usual[0][0]]
    clips = [clip for subject in compared for clip in subject.clips]
    if len(compared) < 2:
        return
    count_S = np.array([len(subject.clips) for subject in compared])
    first_S = np.cumsum(count_S) - count_S
    rows = RowDigests(
        np.concatenate([subject.rows.digest_M for subject in compared]),
        np.concatenate([subject.rows.clip_M + first for subject, first in zip(compared, first_S, strict=True)]),
        np.concatenate([subject.rows.row_M for subject in compared]),
    )
    for link in shared_between(rows, np.repeat(np.arange(len(compared)), count_S), shortest_run(rate)):
        first, second = clips[link.first], clips[link.second]
        if digest.get(first.name) is not None and digest.get(first.name) == digest.get(second.name):
            continue  # reported as files with the same content
        message = f"shares {link.rows / rate:.1f} s of IMU rows with {first.imu} ({first.name}), of another subject"
        yield Problem("shared_across_subjects", second.imu, message, second.name)


@dataclass(frozen=True)
class PlacedClip:
    """A clip in its recording."""

    name: str
    subject: str
    offset: float
    """Start of the clip in its recording [s]."""
    shared: float
    """How much of it lies in earlier clips of the recording, too [s]."""
    declared: bool
    """Whether the dataset itself says where the clip lies."""
    duration: float
    """[s]"""


@dataclass(frozen=True)
class CheckedRecordings:
    """The recordings of a dataset."""

    recordings: tuple[tuple[PlacedClip, ...], ...] = field(default=())
    """The clips of each, ordered by offset; ordered by first clip."""

    def summary(self) -> str | None:
        """Return one line about what clips share; None if they share nothing."""
        clips = [clip for recording in self.recordings for clip in recording]
        sharing = [clip for clip in clips if clip.shared > 0]
        if not sharing:
            return None
        how = {clip.declared for clip in sharing}
        source = {True: "declared", False: "found by equal IMU rows"}
        return (
            f"{counted(len(self.recordings), 'recording')}; {len(sharing)} of {counted(len(clips), 'clip')} share "
            f"{sum(clip.shared for clip in sharing):.1f} s with an earlier clip "
            f"({' or '.join(source[declared] for declared in sorted(how, reverse=True))})"
        )

    def to_json(self) -> list[JsonValue]:
        """Return the recordings in the output of `--json`."""
        return [
            {
                "subject": recording[0].subject,
                "clips": [
                    {"clip": clip.name, "offset": clip.offset, "shared": clip.shared, "declared": clip.declared}
                    for clip in recording
                ],
            }
            for recording in self.recordings
        ]


def times_of(checked: Sequence[ClipCheck], subjects: Sequence[SubjectRows]) -> ClipTimes:
    """Return the times of the clips, as far as they are declared or found; the others are recordings of their own."""
    found: dict[str, tuple[str, float]] = {}
    for subject in subjects:
        free = [clip for clip in subject.clips if clip.recording is None]
        for number, clip in enumerate(free):
            recording = f"found {subject.clips[0].subject} {subject.placement.recording_N[number]}"
            found[clip.name] = recording, float(subject.placement.offset_N[number])
        for clip in subject.clips:
            if clip.recording is not None:
                found[clip.name] = f"declared {clip.subject} {clip.recording}", clip.offset
    numbers = {name: number for number, name in enumerate(dict.fromkeys(found[each.clip.name][0] for each in checked))}
    duration_N = np.array([each.clip.duration for each in checked])
    return replace(
        ClipTimes.separate(duration_N),
        recording_N=np.array([numbers[found[each.clip.name][0]] for each in checked], dtype=np.int64),
        offset_N=np.array([found[each.clip.name][1] for each in checked]),
        declared_N=np.array([each.clip.recording is not None for each in checked], dtype=bool),
        begin_N=np.array([each.common.begin if each.common else 0.0 for each in checked]),
        end_N=np.array([each.common.end if each.common else each.clip.duration for each in checked]),
    )


def recordings_of(checked: Sequence[ClipCheck], times: ClipTimes) -> CheckedRecordings:
    """Return the recordings of checked clips."""
    shared_N, recordings = times.shared_seconds(), dict[int, list[PlacedClip]]()
    for number, each in enumerate(checked):
        placed = PlacedClip(
            name=each.clip.name,
            subject=each.clip.subject,
            offset=float(times.offset_N[number]),
            shared=float(shared_N[number]),
            declared=bool(times.declared_N[number]),
            duration=each.clip.duration,
        )
        recordings.setdefault(int(times.recording_N[number]), []).append(placed)
    return CheckedRecordings(
        tuple(tuple(sorted(clips, key=lambda clip: (clip.offset, clip.name))) for clips in recordings.values())
    )
