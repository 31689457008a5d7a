"""Writing the synthetic dataset in RevalExo's layout."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.synthetic.clip import clip_plan, recording_seconds, write_clip, write_recording
from revalexo_clip.data.synthetic.script import ACTIVITIES, CLIP_SECONDS, transitions
from revalexo_clip.data.synthetic.sensors import IMU_RATE

MARKER = "synthetic.json"
"""File that marks a folder as a synthetic dataset, with its parameters and whether it is complete."""
_FORMAT = 1
"""Version of the data; increase it if the same parameters give different data."""
CLIPS_PER_RECORDING = 3
"""Clips of a recording if clips overlap: 28 s, if they share 4 s."""


def synthesize(
    root: Path,
    *,
    subjects: int = 10,
    clips: int = 10,
    seed: int = 0,
    overlap: float = 0.0,
    declare: bool = False,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Write simulated recordings of `subjects` subjects, with `clips` clips of 12 s each, to `root`.

    Without `overlap` [s] every clip is a recording of its own. With it, a recording is `CLIPS_PER_RECORDING` clips
    long, and each clip holds the last `overlap` seconds of the one before, as in RevalExo; `declare` writes
    "recording" and "offset" of each clip into the JSON files.

    The data depends only on (seed, subject, clip) and `overlap`. If `root` already has the complete dataset, nothing
    is written; an incomplete one is completed. `processes` defaults to the number of cores; `on_progress(done, total)`
    counts clips.

    Raises `ConfigError` if `root` contains something else, or a dataset with other parameters.
    """
    if subjects < 1 or clips < 1 or seed < 0 or (processes is not None and processes < 1):
        raise ConfigError("subjects, clips and processes must be at least 1, and seed at least 0")
    if not 0 <= overlap < CLIP_SECONDS or (overlap * IMU_RATE) % 2:
        raise ConfigError(
            f"overlap: {overlap:g} s must be at least 0, less than the {CLIP_SECONDS:g} s of a clip, and a whole "
            "number of frames at 30 Hz"
        )
    parameters: dict[str, float] = {"format": _FORMAT, "subjects": subjects, "clips": clips, "seed": seed}
    if overlap:
        parameters |= {"overlap": overlap, "declare": declare}
    if _is_complete(root, parameters):
        return
    write_json(root / MARKER, {**parameters, "complete": False})
    jobs = [
        (seed, subject, recording, [_files(root, subject, clip) for clip in own], overlap)
        for subject in range(subjects)
        for recording, own in enumerate(_recordings(clips, overlap))
    ]
    for subject in range(subjects):
        for file in _files(root, subject, 0):
            file.parent.mkdir(parents=True, exist_ok=True)
            for leftover in file.parent.glob(".*"):
                leftover.unlink()
    _write_clips(jobs, processes or len(os.sched_getaffinity(0)), on_progress)
    (root / "data_pairs").mkdir(exist_ok=True)
    for subject in range(subjects):
        write_json(
            root / "data_pairs" / f"{_name(subject)}.json", _pairs(root, seed, subject, clips, overlap, declare=declare)
        )
    index = {activity: number for number, activity in enumerate(ACTIVITIES)}
    names = {str(number): activity for activity, number in index.items()}
    write_json(root / "label_mapping.json", {"label_to_idx": index, "idx_to_label": names})
    write_json(root / MARKER, {**parameters, "complete": True})


def _recordings(clips: int, overlap: float) -> list[range]:
    """Return the clips of each recording."""
    length = CLIPS_PER_RECORDING if overlap else 1
    return [range(first, min(first + length, clips)) for first in range(0, clips, length)]


def _is_complete(root: Path, parameters: dict[str, float]) -> bool:
    """Create the folder; return whether it has the complete dataset. Raises `ConfigError` if it has other content."""
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file: choose a folder for the demo dataset")
    root.mkdir(parents=True, exist_ok=True)
    if not any(root.iterdir()):
        return False
    marker = root / MARKER
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{root} is not empty and not a demo dataset (no {MARKER}): choose a new or empty folder")
    complete = found.pop("complete", False)
    if found != parameters:
        raise ConfigError(
            f"{root} contains another demo dataset, with {found} instead of {parameters}: choose another folder, or "
            "delete it"
        )
    return complete is True


def _name(subject: int) -> str:
    return f"Subject{subject + 1:02d}"


def _files(root: Path, subject: int, clip: int) -> tuple[Path, Path]:
    """Return the paths of a clip's video and IMU file."""
    stem = f"{clip + 1:04d}"
    return root / "videos" / _name(subject) / f"{stem}.mp4", root / "imu" / _name(subject) / f"{stem}.csv"


Job = tuple[int, int, int, list[tuple[Path, Path]], float]
"""Seed, subject, recording, the files of its clips, and their overlap [s]."""


def _write(job: Job) -> int:
    """Write a recording; returns its number of clips."""
    seed, subject, recording, files, overlap = job
    if overlap:
        write_recording(seed, subject, recording, files, overlap)
    else:
        write_clip(seed, subject, recording, *files[0])
    return len(files)


def _write_clips(jobs: list[Job], processes: int, on_progress: OnProgress | None) -> None:
    report = on_progress or (lambda done, total: None)
    done, total = 0, sum(len(files) for *_, files, _ in jobs)
    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            done += _write(job)
            report(done, total)
        return
    # Use spawn, because a fork of a process that has started threads (torch, a progress bar) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        futures = [pool.submit(_write, job) for job in jobs]
        try:
            for future in as_completed(futures):
                done += future.result()
                report(done, total)
        finally:
            pool.shutdown(cancel_futures=True)


def _pairs(root: Path, seed: int, subject: int, clips: int, overlap: float, *, declare: bool) -> dict[str, object]:
    """Return the content of a subject's file in `data_pairs`."""
    pairs: dict[str, dict[str, object]] = {}
    for recording, own in enumerate(_recordings(clips, overlap)):
        plan = clip_plan(seed, subject, recording, recording_seconds(len(own), overlap))
        for number, clip in enumerate(own):
            video, imu = _files(root, subject, clip)
            offset = number * (CLIP_SECONDS - overlap)
            activities: list[dict[str, float | str]] = [
                {"start": segment.start, "end": segment.end, "activity": segment.activity} for segment in plan
            ]
            pairs[imu.stem] = {
                "video": video.name,
                "imu": imu.name,
                **({"recording": f"{recording + 1:04d}", "offset": offset} if declare and overlap else {}),
                "activity_segments": _inside(activities, offset),
                "transition_segments": _inside(transitions(plan), offset),
            }
    return {
        "subject": _name(subject),
        "video_folder": video.parent.relative_to(root).as_posix(),
        "imu_folder": imu.parent.relative_to(root).as_posix(),
        "pairs": pairs,
    }


def _inside(segments: Sequence[Mapping[str, float | str]], offset: float) -> list[dict[str, float | str]]:
    """Return the part of a recording's segments in the clip that starts at `offset` [s], in seconds of the clip."""
    found: list[dict[str, float | str]] = []
    for segment in segments:
        start = round(max(float(segment["start"]) - offset, 0.0), 2)
        end = round(min(float(segment["end"]) - offset, CLIP_SECONDS), 2)
        if start < end:
            found.append({**segment, "start": start, "end": end})
    return found
