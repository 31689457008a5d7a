"""What an operating system offers, and what is done where it offers less.

Linux, macOS and Windows differ in the names below. No other module uses such a name (`tests/core/test_platform.py`
compares with the type stubs of the standard library), so everything else is the same on each of them.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from types import ModuleType


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_FCNTL = _module("fcntl")
_RESOURCE = _module("resource")
_STATUS = Path("/proc/self/status")
_ONE_AT_A_TIME = threading.Lock()
_RELEASED_IN_FORKS: set[int] = set()


def cpu_count() -> int:
    """Return the number of CPUs that this process may use, or that the machine has, if the system cannot tell."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def existing_signals(*names: str) -> tuple[signal.Signals, ...]:
    """Return those of some signals that exist; Windows has no SIGUSR1, for example."""
    return tuple(signal.Signals[name] for name in names if hasattr(signal, name))


def send_signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process. On Windows, Ctrl-C reaches all processes of a console by itself; SIGTERM ends it."""
    if sys.platform != "win32" or number == signal.SIGTERM:
        process.send_signal(number)


def flock(descriptor: int, *, wait: bool) -> None:
    """Lock an open file or folder until it is closed. Raises `OSError` with ENOLCK on Windows.

    Raises `BlockingIOError` if another process holds the lock, unless `wait`.
    """
    if _FCNTL is None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    _FCNTL.flock(descriptor, _FCNTL.LOCK_EX if wait else _FCNTL.LOCK_EX | _FCNTL.LOCK_NB)


def release_in_forks(descriptor: int) -> None:
    """Let processes that this one forks from now on not keep the lock of an open file. Windows does not fork."""
    _watch_forks()
    _RELEASED_IN_FORKS.add(descriptor)


def keep_in_forks(descriptor: int) -> None:
    """Undo `release_in_forks`; to be called before the file is closed, because its number may be used again."""
    _RELEASED_IN_FORKS.discard(descriptor)


@cache
def _watch_forks() -> None:
    if register := getattr(os, "register_at_fork", None):
        register(after_in_child=_release)


def _release() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor in _RELEASED_IN_FORKS:  # stays open, because an object may close it later
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
    _RELEASED_IN_FORKS.clear()


def open_folder(folder: Path) -> int | None:
    """Open a folder to lock or flush it; return its descriptor, or None on Windows, where folders cannot be opened."""
    directory: int | None = getattr(os, "O_DIRECTORY", None)
    return None if directory is None else os.open(folder, os.O_RDONLY | directory)


def open_binary(path: Path) -> int:
    """Open a file for reading bytes, and return its descriptor, which child processes do not inherit."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # else Windows translates line ends


def read_at(descriptor: int, count: int, offset: int) -> bytes:
    """Read bytes at an offset of an open file. Threads may do so at the same time.

    Forked processes may too, except on Windows, which neither forks nor has a read that leaves the position alone.
    """
    pread = getattr(os, "pread", None)
    if pread:
        return bytes(pread(descriptor, count, offset))
    with _ONE_AT_A_TIME:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, count)


def flush_file(path: Path) -> None:
    """Flush the content of a file to the disk."""
    with path.open("r+b" if sys.platform == "win32" else "rb") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())


def peak_memory() -> int | None:
    """Return the peak main memory of this process [bytes]; None on Windows, where it is not known.

    On Linux, the peak that `getrusage` gives may be that of the process that started this one.
    """
    if _RESOURCE is None:
        return None
    if _STATUS.exists():
        peak = _STATUS.read_text(encoding="utf-8").partition("VmHWM:")[2].split()
        if peak:
            return int(peak[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return int(_RESOURCE.getrusage(_RESOURCE.RUSAGE_SELF).ru_maxrss) * unit
