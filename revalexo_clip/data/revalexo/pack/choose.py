"""Whether windows come from a pack, and the making of one before training."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Sequence
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
"""How long the other processes of a run wait for their leader to make any progress with a pack [s]."""


def packed_clips(
    setting: Literal["auto", "off"] | Path,
    root: Path,
    subjects: Sequence[str],
    *,
    min_duration: float,
    short_side: int | None,
    without: Collection[str] = frozenset(),
) -> PackedClips | None:
    """The clips of a pack as `data.pack` chooses it; None where the dataset's own files are to be read.

    `short_side` is that of the frames that are wanted [px]; where it is None, only IMU is, and videos are not looked
    at. A pack that was named and cannot be used is a `PackError`; one that was found is passed over, with a warning.
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
                f"{path}: is out of date, or of another dataset: {changed}; make it again (rxclip pack {root} --out "
                f"{path}), or set data.pack=auto"
            )
    else:
        _warn(f"{path} is used as it is: {root}, which would show whether it is up to date, is not there")
    _check_size(pack, root, short_side)
    return pack


def _check_size(pack: PackTables, root: Path, short_side: int | None) -> None:
    if short_side is not None and pack.short_side < short_side:
        raise PackError(
            f"{pack.path}: its frames are {pack.short_side} px high, fewer than data.short_side, {short_side} px: "
            f"rxclip pack {root} --short-side {short_side}"
        )


@cache
def _warn(message: str) -> None:
    """Once, although training and validation windows are built one after the other."""
    log.warning("%s", message)


def prepare_pack(root: Path, short_side: int, on_progress: OnProgress, *, leader: bool) -> None:
    """Make the pack of a dataset, or wait for the leading process of a run, or for another run, to make it.

    What is wrong with single clips is said; they are read from their own files. Where the disk refuses the pack, that
    is said and there is none.
    """
    if not leader:
        _wait(root)
        return
    settings = PackSettings(short_side=max(PackSettings().short_side, short_side))
    announced = False
    while find_pack(root)[0] is None:
        try:
            path = default_path(root)
            if not announced:
                log.info("pack   %s: made once, so that loading is quick (data.pack=off goes without)", path)
                announced = True
            problems = write_pack(root, path, settings, skip_bad=True, on_progress=on_progress)
        except BusyError:
            time.sleep(1)
            continue
        except WriteError as error:
            log.warning("no pack is made, so loading is slow: %s", error)
            return
        for problem in problems:
            log.warning("not packed: %s", problem)
        return


def _wait(root: Path) -> None:
    seen, since = _progress(root), time.monotonic()
    while find_pack(root)[0] is None:
        if time.monotonic() - since > GRACE:
            log.warning("no pack was made within %.0f s, so loading is slow", GRACE)
            return
        time.sleep(0.5)
        if (now := _progress(root)) != seen:
            seen, since = now, time.monotonic()


def _progress(root: Path) -> list[int]:
    """Changes while a pack is made, also where it is another machine that makes it."""
    changed = []
    for path in (root / NAME, cache_folder(root) / NAME):
        for part in (parts_of(path), parts_of(path) / ASSEMBLED):
            try:
                changed.append(os.stat(part).st_mtime_ns)  # noqa: PTH116
            except OSError:
                changed.append(0)
    return changed
