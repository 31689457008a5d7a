"""Where packs lie, and whether one is what its dataset is now."""

from __future__ import annotations

import errno
import hashlib
import os
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
"""Place of a clip's video in its row of `sources`, before its recording."""
ABSENT = (NOTHING.size, NOTHING.changed)


def cache_folder(root: Path) -> Path:
    """Where the pack of a dataset lies whose folder cannot be written to."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    resolved = root.resolve()
    digest = hashlib.sha256(str(resolved).encode()).hexdigest()[:12]
    return Path(base) / "revalexo_clip" / f"{resolved.name}-{digest}"


def default_path(root: Path) -> Path:
    """Where the pack of a dataset is written: into its folder, or, where that is read-only, the cache folder."""
    probe = root / f".{os.getpid()}-{NAME}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise DataError(f"{root}: cannot be written to: {error.strerror}") from error
        return cache_folder(root) / NAME
    return root / NAME


def find_pack(
    root: Path, subjects: Iterable[str] | None = None, *, video: bool = True
) -> tuple[PackTables | None, str | None]:
    """The pack of a dataset that is up to date; or None, and what is wrong with the one that there is, if any.

    See `out_of_date`.
    """
    wrong = None
    for path in (root / NAME, cache_folder(root) / NAME):
        if not path.exists():
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
    """What has changed since a dataset was packed; None where nothing has.

    JSON files are compared by content. The clips' files, of all subjects or of some, are compared by size and time;
    only one whose time alone has changed, as copying does it, is read. Without `video`, videos are not looked at.
    Raises `DataError` where a JSON file cannot be read.
    """
    digests = digests_of(root)
    for name in sorted({*digests, *pack.about.digests}):
        if digests.get(name) != pack.about.digests.get(name):
            if name not in digests:
                return f"{root / name} is gone"
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
                return f"{root / name} {'is gone' if found == ABSENT else 'was changed'}"
    return None


def _look(path: str) -> tuple[int, int]:
    """Size [bytes] and time of the last change [ns]."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of hundreds of thousands of files, before every run
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
