"""Atomic file writes and content checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.platform import flock, flush_file, open_folder

# How unpickling fails depends on the bytes in the file: an HTML page saved as a checkpoint raises an UnpicklingError,
# a truncated file a RuntimeError or an EOFError, other files a lookup or conversion error.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    struct.error,
)
"""What `torch.load` raises if a file is not a checkpoint or is truncated."""


class WriteError(DataError):
    """A file could not be written."""


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` to write to; it replaces `path` if the block ends without an error.

    After a crash, `path` is either the old file or the complete new one. Creates the folder if it does not exist.
    Raises `WriteError`, naming the file, if it cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush_file(temporary)
        temporary.replace(path)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check that `path` can be written, before work whose result belongs there. Creates the folder.

    Raises `WriteError`, naming the file.
    """
    if path.is_dir():
        raise WriteError(f"{path}: cannot be written: it is a folder")
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file or folder against other processes until it is closed; return False if that is impossible.

    Windows and some network file systems have no locks. Raises `BlockingIOError` if another process holds the lock,
    unless `wait`.
    """
    try:
        flock(descriptor, wait=wait)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk, on systems and file systems that can do so."""
    descriptor = open_folder(folder)
    if descriptor is None:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def checked_folder(folder: Path) -> Path:
    """Return an output folder, which need not exist. Raises `ConfigError` if it is a file."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; --out must name a folder")
    return folder


def check_new(path: Path, suffixes: Sequence[str]) -> None:
    """Raise `ConfigError` if an output file exists, or its name has none of these suffixes."""
    if path.suffix not in suffixes:
        raise ConfigError(f"--out {path}: the name must end in {' or '.join(suffixes)}")
    if path.exists():
        raise ConfigError(f"--out {path}: exists already; nothing is overwritten")


def link_atomically(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source` atomically (a copy if the file system has no hard links)."""
    if target.exists() and target.samefile(source):
        return
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file atomically. Raises `ValueError` if a number is not finite."""
    with atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
