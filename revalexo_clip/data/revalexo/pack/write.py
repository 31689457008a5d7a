"""Packing the clips of a dataset that a pack does not have yet: one part per file, in several processes, then shards.

If it is killed, nothing is lost but the files that were being packed. Processes that pack at once, on any machines,
share their parts, and publish the same shards.
"""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.revalexo.pack.current import KINDS, RAW, UNKNOWN, Current, find_current, names_of, stamps_now
from revalexo_clip.data.revalexo.pack.describe import describe, digests, keep_copies
from revalexo_clip.data.revalexo.pack.entries import IMU, VIDEO, Finder, joined
from revalexo_clip.data.revalexo.pack.exclusive import cores
from revalexo_clip.data.revalexo.pack.folder import (
    PARTS,
    SHARDS,
    STAMPS,
    Pack,
    read_entries,
    read_manifest,
    write_description,
    write_manifest,
)
from revalexo_clip.data.revalexo.pack.part import Job, PackSettings, part_path, read_part
from revalexo_clip.data.revalexo.pack.queue import Queue, Queued
from revalexo_clip.data.revalexo.pack.shard import SHARD_BYTES
from revalexo_clip.data.revalexo.pack.space import NoSpaceError, check_space
from revalexo_clip.data.revalexo.pack.stamps import (
    Stamp,
    encoded,
    full_stamp,
    merged,
    read_stamps,
    replace_stamps,
    root_name,
    stamp,
    stamp_files,
    stamps_of,
    write_stamps,
)
from revalexo_clip.data.revalexo.pack.workers import PassingError, Workers
from revalexo_clip.data.revalexo.pack.writers import others, writing

BLOCK = 128
"""Clips after which shards are published. Parts of at most that many clips, and of one shard, are on the disk."""
ATTEMPTS = 5
"""How often clips are packed that other processes have removed, or that have changed, in the meantime."""


class Written(NamedTuple):
    """What `write_pack` has done."""

    problems: tuple[str, ...]
    """Of clips and subjects that are left out."""
    encoded: int
    """Number of files that were packed; all others were there."""
    missing: int
    """Number of clips that other machines are to pack, or that could not be read now; 0 if the pack is complete."""


def write_pack(
    root: Path,
    path: Path,
    settings: PackSettings,
    *,
    processes: int | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress | None = None,
    share: tuple[int, int] = (1, 1),
) -> Written:
    """Add what the dataset in `root` needs to the pack at `path`: files that it does not have with these settings.

    The same file and settings give the same frames and samples. `share` (i, n) packs the i-th of n shares of the clips.
    Raises `DataError` for the first problem unless `skip_bad`, `WriteError` if the pack cannot be written, and
    `BusyError` if another process prunes it. `processes` defaults to the number of cores.
    """
    described, problems = describe(root, skip_bad=skip_bad)
    try:
        with writing(path) as sign:
            packing = _Packing(root, path, settings, described.index, sign, skip_bad=skip_bad)
            try:
                packing.run(share, processes, on_progress or no_progress)
                missing = packing.complete(described.files)
            except WriteError as error:
                # Others share the parts; those of earlier runs are kept if space was missing beforehand.
                if not isinstance(error, NoSpaceError) and not others(path, sign):
                    shutil.rmtree(path / PARTS, ignore_errors=True)  # the disk may be full, so free the space
                raise
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error
    return Written((*problems, *packing.problems()), packing.encoded, missing)


class _Packing:
    """One process that packs."""

    def __init__(
        self, root: Path, path: Path, settings: PackSettings, index: ClipIndex, sign: Path, *, skip_bad: bool
    ) -> None:
        self.root, self.path, self.index, self.skip_bad = root, path, index, skip_bad
        self.pixels, self.sign = settings.pixels, sign
        self.encoded = 0
        self.wrong: dict[int, str] = {}
        self.passing: dict[int, str] = {}
        """Problems of clips that may be readable later, in the last attempt."""
        self.rows: dict[str, Stamp] = {}
        """Stamps that are not yet on the disk."""
        self.queue = Queue(path / SHARDS)
        self.lock = threading.Lock()
        self.stamps = read_stamps(path, root)
        self.entries, self.seen = joined([]), -1
        self.finder: dict[int, Finder] = {}
        self._look_for_shards()

    def run(self, share: tuple[int, int], processes: int | None, report: OnProgress) -> None:
        """Pack a share of the clips."""
        number, shares = share
        own_N = np.arange(len(self.index)) * shares // len(self.index) == number - 1
        for attempt in range(ATTEMPTS + 1):
            current = self._current()
            todo = np.flatnonzero(own_N & self._outstanding(current)).tolist()
            if not todo or (attempt == ATTEMPTS and self.passing.keys() >= set(todo)):
                return
            if attempt == ATTEMPTS:
                raise WriteError(f"{self.path}: clips change, or are removed, while they are packed; start again")
            self.passing.clear()
            if not attempt:
                self._check_space(current, todo)
            done = int(own_N.sum()) - len(todo)
            with Workers(Job.module, processes or cores(len(todo))) as workers:
                try:
                    for first in range(0, len(todo), BLOCK):
                        block = todo[first : first + BLOCK]
                        for _ in self._packed(block, workers):
                            done += 1
                            report(done, int(own_N.sum()))
                        self._publish(SHARD_BYTES)
                    self._publish(1)
                finally:
                    self._keep_stamps()

    def _outstanding(self, current: Current) -> np.ndarray:
        retried_N2 = (current.entry_N2 == RAW) & (current.size_N2 >= -1)
        wanted_N2 = (current.entry_N2 == UNKNOWN) | (retried_N2 & (not self.skip_bad))
        return np.asarray(wanted_N2.any(axis=1))

    def _current(self) -> Current:
        self._look_for_shards()
        pack = Pack(self.path, self.pixels, {}, self.entries, {})
        current = find_current(pack, self.stamps, self.index)
        if len(current.new.path_R):
            self.stamps = merged([self.stamps, current.new])
            write_stamps(self.path / STAMPS, self.root, current.new)
        return current

    def _check_space(self, current: Current, todo: Sequence[int]) -> None:
        at = np.array(todo)
        new_M2 = (current.entry_N2[at] == UNKNOWN) & (current.size_N2[at] > 0)
        video_M = at[new_M2[:, VIDEO]]
        sizes = dict(zip(self.index.video_N[video_M].tolist(), current.size_N2[video_M, VIDEO].tolist(), strict=True))
        imu_bytes = int(current.size_N2[at, IMU][new_M2[:, IMU]].sum())
        videos = [(self.root / name, size) for name, size in sizes.items()]
        check_space(self.path, videos, imu_bytes, self.pixels, self.entries)

    def _packed(self, block: Sequence[int], workers: Workers) -> Iterator[int]:
        """Pack some clips, queue them in their order, and yield each when its parts are there."""
        order = list(block)
        if others(self.path, self.sign):  # another process packs the same clips: begin with different ones
            random.SystemRandom().shuffle(order)
        found: dict[int, list[Queued]] = {}

        def work(clip: int) -> int:
            found[clip] = list(self._clip(clip, workers))
            return clip

        if workers.count == 1:
            yield from map(work, order)
        else:
            with ThreadPoolExecutor(workers.count) as pool:
                futures = [pool.submit(work, clip) for clip in order]
                try:
                    for future in as_completed(futures):
                        yield future.result()
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
                    if any(not future.done() for future in futures):
                        workers.close()  # so that threads that wait for an answer end
        self.queue.add(one for clip in block for one in found[clip])

    def _clip(self, clip: int, workers: Workers) -> Iterator[Queued]:
        """Pack the files of one clip that are not in the pack. Raises its problem unless it may be skipped."""
        self._look_for_shards()
        for kind in KINDS:
            name = str(names_of(self.index, kind)[clip])
            if not name:
                continue
            path, now = self.root / name, stamp(self.root / name)
            try:
                now = self._known(name, now) or full_stamp(path)
            except DataError as error:
                self._note(clip, name, now, str(error))
                continue
            if self._has(kind, now.sha256):
                self._note(clip, name, now, None)
                continue
            part = part_path(self.path / PARTS, now.sha256, kind, self.pixels)
            job = Job(part=part, file=path, kind=kind, stamp=now, pixels=self.pixels)
            there = part in self.queue.parts or read_part(part) is not None
            try:
                problem = None if there else workers.ask(job)
            except PassingError as error:
                if not self.skip_bad:
                    raise
                self.passing[clip] = str(error)  # not published, so that it is packed in another attempt or run
                continue
            self._note(clip, name, now, problem)
            self.encoded += problem is None and not there
            yield Queued(part, job.packed.model_copy(update={"problem": problem and problem.removeprefix(f"{path}: ")}))

    def _note(self, clip: int, name: str, found: Stamp, problem: str | None) -> None:
        if problem is not None:
            if not self.skip_bad:
                raise DataError(problem)
            self.wrong.setdefault(clip, problem)
        with self.lock:
            self.rows[name] = found

    def problems(self) -> tuple[str, ...]:
        """Return the problems of clips that were left out, in their order."""
        wrong = {**self.passing, **self.wrong}
        return tuple(wrong[clip] for clip in sorted(wrong))

    def _known(self, name: str, now: Stamp) -> Stamp | None:
        """Return the stamp of a file whose digest is known."""
        noted = self.rows.get(name)
        if noted is not None and noted.sha256 and (noted.size, noted.changed) == (now.size, now.changed):
            return noted
        row = int(self.stamps.find(encoded([name]), np.array([now.size]), np.array([now.changed]))[0])
        if row < 0 or not self.stamps.digest_R[row].any():
            return None
        return now.model_copy(update={"sha256": self.stamps.digest_R[row].tobytes().hex()})

    def _has(self, kind: int, sha256: str) -> bool:
        digest = np.frombuffer(bytes.fromhex(sha256), np.uint8).reshape(1, 32)
        entry = int(self.finder[kind].find(digest)[0])
        return entry >= 0 and int(self.entries.column["problem"].item(entry)) < 0

    def _look_for_shards(self) -> None:
        """Read the shards that were published since the last look, by this process or by others."""
        with self.lock:
            with suppress(FileNotFoundError):
                changed = (self.path / SHARDS).stat().st_mtime_ns
                if changed == self.seen:
                    return
                self.seen = changed
            self.entries, _ = read_entries(self.path, self.entries if len(self.entries) else None)
            self.finder = {kind: self.entries.finder(kind, self.pixels) for kind in KINDS}

    def _publish(self, least: int) -> None:
        for _ in self.queue.publish(least):
            self._keep_stamps()

    def _keep_stamps(self) -> None:
        with self.lock:
            rows, self.rows = self.rows, {}
        if rows:
            new = stamps_of(rows.items())
            self.stamps = merged([self.stamps, new])
            write_stamps(self.path / STAMPS, self.root, new)

    def complete(self, files: dict[str, bytes]) -> int:
        """Bring the manifest up to date and, if all clips are packed, everything else; return how many are not."""
        entries, _ = read_entries(self.path)
        if read_manifest(self.path).shards.names != entries.shards.names:
            write_manifest(self.path, entries)
        self.entries, before = entries, stamp_files(self.path / STAMPS)
        self.stamps = read_stamps(self.path, self.root)
        current = self._current()
        missing = int(current.unknown.sum())
        if not missing:
            replace_stamps(self.path / STAMPS, self.root, stamps_now(self.stamps, current, self.index), before)
            keep_copies(self.path, files)
            write_description(self.path, self.pixels, digests(files), root_name(self.root))
            with suppress(OSError):
                (self.path / PARTS).rmdir()  # if it is empty
        return missing
