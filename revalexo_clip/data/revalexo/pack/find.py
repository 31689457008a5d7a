"""Locating packs, and checking whether a pack is up to date."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.revalexo.pack.current import KINDS, Current, find_current, names_of, problem_of, seen_in
from revalexo_clip.data.revalexo.pack.describe import describe
from revalexo_clip.data.revalexo.pack.file import PackError
from revalexo_clip.data.revalexo.pack.folder import STAMPS, Pack, open_pack
from revalexo_clip.data.revalexo.pack.stamps import Stamps, encoded, read_stamps, write_stamps

NAME = "rxclip-pack"
FRESH = 60.0
"""Time for which the files of a dataset are not looked at again [s]."""
OLD_NAME = "rxclip-pack.h5"
"""File name of packs of formats before 4."""


def cache_folder(root: Path) -> Path:
    """Return the folder for the pack of a dataset whose own folder is read-only."""
    base = os.environ.get("XDG_CACHE_HOME") or _home() / ".cache"
    resolved = root.resolve()
    digest = hashlib.sha256(str(resolved).encode()).hexdigest()[:12]
    return Path(base) / "revalexo_clip" / f"{resolved.name}-{digest}"


def _home() -> Path:
    """Return the home folder; a user without one, as in some containers, has the folder for temporary files."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())


def default_path(root: Path) -> Path:
    """Return the path that a dataset's pack is written to: in its folder, or in the cache folder if it is read-only."""
    return writable_folder(root) / NAME


def writable_folder(root: Path) -> Path:
    """Return a dataset's own folder, or its cache folder if no file can be made in its own."""
    probe = root / f".{os.getpid()}-{NAME}"
    try:
        probe.touch()
        probe.unlink()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{root}: cannot be written to: {error.strerror}") from error
    except OSError:  # read-only, over its quota, full, or a network file system that fails
        return cache_folder(root)
    return root


class OutOfDateError(PackError):
    """The pack does not have all files of the dataset as they are now."""


@dataclass(frozen=True)
class Found:
    """A pack and the files of some clips in it."""

    pack: Pack
    index: ClipIndex
    current: Current


def find_pack(root: Path) -> tuple[Found | None, str | None]:
    """Return a dataset's pack if it has all clips as they are now; otherwise None and the problem of the pack, if any.

    See `find_clips`. Subjects whose JSON files are invalid are ignored.
    """
    wrong, described = None, None
    for path in (root / NAME, cache_folder(root) / NAME):
        if not os.path.exists(path):  # noqa: PTH110 - False also if the cache folder is not accessible
            continue
        try:
            pack = open_pack(path)
            described = described or describe(root, skip_bad=True)[0].index
            return find_clips(pack, described), None
        except PackError as error:
            wrong = wrong or str(error)
    return None, wrong or older_pack(root)


@dataclass
class LastLook:
    """What is known of the files of a dataset since a moment ago, so that a run looks at each file once.

    All are equal: pydantic compares private attributes too, and datasets with the same fields are equal.
    """

    _seen: tuple[float, Stamps] | None = field(default=None, init=False, compare=False)

    def finds_pack(self, root: Path) -> bool:
        """Look at all files of a dataset, and return whether its pack has all clips as they are now."""
        found, _ = find_pack(root)
        self._seen = None if found is None else (time.monotonic(), seen_in(found.current, found.index))
        return found is not None

    def seen(self) -> Stamps | None:
        """Return sizes and times of the files, unless they were looked at more than `FRESH` s ago."""
        if self._seen is not None and time.monotonic() - self._seen[0] > FRESH:
            self._seen = None
        return None if self._seen is None else self._seen[1]


def older_pack(root: Path) -> str | None:
    """Return what to do about a pack of the formats that were one file."""
    path = next((path for path in (root / OLD_NAME, cache_folder(root) / OLD_NAME) if os.path.isfile(path)), None)  # noqa: PTH113 - as above
    if path is None:
        return None
    try:
        open_pack(path)
    except PackError as error:
        return f"{error}; then delete the old file"
    return None


def find_clips(pack: Pack, index: ClipIndex, *, seen: Stamps | None = None) -> Found:
    """Find the clips of an index in a pack.

    Files are compared by size and modification time with those that were packed, and read only if the size is the same
    but the time differs, as after copying; what is found then is kept in the pack, or in the cache folder if the pack
    is read-only. For `seen`, see `find_current`. Raises `OutOfDateError` if the pack does not have a file as it is now,
    and `PackError` if the dataset is missing and the pack has several files in place of one.
    """
    stamps = read_stamps(pack.path, index.root, cache_folder(index.root), pack.stamps)
    if not index.root.is_dir():
        _check_one_dataset(pack, stamps, index)
    current = find_current(pack, stamps, index, seen=seen)
    if len(current.new.path_R):
        _keep(pack, index.root, current.new)
    problem = problem_of(pack, stamps, index, current)
    if problem is not None:
        raise OutOfDateError(f"{pack.path}: is out of date: {problem}")
    return Found(pack, index, current)


def _check_one_dataset(pack: Pack, stamps: Stamps, index: ClipIndex) -> None:
    for kind in KINDS:
        name = stamps.ambiguous(encoded(names_of(index, kind)))
        if name is not None:
            raise PackError(
                f"{pack.path}: has several files named {name}, of datasets in different folders or packed at different "
                f"times, and {index.root} is missing; restore it, or pack each dataset into a pack of its own (--out)"
            )


def _keep(pack: Pack, root: Path, new: Stamps) -> None:
    """Keep stamps, so that files are not read again at the next start."""
    for folder in (pack.path / STAMPS, cache_folder(root) / STAMPS):
        with suppress(OSError):
            write_stamps(folder, root, new)
            return
