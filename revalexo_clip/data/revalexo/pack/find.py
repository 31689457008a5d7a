"""Locating packs, and checking whether a pack is up to date."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.revalexo.pack.file import PackError, PackTables
from revalexo_clip.data.revalexo.pack.part import NOTHING
from revalexo_clip.data.revalexo.pack.write import digests_of
from revalexo_clip.data.subjects import select_subjects

NAME = "rxclip-pack.h5"
VIDEO = 0
"""Column of the video in `sources`; the IMU recording is the next one."""
ABSENT = (NOTHING.size, NOTHING.changed)


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


def find_pack(
    root: Path, subjects: Iterable[str] | None = None, *, video: bool = True
) -> tuple[PackTables | None, str | None]:
    """Return a dataset's pack if it is up to date; otherwise None and the problem of the existing pack, if any.

    See `out_of_date`.
    """
    wrong = None
    for path in (root / NAME, cache_folder(root) / NAME):
        if not os.path.exists(path):  # noqa: PTH110 - False also if the cache folder is not accessible
            continue
        try:
            pack = PackTables(path)
        except PackError as error:
            wrong = wrong or str(error)
            continue
        changed = out_of_date(pack, root, subjects, video=video)
        if changed is None:
            return pack, None
        wrong = wrong or f"{path}: is out of date: {changed}"
    return None, wrong


def out_of_date(
    pack: PackTables, root: Path, subjects: Iterable[str] | None = None, *, video: bool = True
) -> str | None:
    """Describe what has changed since a dataset was packed; None if nothing has.

    JSON files are compared by content. The clips' files, of the given subjects (default: all), are compared by size and
    modification time; a file is read only if its size is the same but its time differs, as after copying. If `video` is
    False, videos are ignored. Raises `DataError` if a JSON file cannot be read.
    """
    digests = digests_of(root)
    for name in sorted({*digests, *pack.about.digests}):
        if digests.get(name) != pack.about.digests.get(name):
            if name not in digests:
                return f"{root / name} is missing"
            return f"{root / name} was {'changed' if name in pack.about.digests else 'added'}"
    size_N2, changed_N2 = pack.ints("sources/size").tolist(), pack.ints("sources/changed").tolist()
    for clip in _clips_of(pack, root, subjects):
        names = pack.about.videos[clip], pack.about.imus[clip]
        for which, name in enumerate(names):
            if which == VIDEO and not video:
                continue
            size = size_N2[clip][which]
            found = _look(f"{root}/{name}") if name else ABSENT
            if found == (size, changed_N2[clip][which]):
                continue
            if found[0] != size or not _same(pack, clip, which, root / name):
                return f"{root / name} {'is missing' if found == ABSENT else 'was changed'}"
    return None


def _look(path: str) -> tuple[int, int]:
    """Return size [bytes] and modification time [ns]."""
    try:
        status = os.stat(path)  # noqa: PTH116 - faster, for hundreds of thousands of files before every run
    except OSError:
        return ABSENT
    return status.st_size, status.st_mtime_ns


def _clips_of(pack: PackTables, root: Path, subjects: Iterable[str] | None) -> list[int]:
    if subjects is None:
        return list(range(len(pack)))
    numbers = [pack.about.subjects.index(name) for name in select_subjects([*subjects], pack.about.subjects, root)]
    return [int(clip) for clip in np.flatnonzero(np.isin(pack.ints("clips/subject"), numbers))]


def _same(pack: PackTables, clip: int, which: int, path: Path) -> bool:
    digest = pack.tables["sources/sha256"][clip, which].tobytes()
    try:
        return bool(any(digest)) and sha256_of(path) == digest.hex()
    except OSError:
        return False
