"""Checking a whole dataset, for `rxclip check-data`: its JSON files, each clip, and comparisons between clips."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.text import counted
from revalexo_clip.data.imu import channel_difference
from revalexo_clip.data.revalexo.check.clip import ClipCheck, check_clip
from revalexo_clip.data.revalexo.check.description import ClipFiles, check_description
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.layout import CHANNELS, IMU_RATE


@dataclass(frozen=True)
class Findings:
    """All problems of a dataset, and its size."""

    problems: tuple[Problem, ...]
    """Sorted by kind, then by file."""
    clips: int
    seconds: float
    """Total duration of all clips with a valid description [s]."""
    subjects: tuple[str, ...]
    subjects_without_video: tuple[str, ...]
    """Subjects that have only IMU recordings."""


def check_dataset(
    root: Path,
    *,
    channels: Sequence[str],
    imu_rate: float,
    subjects: Collection[str] | None = None,
    min_duration: float = 0.0,
    video: bool = True,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Findings:
    """Read every file of a dataset once, and return all problems.

    Only clips of the given subjects (default: all) and of at least `min_duration` [s] are read. If `video` is False,
    only IMU recordings are read, and clips need no video.

    `channels` are glob patterns, `imu_rate` is in Hz. `processes` defaults to the number of cores; `on_progress(done,
    total)` counts clips. Raises `DataError` only if a worker process dies.
    """
    described = check_description(root, subjects, min_duration, video=video)
    checked = _check_clips(described.clips, channels, imu_rate, processes or len(os.sched_getaffinity(0)), on_progress)
    checked.sort(key=lambda each: each.clip.name)
    problems = [
        *described.problems,
        *(problem for each in checked for problem in each.problems),
        *_other_channels(checked),
        *_shared(described.clips),
        *_duplicates(checked),
    ]
    return Findings(
        problems=tuple(sorted(problems, key=lambda problem: problem.order)),
        clips=len(described.clips) + len(described.bad_clips),
        seconds=sum(clip.duration for clip in described.clips),
        subjects=tuple(sorted(described.with_video + described.without_video)),
        subjects_without_video=tuple(described.without_video),
    )


def _check_clips(
    clips: Sequence[ClipFiles],
    channels: Sequence[str],
    imu_rate: float,
    processes: int,
    on_progress: OnProgress | None,
) -> list[ClipCheck]:
    report = on_progress or (lambda done, total: None)
    report(0, len(clips))
    found: list[ClipCheck] = []
    if processes == 1 or len(clips) < 2:
        for clip in clips:
            found.append(check_clip(clip, channels, imu_rate))
            report(len(found), len(clips))
        return found
    # Use spawn, because a fork of a process that has started threads (torch, a progress bar) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(clips)), mp_context=context) as pool:
        futures = [pool.submit(check_clip, clip, channels, imu_rate) for clip in clips]
        try:
            for future in as_completed(futures):
                found.append(future.result())
                report(len(found), len(clips))
        except BrokenProcessPool as error:
            read = {each.clip.name for each in found}
            left = next(clip for clip in clips if clip.name not in read)
            raise DataError(
                f"{left.video or left.imu}: a worker process died while it read this clip or one of the next; "
                "run `rxclip check-data --jobs 1` to find out which"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return found


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


@dataclass(frozen=True)
class DataCheck:
    """Result of checking a dataset."""

    root: Path
    findings: Findings

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, sorted by kind, then by file."""
        return self.findings.problems

    def count(self, severity: str) -> int:
        """Return the number of problems of a severity."""
        return sum(problem.severity == severity for problem in self.problems)

    def summary(self) -> str:
        """Return one line with the size of the dataset and the number of problems."""
        found = self.findings
        size = (
            f"{counted(found.clips, 'clip')}, {found.seconds / 3600:.2f} h, {counted(len(found.subjects), 'subject')}"
        )
        if found.subjects_without_video:
            size += f" ({len(found.subjects_without_video)} without video)"
        if not self.problems:
            return f"{self.root}: {size}: no problems found"
        files = len({problem.file for problem in self.problems})
        wrong = f"{counted(self.count('error'), 'error')} and {counted(self.count('warning'), 'warning')}"
        return f"{self.root}: {size}: {wrong} in {counted(files, 'file')}"

    def to_json(self) -> JsonObject:
        """Return the output of `--json`. Existing names must not change; new ones may be added."""
        found = self.findings
        return {
            "root": str(self.root),
            "clips": found.clips,
            "hours": found.seconds / 3600,
            "subjects": list(found.subjects),
            "subjects_without_video": list(found.subjects_without_video),
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "problems": [
                {
                    "severity": problem.severity,
                    "kind": problem.kind,
                    "file": str(problem.file),
                    "clip": problem.clip,
                    "message": problem.message,
                }
                for problem in self.problems
            ],
        }


def check_data(
    root: Path,
    *,
    channels: Sequence[str] = CHANNELS,
    imu_rate: float = IMU_RATE,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> DataCheck:
    """Read every file of a dataset once, and return all problems.

    `channels` are glob patterns, `imu_rate` is in Hz; `processes` defaults to the number of cores. Raises
    `ConfigError` if the folder does not exist, or if `imu_rate` is not positive.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: there is no such dataset folder")
    if imu_rate <= 0:
        raise ConfigError(f"--imu-rate: must be positive, not {imu_rate:g} Hz")
    findings = check_dataset(root, channels=channels, imu_rate=imu_rate, processes=processes, on_progress=on_progress)
    return DataCheck(root, findings)
