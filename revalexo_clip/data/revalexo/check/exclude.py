"""Finding the clips that would stop a run.

The result is stored in the cache folder, for other processes and later runs. It is valid until a file of the dataset
changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core.files import WriteError, atomically, lock, sha256_of
from revalexo_clip.core.version import __version__
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.check.dataset import check_dataset
from revalexo_clip.data.revalexo.check.description import ClipFiles, check_description
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.revalexo.pack.find import cache_folder
from revalexo_clip.data.revalexo.pack.stamps import stamp

log = logging.getLogger("revalexo_clip")


class BadClips(BaseModel):
    """Result of a check of all clips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    """Digest of the files' sizes and modification times, and of the arguments of the check."""
    clips: int
    bad: dict[str, str]
    """Bad clips: `subject/pair id` of each, and its first problem."""


def bad_clips(
    root: Path,
    subjects: Collection[str],
    *,
    channels: Sequence[str],
    imu_rate: float,
    min_duration: float,
    video: bool,
    clock: Clock | None,
    check_clock: bool,
    imu_offset: float | Mapping[str, float],
    processes: int,
) -> BadClips:
    """Check every clip of the subjects, or return the cached result for the same files and arguments.

    See `check_dataset`. If several processes call this at the same time, one checks and the others wait.
    """
    clock_settings = None if clock is None else clock.settings(root)
    asked = json.dumps(
        [
            __version__,
            sorted(subjects),
            list(channels),
            imu_rate,
            min_duration,
            video,
            clock_settings,
            check_clock,
            imu_offset if isinstance(imu_offset, float | int) else dict(imu_offset),
        ]
    )
    path = cache_folder(root) / f"bad-clips-{hashlib.sha256(asked.encode()).hexdigest()[:12]}.json"
    with _alone(path):
        clips = check_description(root, subjects, min_duration, video=video).clips
        data = _digest(root, clips, asked)
        found = _read(path)
        if found is not None and found.data == data:
            return found
        log.info("checking every clip of %s, because data.on_bad_clip is 'exclude'", " ".join(subjects))
        checked = check_dataset(
            root,
            channels=channels,
            imu_rate=imu_rate,
            subjects=subjects,
            min_duration=min_duration,
            video=video,
            clock=clock,
            check_clock=check_clock,
            imu_offset=imu_offset,
            processes=processes,
        )
        bad: dict[str, str] = {}
        for problem in checked.problems:
            if problem.severity == "error" and problem.clip is not None:
                bad.setdefault(problem.clip, str(problem))
        found = BadClips(data=data, clips=checked.clips, bad=dict(sorted(bad.items())))
        with suppress(WriteError), atomically(path) as temporary:  # without the cache, every process checks by itself
            temporary.write_text(found.model_dump_json(), encoding="utf-8")
    return found


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a result; use no lock if the cache folder cannot be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    except OSError:
        yield
        return
    try:
        lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> BadClips | None:
    try:
        return BadClips.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _digest(root: Path, clips: Sequence[ClipFiles], asked: str) -> str:
    """Compute a digest that changes if any file that a check would read changes."""
    described = [root / layout.LABEL_MAPPING, *sorted((root / layout.DATA_PAIRS).glob("*.json"))]
    digest = hashlib.sha256(asked.encode())
    for path in described:
        with suppress(OSError):
            digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    for clip in sorted(clips, key=lambda clip: clip.name):
        for file in (clip.video, clip.imu):
            found = stamp(file)
            digest.update(f"{clip.name} {file} {found.size} {found.changed}\n".encode())
    return digest.hexdigest()
