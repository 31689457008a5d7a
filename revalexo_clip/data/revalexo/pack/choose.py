"""Choosing between a pack and the dataset's own files, and making a pack before training."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

from revalexo_clip.core.files import WriteError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.revalexo.index import read_index
from revalexo_clip.data.revalexo.pack.describe import described_root
from revalexo_clip.data.revalexo.pack.exclusive import ASSEMBLED, BusyError, parts_of
from revalexo_clip.data.revalexo.pack.file import PackError
from revalexo_clip.data.revalexo.pack.find import (
    NAME,
    OutOfDateError,
    cache_folder,
    default_path,
    find_clips,
    find_pack,
    older_pack,
)
from revalexo_clip.data.revalexo.pack.folder import DESCRIPTION, MANIFEST, PARTS, SHARDS, WRITERS, Pack, open_pack
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.source import PackedClips
from revalexo_clip.data.revalexo.pack.stamps import Stamps, stamp
from revalexo_clip.data.revalexo.pack.write import write_pack

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
    seen: Stamps | None = None,
) -> PackedClips | None:
    """Return the clips of the pack that `data.pack` selects; None if the dataset's own files are to be read.

    `short_side` is that of the frames [px]; if it is None, only IMU data is needed, and videos are ignored. If a pack
    is given by path but cannot be used, `PackError` is raised; with `auto`, it is ignored with a warning. `seen` are
    sizes and times of the dataset's files that were found a moment ago, see `find_current`.
    """
    if setting == "off":
        return None
    video = short_side is not None

    def clips(pack: Pack) -> PackedClips:
        _check_size(pack, root, short_side)
        described = described_root(pack, root)
        index = read_index(described, subjects, min_duration, without=without, video=video, check=False)
        return PackedClips(find_clips(pack, replace(index, root=root), seen=seen), described)

    if isinstance(setting, Path):
        return _named(setting.expanduser(), root, clips)
    if not root.is_dir():
        return None
    wrong = None
    for path in (root / NAME, cache_folder(root) / NAME):
        if os.path.exists(path):  # noqa: PTH110 - False also if the cache folder is not accessible
            try:
                return clips(open_pack(path))
            except PackError as error:
                wrong = wrong or str(error)
    wrong = wrong or older_pack(root)
    if wrong is not None:
        _warn(f"pack not used: {wrong}")
    return None


def _named(path: Path, root: Path, clips: Callable[[Pack], PackedClips]) -> PackedClips:
    pack = open_pack(path)
    if not root.is_dir():
        _warn(f"{path} may be out of date: this cannot be checked, because the dataset folder {root} is missing")
    try:
        return clips(pack)
    except OutOfDateError as error:
        raise PackError(
            f"{error}, or it belongs to another dataset; bring it up to date (rxclip pack {root} --out {path}), or set "
            "data.pack=auto"
        ) from error


def _check_size(pack: Pack, root: Path, short_side: int | None) -> None:
    if short_side is not None and pack.pixels.short_side < short_side:
        raise PackError(
            f"{pack.path}: the short side of its frames is {pack.pixels.short_side} px, less than data.short_side "
            f"({short_side} px); make it again: rxclip pack {root} --short-side {short_side}"
        )


@cache
def _warn(message: str) -> None:
    """Log a warning once, although it applies to both training and validation windows."""
    log.warning("%s", message)


def prepare_pack(root: Path, short_side: int, on_progress: OnProgress, *, leader: bool) -> None:
    """Bring the pack of a dataset up to date, or wait until the leader of the run has done so.

    Clips that cannot be packed are logged and read from their own files. If the pack cannot be written, that is logged
    and there is no pack. Other runs may do the same at the same time; they share the work.
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
            written = write_pack(root, path, settings, skip_bad=True, on_progress=on_progress)
        except BusyError:
            time.sleep(1)
            continue
        except WriteError as error:
            log.warning("the pack could not be written, so loading will be slow: %s", error)
            return
        for problem in written.problems:
            log.warning("not packed: %s", problem)
        return


def wait_for(ready: Callable[[], bool], paths: Sequence[Path]) -> bool:
    """Wait until another process has made one of some files; return False if it makes no progress for `GRACE` s."""
    seen, since = _progress(paths), time.monotonic()
    while not ready():
        while (now := _progress(paths)) == seen:
            if time.monotonic() - since > GRACE:
                return False
            time.sleep(0.5)
        seen, since = now, time.monotonic()
    return True


def _progress(paths: Sequence[Path]) -> list[int]:
    """Return modification times that change while a file or pack is being made, even on another machine."""
    changed = []
    for path in paths:
        folder = parts_of(path)
        inside = [path / name for name in (DESCRIPTION, MANIFEST, PARTS, SHARDS)]
        signs = sorted((path / WRITERS).glob("*"))  # processes touch them even if a long video takes minutes
        changed += [path, *inside, *signs, folder, *sorted(folder.glob(f"{ASSEMBLED}*"))]
    return [stamp(part).changed for part in changed]
