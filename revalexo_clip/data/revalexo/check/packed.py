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
from revalexo_clip.data.revalexo.pack.describe import describe, digests_of
from revalexo_clip.data.revalexo.pack.find import NAME, cache_folder
from revalexo_clip.data.revalexo.pack.folder import DATASET, DESCRIPTION, STAMPS, Pack, open_pack
from revalexo_clip.data.revalexo.pack.hdf5 import UNUSABLE
from revalexo_clip.data.revalexo.pack.stamps import encoded, read_stamp_file, read_stamps, stamp, stamp_files
from revalexo_clip.data.revalexo.pack.verify import wrong_entries
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
    pack = open_pack(path)
    names = {
        digest.tobytes().hex(): name.decode()
        for file in stamp_files(path / STAMPS)
        if (stamps := read_stamp_file(file)) is not None
        for name, digest in zip(stamps.path_R.tolist(), stamps.digest_R, strict=True)
    }
    problems = tuple(
        Problem("corrupt_pack", pack.shards / shard, message.removeprefix(f"{pack.shards / shard}: "))
        for shard, message in wrong_entries(pack, report, names)
    )
    try:
        index = describe(path / DATASET, skip_bad=True)[0].index
    except DataError as error:
        return Findings((*problems, Problem("corrupt_pack", path / DATASET, str(error))), 0, 0.0, (), ())
    seconds = float(index.duration_N[np.isfinite(index.duration_N)].sum())
    return Findings((*problems, *_wrong_copies(pack)), len(index), seconds, tuple(dict.fromkeys(index.subjects)), ())


def _wrong_copies(pack: Pack) -> Iterator[Problem]:
    """Yield the copies of the dataset's JSON files that are not what was packed."""
    found = digests_of(pack.path / DATASET)
    for name in sorted({*found, *pack.digests}):
        if found.get(name) != pack.digests.get(name):
            yield Problem("corrupt_pack", pack.path / DATASET / name, "is not the file that was packed; pack again")


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
    path = next((path for path in (root / NAME, cache_folder(root) / NAME) if path.is_dir()), None)
    if path is None:
        return
    stamps = read_stamps(path, root, cache_folder(root))
    for each in checked:
        for file, digest in each.digests.items():
            if not file.is_relative_to(root):
                continue
            seen = stamp(file)
            name = encoded([file.relative_to(root).as_posix()])
            row = int(stamps.find(name, np.array([seen.size]), np.array([seen.changed]))[0])
            known = stamps.digest_R[row] if row >= 0 else np.zeros(32, np.uint8)
            if known.any() and digest != known.tobytes().hex():
                message = (
                    f"its content is not what was packed ({path.name}), although its size and modification time "
                    "are: the file is damaged; restore it"
                )
                yield Problem("changed_content", file, message, each.clip.name)


def is_pack(path: Path) -> bool:
    """Return whether a path is that of a pack or a motion file, rather than of a dataset."""
    return path.name == NAME or (path / DESCRIPTION).exists() or (path.suffix == ".h5" and not path.is_dir())
