"""Locating the motion file of a dataset, and making it.

If it is killed, there is either a complete motion file or none, and videos that are already measured are kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Collection
from contextlib import closing
from functools import cache
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.revalexo.motion.file import Measured, MotionTables, write_motion_file
from revalexo_clip.data.revalexo.motion.measure import MeasureJob, Part, read_part
from revalexo_clip.data.revalexo.pack.choose import wait_for
from revalexo_clip.data.revalexo.pack.describe import describe
from revalexo_clip.data.revalexo.pack.exclusive import BusyError, cores, held, incomplete, move, parts_of
from revalexo_clip.data.revalexo.pack.file import PackError
from revalexo_clip.data.revalexo.pack.find import cache_folder, writable_folder
from revalexo_clip.data.revalexo.pack.stamps import stamp
from revalexo_clip.data.revalexo.pack.workers import write_parts

log = logging.getLogger("revalexo_clip")


def file_name(motion: Motion) -> str:
    """Return the name of the motion file of a measurement."""
    return f"rxclip-motion-{motion.measurement}.h5"


def find_motion(
    root: Path, motion: Motion, videos: Collection[str] | None = None, beside: Path | None = None
) -> MotionTables | None:
    """Return a dataset's motion file if it has some videos (default: all), as they are now; otherwise None.

    `beside` is another folder to look in. If the dataset's own folder is missing, videos are not compared.
    """
    if videos is None:
        videos = videos_of(root)
    for folder in (root, cache_folder(root), *([beside] if beside else ())):
        path = folder / file_name(motion)
        if not os.path.exists(path):  # noqa: PTH110 - False also if the cache folder is not accessible
            continue
        try:
            tables = MotionTables(path, motion)
        except PackError as error:
            _warn(f"motion not used: {error}")
            continue
        if root.is_dir():
            usable = all(tables.is_current(root, video) for video in videos)
        else:
            usable = all(video in tables.number for video in videos)
        if usable:
            return tables
    return None


@cache
def _warn(message: str) -> None:
    """Log a warning once, although it applies to several datasets of one run."""
    log.warning("%s", message)


def videos_of(root: Path) -> frozenset[str]:
    """Return all videos of a dataset, relative to its root. Raises `DataError` if the dataset is invalid."""
    described, _ = describe(root, skip_bad=True)
    return frozenset(str(video) for video in described.index.video_N if video)


def prepare_motion(root: Path, motion: Motion, on_progress: OnProgress, *, leader: bool) -> None:
    """Make the motion file of a dataset, or wait until the leader of the run, or another run, has made it.

    Raises `WriteError` if it cannot be written.
    """
    if leader:
        make_motion(root, motion, on_progress)
        return
    paths = [folder / file_name(motion) for folder in (root, cache_folder(root))]
    wait_for(lambda: find_motion(root, motion) is not None, paths)


def make_motion(root: Path, motion: Motion, on_progress: OnProgress = no_progress) -> None:
    """Make the motion file of a dataset unless it is up to date; if another process makes it, wait for it.

    Videos that cannot be measured are logged; reading their windows fails. Raises `WriteError` if the file cannot be
    written, and `DataError` if the dataset is invalid.
    """
    folders = list(dict.fromkeys((writable_folder(root), cache_folder(root))))
    announced = False
    while find_motion(root, motion) is None:
        path = folders[0] / file_name(motion)
        if not announced:
            log.info("motion %s: measured once", path)
            announced = True
        try:
            problems = write_motion(root, path, motion, on_progress=on_progress)
        except BusyError:
            time.sleep(1)
            continue
        except WriteError as error:
            if find_motion(root, motion) is not None:  # without locks, another process may have been faster
                return
            if len(folders) == 1:
                raise
            log.warning("motion is kept in the cache folder instead: %s", error)
            del folders[0]
            announced = False
            continue
        for problem in problems:
            log.warning("not measured: %s", problem)
        return


def write_motion(
    root: Path, path: Path, motion: Motion, *, processes: int | None = None, on_progress: OnProgress = no_progress
) -> tuple[str, ...]:
    """Measure all videos of a dataset into a motion file; return the problems of those that could not be measured.

    Videos that the file already holds are not measured again. Raises `WriteError` if it cannot be written, and
    `BusyError` if another process is writing it. `processes` defaults to the number of cores.
    """
    videos, folder = sorted(videos_of(root)), parts_of(path)
    with held(folder) as lock:
        before = _opened(path, motion)
        measured: dict[str, Measured] = {}
        jobs: list[MeasureJob] = []
        for video in videos:
            kept = _kept(before, root, video) if before else None
            if kept is not None:
                measured[video] = kept
            else:
                part = folder / f"{hashlib.sha256(video.encode()).hexdigest()[:32]}.npz"
                jobs.append(MeasureJob(part=part, video=root / video, settings=motion))
        problems = {}
        with closing(write_parts(jobs, processes or cores(len(jobs)), lock)) as written:
            for done, (job, problem) in enumerate(written, start=1):
                if problem is not None:
                    problems[job.video] = problem
                on_progress(done, len(jobs))
        for job in jobs:
            video = job.video.relative_to(root).as_posix()
            measured[video] = _result(job, problems.get(job.video))
        temporary = incomplete(folder)
        try:
            write_motion_file(temporary, motion, measured)
            move(temporary, path)
        except OSError as error:
            raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error
        shutil.rmtree(folder, ignore_errors=True)
    return tuple(problems[video] for video in sorted(problems))


def _result(job: MeasureJob, problem: str | None) -> Measured:
    if problem is not None:
        return Measured(stamp(job.video), 0, problem, None)
    part = _part(job)
    return Measured(part.info.stamp, len(part.track.edge_E), "", lambda: _part(job).track)


def _part(job: MeasureJob) -> Part:
    part = read_part(job.part)
    if part is None:
        raise WriteError(f"{job.part}: was removed or changed since it was written; start again")
    return part


def _opened(path: Path, motion: Motion) -> MotionTables | None:
    try:
        return MotionTables(path, motion) if path.exists() else None
    except PackError:
        return None


def _kept(tables: MotionTables, root: Path, video: str) -> Measured | None:
    """Return the motion of a video from an older motion file, unless it has changed or could not be measured."""
    if not tables.is_current(root, video) or tables.problem(video):
        return None
    try:
        edge_E = tables.edges(video)
        tables.track(video, edge_E, 0, len(edge_E) - 1)
    except DataError:  # corrupt: it is measured again
        return None
    known, pairs = tables.stamps[tables.number[video]], len(edge_E) - 1
    now = stamp(root / video).model_copy(update={"sha256": known.sha256})
    return Measured(now, len(edge_E), "", lambda: tables.track(video, tables.edges(video), 0, pairs))
