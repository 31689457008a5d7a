"""Checking a whole dataset: its JSON files, each clip, and comparisons between clips."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.platform import cpu_count
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.axes import merged
from revalexo_clip.data.imu import channel_difference
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.revalexo.check.clip import ClipCheck, Settings, check_clip
from revalexo_clip.data.revalexo.check.description import ClipFiles, check_description
from revalexo_clip.data.revalexo.check.findings import Findings
from revalexo_clip.data.revalexo.check.packed import changed_content
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.check.shared import (
    SubjectRows,
    compare_rows,
    placement_problems,
    recordings_of,
    times_of,
)
from revalexo_clip.data.revalexo.clocked import Clock, offset_of
from revalexo_clip.data.revalexo.timing import late_clock
from revalexo_clip.data.sensor_motion import unlike_sensors


def check_dataset(
    root: Path,
    *,
    channels: Sequence[str],
    imu_rate: float,
    subjects: Collection[str] | None = None,
    min_duration: float = 0.0,
    min_common: float | None = None,
    clock: Clock | None = None,
    check_clock: bool = True,
    imu_offset: float | Mapping[str, float] = 0.0,
    video: bool = True,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Findings:
    """Read every file of a dataset once, and return all problems. IMU files are read once more to compare their rows.

    Only clips of the given subjects (default: all) and of at least `min_duration` [s] are read. Clips that are
    annotated for at least `min_common` [s] (default: `min_duration`) must have so much IMU and video in common. If
    `video` is False, only IMU recordings are read, and clips need no video.

    `channels` are glob patterns, `imu_rate` is in Hz. `clock` says how rows are placed (default: 1 / `imu_rate` apart
    from the first frame on), `imu_offset` how much later the IMU was taken [s], see `RevalExo`; with `check_clock`, a
    column that looks like a clock must agree with `imu_rate`. `processes` defaults to the number of cores;
    `on_progress(done, total)` counts clips. Raises `DataError` only if a worker process dies.
    """
    described = check_description(root, subjects, min_duration, video=video)
    offsets = {clip.imu: offset_of(clip.name, clip.subject, imu_offset, clip.imu_offset) for clip in described.clips}
    if any(offsets.values()):
        clock = replace(clock or Clock(imu_rate), offsets=offsets)
    settings = Settings(
        tuple(channels), imu_rate, clock, check_clock, min_duration if min_common is None else min_common
    )
    checked, compared = _check_clips(described.clips, settings, processes or cpu_count(), on_progress)
    checked.sort(key=lambda each: each.clip.name)
    times = times_of(checked, compared)
    problems = [
        *described.problems,
        *(problem for each in checked for problem in each.problems),
        *_other_channels(checked),
        *_shared(described.clips),
        *_duplicates(checked),
        *_late_clocks(checked, times),
        *placement_problems(compared, checked, imu_rate),
        *changed_content(root, checked),
        *_unlike_sensors(checked),
    ]
    return Findings(
        problems=tuple(sorted(problems, key=lambda problem: problem.order)),
        clips=len(described.clips) + len(described.bad_clips),
        seconds=sum(each.clip.duration for each in checked),
        subjects=tuple(sorted(described.with_video + described.without_video)),
        subjects_without_video=tuple(described.without_video),
        recordings=recordings_of(checked, times),
    )


def _check_clips(
    clips: Sequence[ClipFiles], settings: Settings, processes: int, on_progress: OnProgress | None
) -> tuple[list[ClipCheck], list[SubjectRows]]:
    """Check every clip, and compare the IMU rows of each subject's clips."""
    report = on_progress or (lambda done, total: None)
    report(0, len(clips))
    found: list[ClipCheck] = []
    subjects = [
        [clip for clip in clips if clip.subject == subject] for subject in dict.fromkeys(clip.subject for clip in clips)
    ]
    if processes == 1 or len(clips) < 2:
        for clip in clips:
            found.append(check_clip(clip, settings))
            report(len(found), len(clips))
        return found, [compare_rows(own, settings) for own in subjects]
    # Use spawn, because a fork of a process that has started threads (torch, a progress bar) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(clips)), mp_context=context) as pool:
        futures = [pool.submit(check_clip, clip, settings) for clip in clips]
        comparisons = [pool.submit(compare_rows, own, settings) for own in subjects]
        try:
            for future in as_completed(futures):
                found.append(future.result())
                report(len(found), len(clips))
            return found, [comparison.result() for comparison in comparisons]
        except BrokenProcessPool as error:
            read = {each.clip.name for each in found}
            left = next((clip for clip in clips if clip.name not in read), clips[0])
            raise DataError(
                f"{left.video or left.imu}: a worker process died while it read this clip or one of the next; "
                "run `rxclip check-data --jobs 1` to find out which"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _late_clocks(checked: Sequence[ClipCheck], times: ClipTimes) -> Iterator[Problem]:
    """Yield the clips whose own clock starts late."""
    clips = Counter(times.recording_N.tolist())
    for number, each in enumerate(checked):
        alone = not times.declared_N[number] and clips[int(times.recording_N[number])] == 1
        message = late_clock(each.first, each.clip.duration, alone=alone)
        if message is not None:
            yield Problem("late_clock", each.clip.imu, message, each.clip.name)


def _other_channels(checked: Sequence[ClipCheck]) -> Iterator[Problem]:
    """Yield the recordings whose channels differ from the most common ones (in a tie, the first)."""
    given = Counter(each.channels for each in checked if each.channels is not None)
    if len(given) < 2:
        return
    usual = given.most_common(1)[0][0]
    like = next(each.clip.imu for each in checked if each.channels == usual)
    for each in checked:
        if each.channels is not None and each.channels != usual:
            message = f"{channel_difference(each.channels, usual)} {like} and {given[usual] - 1} more"
            yield Problem("other_channels", each.clip.imu, message, each.clip.name)


def _unlike_sensors(checked: Sequence[ClipCheck]) -> Iterator[Problem]:
    """Yield the subjects with a sensor that is not worn as by the other subjects, or has other axes."""
    subjects: dict[str, list[ClipCheck]] = {}
    for each in checked:
        subjects.setdefault(each.clip.subject, []).append(each)
    for kind, subject, message in unlike_sensors(
        {name: merged([each.totals for each in own]) for name, own in subjects.items()}
    ):
        yield Problem(kind, subjects[subject][0].clip.described_by, f"{subject}: {message}")


def _shared(clips: Sequence[ClipFiles]) -> Iterator[Problem]:
    """Yield the files that more than one clip names."""
    first: dict[Path, str] = {}
    for clip in clips:
        for path in (clip.video, clip.imu):
            if path is None:
                continue
            if path in first:
                yield Problem("shared_file", path, f"is named by {first[path]} and by {clip.name}", clip.name)
            first.setdefault(path, clip.name)


def _duplicates(checked: Sequence[ClipCheck]) -> Iterator[Problem]:
    """Yield the files with the same content as another file."""
    first: dict[str, tuple[Path, str]] = {}
    for each in checked:
        for path, digest in each.digests.items():
            other, name = first.setdefault(digest, (path, each.clip.name))
            if other != path:
                message = f"has the same content as {other} ({name})"
                yield Problem("duplicate_file", path, message, each.clip.name)
