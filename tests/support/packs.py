"""Small datasets whose clips all differ, and what packs of them hold."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.entries import COLUMNS
from revalexo_clip.data.revalexo.pack.folder import SHARDS, read_entries
from revalexo_clip.data.revalexo.pack.payload import Payloads
from revalexo_clip.data.revalexo.pack.stored import stored_item
from support.tiny_dataset import ACTIVITIES, pair, revalexo, steady, write_imu, write_json, write_video

LENGTH = 0.8
"""Duration of a clip [s]."""


def write_different(root: Path, subjects: int = 3, clips: int = 2) -> Path:
    """Write a dataset of subjects `Subject01` and so on whose clips differ, of 16 x 12 px and 0.8 s."""
    write_json(root / "label_mapping.json", {"label_to_idx": {name: place for place, name in enumerate(ACTIVITIES)}})
    for number in range(1, subjects + 1):
        add_subject(root, number, clips)
    return root


def add_subject(root: Path, number: int, clips: int = 2) -> None:
    """Add a subject to such a dataset."""
    subject = f"Subject{number:02d}"
    for clip in range(clips):
        rng = np.random.default_rng([number, clip])
        pictures = list(rng.integers(0, 255, (len(steady(LENGTH)), 12, 16, 3), dtype=np.uint8))
        write_video(root / f"videos/{subject}/{clip:04d}.mp4", steady(LENGTH), frames=pictures)
        recording = root / f"imu/{subject}/{clip:04d}.csv"
        write_imu(recording, duration=LENGTH)
        recording.write_text(recording.read_text() + f"10:99999,{number}.{clip}" + ",1.0" * 7 + "\n")
    pairs: JsonObject = {f"{clip:04d}": short_pair(f"{clip:04d}") for clip in range(clips)}
    described: JsonObject = {"subject": subject, "video_folder": f"videos/{subject}", "imu_folder": f"imu/{subject}"}
    write_json(root / f"data_pairs/{subject}.json", {**described, "pairs": pairs})


def short_pair(name: str) -> JsonObject:
    """Return the description of a clip: standing, then walking."""
    segments = [("standing", 0.0, 0.4), ("walking", 0.4, LENGTH)]
    described: list[JsonValue] = [
        {"activity": activity, "start": start, "end": end} for activity, start, end in segments
    ]
    return {**pair(name), "activity_segments": described, "transition_segments": []}


FIELDS = {
    "train_subjects": ("01", "02"),
    "val_subjects": ("03",),
    "window": 0.4,
    "min_duration": 0.5,
    "crop": 8,
    "short_side": 8,
    "frames": 2,
    "windows_per_clip": 2,
    "eval_stride": 0.2,
}


def windows_of(root: Path, **fields: object) -> str:
    """Return a digest of all windows of a dataset, of their labels and of their fingerprints."""
    data, digest = revalexo(root, **{**FIELDS, **fields}), hashlib.sha256()
    for split in ("train", "val"):
        windows = data.build(split, seed=0)
        digest.update(windows.fingerprint().encode())
        for index in range(len(windows)):
            for field in windows[0, index]:
                digest.update(np.ascontiguousarray(field.numpy()).tobytes())
    return digest.hexdigest()


def entries_of(path: Path) -> dict[tuple[str, int, int], str]:
    """Return a digest of what a pack holds of each file, by the file's digest, kind and short side."""
    entries, damaged = read_entries(path)
    assert not damaged
    payloads = Payloads(path / SHARDS, entries.shards)
    found: dict[tuple[str, int, int], str] = {}
    for entry in range(len(entries)):
        item = stored_item(payloads, entries, entry)
        digest = hashlib.sha256(item.source.model_dump_json().encode())
        for name in ("time", "check", "jpeg") if item.source.frames else ("values", "value_check"):
            if item.source.problem is None:
                digest.update(np.ascontiguousarray(item.array(name)).tobytes())
        key = item.source.sha256, item.source.kind, item.source.pixels.short_side
        assert found.setdefault(key, digest.hexdigest()) == digest.hexdigest(), "one key, one content"
    assert set(COLUMNS) >= {"digest", "kind"}
    return found


def shards_of(path: Path) -> dict[str, bytes]:
    """Return the shards of a pack."""
    return {file.name: file.read_bytes() for file in (path / SHARDS).glob("[!.]*")}


def in_child(work: Callable[[], object]) -> int:
    """Run something in a process of its own, and return its process id."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return process


def ended(process: int) -> int:
    """Wait for a process, and return its exit code; negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_at_step(root: Path, path: Path, step: int) -> bool:
    """Pack in a process that is killed when it is about to do its n-th file operation; return whether it was."""

    def work() -> None:
        left = step

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in _STEPS and any(str(path) in str(argument) for argument in arguments):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        pack(root, path, processes=1)

    code = ended(in_child(work))
    assert code in {0, -signal.SIGKILL}
    return code != 0


_STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "os.utime"}
