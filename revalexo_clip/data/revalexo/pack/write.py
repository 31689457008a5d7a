"""Writing the pack of a dataset: first one part per clip, in several processes, then all parts in one file.

If it is killed, there is either a complete pack or none, and finished parts are reused.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError, lock, sha256_of, sync_folder
from revalexo_clip.core.platform import cpu_count, flush_file, open_folder
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.index import read_subjects
from revalexo_clip.data.revalexo.pack.assemble import DatasetDescription, assemble
from revalexo_clip.data.revalexo.pack.part import Job, PackSettings, read_part
from revalexo_clip.data.revalexo.pack.workers import write_parts

CLIPS_PER_PROCESS = 4
"""Minimum number of clips per process: with fewer, starting a process takes longer than it saves."""

log = logging.getLogger("revalexo_clip")

ASSEMBLED = "assembled-"
"""First part of the name of the incomplete pack in the parts folder."""

PATIENCE = 10.0
"""Timeout for the lock of a pack [s]. After a process is killed, its workers still finish their clips."""


class BusyError(DataError):
    """Another process is writing the same pack or motion file."""


def write_pack(
    root: Path,
    path: Path,
    settings: PackSettings,
    *,
    processes: int | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[str, ...]:
    """Write the pack of the dataset in `root` to `path`. The same sources and settings give the same bytes.

    Returns the problems of the clips and subjects that are left out. Raises `DataError` for the first problem unless
    `skip_bad`, `WriteError` if the pack cannot be written, and `BusyError` if another process is writing it.
    `processes` defaults to the number of cores.
    """
    described, problems = describe(root, skip_bad=skip_bad)
    parts_folder = parts_of(path)
    with held(parts_folder) as descriptor:
        jobs = _jobs(described, parts_folder, settings)
        with closing(write_parts(jobs, processes or cores(len(jobs)), descriptor)) as written:
            wrong = _wrong(written, len(jobs), skip_bad, on_progress or (lambda done, total: None))
        parts = [None if job.part in wrong else read_part(job.part) for job in jobs]
        for job, part in zip(jobs, parts, strict=True):
            if part is None and job.part not in wrong:
                raise WriteError(f"{job.part}: was removed or changed since it was written; pack again")
        temporary = incomplete(parts_folder)
        try:
            assemble(temporary, described, parts, settings)
            move(temporary, path)
        except OSError as error:
            raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error
        shutil.rmtree(parts_folder, ignore_errors=True)
    return (*problems, *(problem for _, problem in sorted(wrong.items())))


def discard_parts(path: Path) -> None:
    """Remove the parts that a process left if it was killed after it had completed the pack."""
    if parts_of(path).exists():
        with suppress(BusyError, WriteError), held(parts_of(path)):
            shutil.rmtree(parts_of(path), ignore_errors=True)


def parts_of(path: Path) -> Path:
    """Return the folder for the parts of a pack."""
    return path.with_name(f"{path.name}.parts")


def describe(root: Path, *, skip_bad: bool = False) -> tuple[DatasetDescription, tuple[str, ...]]:
    """Read the JSON files of a dataset; return also the problems of the subjects that are left out.

    Raises `DataError` if the dataset is invalid or, unless `skip_bad`, a subject is.
    """
    layout.read_label_mapping(root)
    files = layout.subject_files(root)
    digests = digests_of(root)
    unreadable: dict[str, str] = {}
    try:
        index = read_subjects(root, files)
    except DataError:
        if not skip_bad:
            raise
        unreadable = _unreadable(root, files)
        index = read_subjects(root, {subject: own for subject, own in files.items() if subject not in unreadable})
    if not len(index):
        raise DataError("\n".join(unreadable.values()) or f"{root}: has no clips")
    described = DatasetDescription(
        index=index,
        subjects=tuple(files),
        described_by=tuple(tuple(file.relative_to(root).as_posix() for file in own) for own in files.values()),
        unreadable=tuple(unreadable),
        digests=digests,
    )
    return described, tuple(unreadable.values())


def _unreadable(root: Path, files: Mapping[str, tuple[Path, ...]]) -> dict[str, str]:
    """Return the problem of each subject with an invalid JSON file."""
    wrong = {}
    for subject, own in files.items():
        try:
            read_subjects(root, {subject: own})
        except DataError as error:
            wrong[subject] = str(error)
    return wrong


def digests_of(root: Path) -> dict[str, str]:
    """Compute the SHA-256 of all JSON files, by path relative to the root."""
    paths = [root / layout.LABEL_MAPPING, *sorted((root / layout.DATA_PAIRS).glob("*.json"))]
    try:
        return {path.relative_to(root).as_posix(): sha256_of(path) for path in paths}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _jobs(described: DatasetDescription, folder: Path, settings: PackSettings) -> list[Job]:
    index = described.index
    return [
        Job(
            video=index.video(clip) if index.video_N[clip] else None,
            imu=index.imu(clip),
            settings=settings,
            part=folder / f"{clip:06d}.npz",
        )
        for clip in range(len(index))
    ]


def cores(clips: int) -> int:
    """Return the number of processes for a number of clips, at most one for each core."""
    return max(1, min(cpu_count(), clips // CLIPS_PER_PROCESS))


def _wrong(written: Iterator[tuple[Job, str | None]], total: int, skip: bool, report: OnProgress) -> dict[Path, str]:
    """Return the problem of each clip without a part, by the part's path."""
    wrong: dict[Path, str] = {}
    for done, (job, problem) in enumerate(written, start=1):
        if problem is not None:
            if not skip:
                raise DataError(problem)
            wrong[job.part] = problem
        report(done, total)
    return wrong


@contextmanager
def held(folder: Path) -> Iterator[int | None]:
    """Create and lock the parts folder; yield the lock, which processes that inherit it keep until they exit.

    On Windows, folders have no locks, and None is yielded.
    """
    try:
        descriptor, alone = _locked(folder)
        leftovers = [*folder.glob(".*"), *folder.glob(f"{ASSEMBLED}*")] if alone else []
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written: {error.strerror or error}") from error
    for leftover in leftovers:
        with suppress(OSError):  # such as the files that NFS keeps while another process has them open
            leftover.unlink()
    try:
        yield descriptor
    except WriteError:
        if alone:
            shutil.rmtree(folder, ignore_errors=True)  # the disk may be full, so free the space
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path) -> tuple[int | None, bool]:
    """Return the open parts folder, and whether it is locked: Windows and some file systems have no such locks."""
    give_up = time.monotonic() + PATIENCE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = open_folder(folder)
        if descriptor is None:
            _warn_of_no_locks(folder.parent)
            return None, False
        with suppress(BlockingIOError, FileNotFoundError):
            alone = lock(descriptor, wait=False)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                if not alone:
                    _warn_of_no_locks(folder.parent)
                return descriptor, alone
        os.close(descriptor)  # another process holds the lock, or has removed the folder
        if time.monotonic() > give_up:
            raise BusyError(f"{folder}: another process is writing to it; wait for it, or stop it")
        time.sleep(0.1)


@cache
def _warn_of_no_locks(folder: Path) -> None:
    log.warning("%s: the file system has no locks: runs that start at once may do the same work twice", folder)


def incomplete(folder: Path) -> Path:
    """Return the path of this process's incomplete file in a parts folder, which others may use if it has no lock."""
    return folder / f"{ASSEMBLED}{platform.node()}-{os.getpid()}"


def move(temporary: Path, path: Path) -> None:
    """Move a complete file to its place, so that it is there or not even after a crash."""
    flush_file(temporary)
    temporary.replace(path)
    sync_folder(path.parent)
