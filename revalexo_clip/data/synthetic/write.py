"""Writing the synthetic dataset in RevalExo's layout."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.synthetic.clip import clip_plan, write_clip
from revalexo_clip.data.synthetic.script import ACTIVITIES, transitions

MARKER = "synthetic.json"
"""File that marks a folder as a synthetic dataset, with its parameters and whether it is complete."""
_FORMAT = 1
"""Version of the data; increase it if the same parameters give different data."""


def synthesize(
    root: Path,
    *,
    subjects: int = 10,
    clips: int = 10,
    seed: int = 0,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Write simulated recordings of `subjects` subjects, with `clips` clips of 12 s each, to `root`.

    The data depends only on (seed, subject, clip). If `root` already has the complete dataset, nothing is written; an
    incomplete one is completed. `processes` defaults to the number of cores; `on_progress(done, total)` counts clips.

    Raises `ConfigError` if `root` contains something else, or a dataset with other parameters.
    """
    if subjects < 1 or clips < 1 or seed < 0 or (processes is not None and processes < 1):
        raise ConfigError("subjects, clips and processes must be at least 1, and seed at least 0")
    parameters = {"format": _FORMAT, "subjects": subjects, "clips": clips, "seed": seed}
    if _is_complete(root, parameters):
        return
    write_json(root / MARKER, {**parameters, "complete": False})
    jobs = [(seed, subject, clip, *_files(root, subject, clip)) for subject in range(subjects) for clip in range(clips)]
    for subject in range(subjects):
        for file in _files(root, subject, 0):
            file.parent.mkdir(parents=True, exist_ok=True)
            for leftover in file.parent.glob(".*"):
                leftover.unlink()
    _write_clips(jobs, processes or len(os.sched_getaffinity(0)), on_progress)
    (root / "data_pairs").mkdir(exist_ok=True)
    for subject in range(subjects):
        write_json(root / "data_pairs" / f"{_name(subject)}.json", _pairs(root, seed, subject, clips))
    index = {activity: number for number, activity in enumerate(ACTIVITIES)}
    names = {str(number): activity for activity, number in index.items()}
    write_json(root / "label_mapping.json", {"label_to_idx": index, "idx_to_label": names})
    write_json(root / MARKER, {**parameters, "complete": True})


def _is_complete(root: Path, parameters: dict[str, int]) -> bool:
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


def _write_clips(jobs: list[tuple[int, int, int, Path, Path]], processes: int, on_progress: OnProgress | None) -> None:
    report = on_progress or (lambda done, total: None)
    if processes == 1 or len(jobs) == 1:
        for done, job in enumerate(jobs, start=1):
            write_clip(*job)
            report(done, len(jobs))
        return
    # Use spawn, because a fork of a process that has started threads (torch, a progress bar) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        futures = [pool.submit(write_clip, *job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                report(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)


def _pairs(root: Path, seed: int, subject: int, clips: int) -> dict[str, object]:
    """Return the content of a subject's file in `data_pairs`."""
    pairs = {}
    for clip in range(clips):
        video, imu = _files(root, subject, clip)
        plan = clip_plan(seed, subject, clip)
        pairs[imu.stem] = {
            "video": video.name,
            "imu": imu.name,
            "activity_segments": [
                {"start": segment.start, "end": segment.end, "activity": segment.activity} for segment in plan
            ],
            "transition_segments": transitions(plan),
        }
    return {
        "subject": _name(subject),
        "video_folder": video.parent.relative_to(root).as_posix(),
        "imu_folder": imu.parent.relative_to(root).as_posix(),
        "pairs": pairs,
    }
