"""Writing a file beside its parts, by one process at a time as far as the file system has locks: for motion files."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError, lock, sync_folder
from revalexo_clip.core.platform import cpu_count, flush_file, open_folder

CLIPS_PER_PROCESS = 4
"""Minimum number of clips per process: with fewer, starting a process takes longer than it saves."""

log = logging.getLogger("revalexo_clip")

ASSEMBLED = "assembled-"
"""First part of the name of the incomplete file in the parts folder."""

PATIENCE = 10.0
"""Timeout for the lock of a file [s]. After a process is killed, its workers still finish their clips."""


class BusyError(DataError):
    """Another process is writing the same motion file, or is pruning the pack."""


def cores(clips: int) -> int:
    """Return the number of processes for a number of clips, at most one for each core."""
    return max(1, min(cpu_count(), clips // CLIPS_PER_PROCESS))


def parts_of(path: Path) -> Path:
    """Return the folder for the parts of a motion file."""
    return path.with_name(f"{path.name}.parts")


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
