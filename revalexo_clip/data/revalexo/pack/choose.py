"""Choosing between a pack and the dataset's own files, and making a pack before training."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from revalexo_clip.core.files import WriteError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.revalexo.pack.file import PackError, PackTables
from revalexo_clip.data.revalexo.pack.find import NAME, cache_folder, default_path, find_pack, out_of_date
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.source import PackedClips
from revalexo_clip.data.revalexo.pack.write import ASSEMBLED, BusyError, parts_of, write_pack

log = logging.getLogger("revalexo_clip")

GRACE = 120.0
"""Longest time without progress that other processes wait for the leader to make a pack [s]."""


def packed_clips(
    setting: Literal["auto", "off"] | Path,
    root: Path,
    subjects: Sequence[str],
    *,
    min_duration: float,
    short_side: int | None,
    without: Collection[str] = frozenset(),
) -> PackedClips | None:
    """Return the clips of the pack that `data.pack` selects; None if the dataset's own files are to be read.

    `short_side` is that of the frames [px]; if it is None, only IMU data is needed, and videos are ignored. If a pack
    is given by path but cannot be used, `PackError` is raised; with `auto`, it is ignored with a warning.
    """
    if setting == "off":
        return None
    video = short_side is not None
    if isinstance(setting, Path):
        pack = _named(setting.expanduser(), root, subjects, short_side)
        return PackedClips(pack, root, subjects, min_duration, without, video=video)
    if not root.is_dir():
        return None
    found, wrong = find_pack(root, subjects, video=video)
    try:
        if found is not None:
            _check_size(found, root, short_side)
            return PackedClips(found, root, subjects, min_duration, without, video=video)
    except PackError as error:
        wrong = str(error)
    if wrong is not None:
        _warn(f"pack not used: {wrong}")
    return None


def _named(path: Path, root: Path, subjects: Sequence[str], short_side: int | None) -> PackTables:
    pack = PackTables(path)
    if root.is_dir():
        changed = out_of_date(pack, root, subjects, video=short_side is not None)
        if changed is not None:
            raise PackError(
                f"{path}: is out of date, or belongs to another dataset: {changed}; make it again (rxclip pack {root} "
                f"--out {path}), or set data.pack=auto"
            )
    else:
        _warn(f"{path} may be out of date: this cannot be checked, because the dataset folder {root} is missing")
    _check_size(pack, root, short_side)
    return pack


def _check_size(pack: PackTables, root: Path, short_side: int | None) -> None:
    if short_side is not None and pack.short_side < short_side:
        raise PackError(
            f"{pack.path}: the short side of its frames is {pack.short_side} px, less than data.short_side "
            f"({short_side} px); make it again: rxclip pack {root} --short-side {short_side}"
        )


@cache
def _warn(message: str) -> None:
    """Log a warning once, although it applies to both training and validation windows."""
    log.warning("%s", message)


def prepare_pack(root: Path, short_side: int, on_progress: OnProgress, *, leader: bool) -> None:
    """Make the pack of a dataset, or wait until the leader of the run, or another run, has made it.

    Clips that cannot be packed are logged and read from their own files. If the pack cannot be written, that is logged
    and there is no pack.
    """
    if not leader:
        paths = [root / NAME, cache_folder(root) / NAME]
        if not wait_for(lambda: find_pack(root)[0] is not None, paths):
            log.warning(
                "no progress on the pack for %.0f s, so training starts without it; loading will be slow", GRACE
            )
        return
    settings = PackSettings(short_side=max(PackSettings().short_side, short_side))
    announced = False
    while find_pack(root)[0] is None:
        try:
            path = default_path(root)
            if not announced:
                log.info("pack   %s: built once for faster loading (data.pack=off disables it)", path)
                announced = True
            problems = write_pack(root, path, settings, skip_bad=True, on_progress=on_progress)
        except BusyError:
            time.sleep(1)
            continue
        except WriteError as error:
            if find_pack(root)[0] is not None:  # without locks, another process may have been faster
                return
            log.warning("the pack could not be written, so loading will be slow: %s", error)
            return
        for problem in problems:
            log.warning("not packed: %s", problem)
        return


def wait_for(ready: Callable[[], bool], paths: Sequence[Path]) -> bool:
    """Wait until another process has made one of some files; return False if it makes no progress for `GRACE` s."""
    seen, since = _progress(paths), time.monotonic()
    while not ready():
        if time.monotonic() - since > GRACE:
            return False
        time.sleep(0.5)
        if (now := _progress(paths)) != seen:
            seen, since = now, time.monotonic()
    return True


def _progress(paths: Sequence[Path]) -> list[int]:
    """Return modification times that change while a file is being made, even on another machine."""
    changed = []
    for path in paths:
        folder = parts_of(path)
        for part in (folder, *sorted(folder.glob(f"{ASSEMBLED}*"))):
            try:
                changed.append(os.stat(part).st_mtime_ns)  # noqa: PTH116
            except OSError:
                changed.append(0)
    return changed
