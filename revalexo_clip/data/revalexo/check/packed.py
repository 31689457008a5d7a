"""Checking packs and motion files, and comparing a dataset's files with the checksums in its pack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import h5py
import numpy as np
from pydantic import ValidationError

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.revalexo.check.clip import ClipCheck
from revalexo_clip.data.revalexo.check.findings import Findings
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.motion import file as motion_file
from revalexo_clip.data.revalexo.motion.file import MotionTables
from revalexo_clip.data.revalexo.pack.file import PackError, PackTables
from revalexo_clip.data.revalexo.pack.find import NAME, cache_folder
from revalexo_clip.data.revalexo.pack.hdf5 import UNUSABLE
from revalexo_clip.data.revalexo.pack.part import stamp
from revalexo_clip.data.revalexo.pack.verify import wrong_clips
from revalexo_clip.motion import FrontName


def check_pack(path: Path, on_progress: OnProgress | None = None) -> Findings:
    """Read a pack, or a motion file, from beginning to end and compare everything with its checksums."""
    report = on_progress or no_progress
    try:
        measurement = _measurement(path)
        return _pack(path, report) if measurement is None else _motion(path, measurement, report)
    except DataError as error:
        return Findings((Problem("corrupt_pack", path, str(error).removeprefix(f"{path}: ")),), 0, 0.0, (), ())


def _pack(path: Path, report: OnProgress) -> Findings:
    pack = PackTables(path)
    duration_N = pack.floats("clips/duration")
    return Findings(
        tuple(Problem("corrupt_pack", path, message, clip) for clip, message in wrong_clips(pack, report)),
        clips=len(pack),
        seconds=float(duration_N[np.isfinite(duration_N)].sum()),
        subjects=pack.about.subjects,
        subjects_without_video=(),
    )


def _measurement(path: Path) -> Motion | None:
    """Return what a motion file measures; None if the file is not one."""
    try:
        with h5py.File(path, "r", locking=False) as opened:
            if opened.attrs.get("kind") != motion_file.KIND:
                return None
            found = re.fullmatch(r"([a-z]+)\d+-(\d+)x(\d+)-(\d+)", str(opened.attrs.get("measurement")))
            front = next((front for front in get_args(FrontName) if found and front == found[1]), None)
            if found is None or front is None:
                return None
            return Motion(front=front, rows=int(found[2]), columns=int(found[3]), width=int(found[4]))
    except (*UNUSABLE, ValidationError):
        return None


def _motion(path: Path, motion: Motion, report: OnProgress) -> Findings:
    tables, problems, seconds = MotionTables(path, motion), list[Problem](), 0.0
    for number, video in enumerate(tables.about.videos):
        report(number, len(tables.about.videos))
        if tables.problem(video):
            continue
        try:
            edge_E = tables.edges(video)
            tables.track(video, edge_E, 0, len(edge_E) - 1)
            seconds += float(edge_E[-1] - edge_E[0])
        except DataError as error:
            problems.append(Problem("corrupt_pack", path, str(error).removeprefix(f"{path}: ")))
    report(len(tables.about.videos), len(tables.about.videos))
    return Findings(tuple(problems), len(tables.about.videos), seconds, (), ())


def changed_content(root: Path, checked: Sequence[ClipCheck]) -> Iterator[Problem]:
    """Yield the files whose content is not what was packed, although their size and modification time are the same.

    Nothing that people do changes content without the time: the disk, or a copy, has damaged the file. Within a video,
    this is the only sign of it if the codec has no checksums.
    """
    pack = _pack_of(root)
    if pack is None:
        return
    number = {name: clip for clip, name in enumerate(pack.about.names)}
    size_N2, changed_N2 = pack.ints("sources/size"), pack.ints("sources/changed")
    for each in checked:
        clip = number.get(each.clip.name)
        if clip is None:
            continue
        for which, names in enumerate((pack.about.videos, pack.about.imus)):
            file, now = root / names[clip], each.digests.get(root / names[clip])
            known, seen = pack.tables["sources/sha256"][clip, which].tobytes(), stamp(file)
            same = (seen.size, seen.changed) == (int(size_N2[clip, which]), int(changed_N2[clip, which]))
            if now is not None and same and any(known) and now != known.hex():
                message = (
                    f"its content is not what was packed ({pack.path.name}), although its size and modification time "
                    "are: the file is damaged; restore it"
                )
                yield Problem("changed_content", file, message, each.clip.name)


def _pack_of(root: Path) -> PackTables | None:
    for path in (root / NAME, cache_folder(root) / NAME):
        try:
            return PackTables(path)
        except PackError:
            continue
    return None


def is_pack(path: Path) -> bool:
    """Return whether a path is that of a pack or a motion file, rather than of a dataset."""
    return path.suffix == ".h5" and not path.is_dir()
