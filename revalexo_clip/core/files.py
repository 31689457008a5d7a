"""Files that are whole whenever they bear their name, and that are told apart by what they hold."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from revalexo_clip.core.errors import DataError

# Unpickling fails in whichever way the bytes that it met lead to: an HTML page saved as a checkpoint ends in an
# UnpicklingError, a truncated file in a RuntimeError or an EOFError, others in a lookup or a conversion.
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
"""What `torch.load` raises for a file that is no checkpoint, or not a whole one."""


class WriteError(DataError):
    """The disk refuses a file."""


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to; it takes the place of `path` when the block ends without an error.

    A crash leaves the old file or the new one, never half of either. The folder is made. Raises `WriteError`, naming
    the file, where the disk refuses it.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def link_atomically(source: Path, target: Path) -> None:
    """Make `target` the same file as `source` in one step (a copy where the file system has no hard links)."""
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
    """Digest of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file atomically. Raises `ValueError` if a number is not finite."""
    with atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
