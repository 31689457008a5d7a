"""Writing the synthetic dataset in RevalExo's layout."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.platform import cpu_count
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.synthetic import clip as world1
from revalexo_clip.data.synthetic.files import recording_seconds, write_recording
from revalexo_clip.data.synthetic.narrate import UNSEEN_FILE, Recorded, write_narrations
from revalexo_clip.data.synthetic.script import ACTIVITIES, CLIP_SECONDS, transitions
from revalexo_clip.data.synthetic.sensors import IMU_RATE
from revalexo_clip.data.synthetic.world2 import clip as world2

MARKER = "synthetic.json"
"""File that marks a folder as a synthetic dataset, with its parameters and whether it is complete."""
_FORMAT = 1
"""Version of the data; increase it if the same parameters give different data."""
_WORLDS = {1: world1, 2: world2}
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
    world: int = 1,
    camera_imu: bool = False,
    stabilised: bool = False,
    narrate: bool = False,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Write simulated recordings of `subjects` subjects, with `clips` clips of 12 s each, to `root`.

    Without `overlap` [s] every clip is a recording of its own. With it, a recording is `CLIPS_PER_RECORDING` clips
    long, and each clip holds the last `overlap` seconds of the one before, as in RevalExo; `declare` writes
    "recording" and "offset" of each clip into the JSON files. `world` is 1, which never changes, or 2, which differs
    from it as real recordings do; `camera_imu` adds the columns of an IMU in the camera; `stabilised` lets every second
    subject's camera stabilise its video (world 2). `narrate` adds narrations, see `write_narrations`, also to a dataset
    that is already complete; nothing else changes.

    The data depends only on (seed, subject, clip), `world` and `overlap`. If `root` already has the complete dataset,
    nothing is written; an incomplete one is completed. `processes` defaults to the number of cores;
    `on_progress(done, total)` counts clips.

    Raises `ConfigError` if `root` contains something else, or a dataset with other parameters.
    """
    parameters = _parameters(
        subjects,
        clips,
        seed,
        overlap,
        declare=declare,
        world=world,
        camera_imu=camera_imu,
        stabilised=stabilised,
    )
    if processes is not None and processes < 1:
        raise ConfigError("processes must be at least 1")
    if _is_complete(root, parameters):
        if narrate and not (root / UNSEEN_FILE).is_file():
            write_narrations(root, world, _narrated(root, seed, subjects, clips, overlap))
        return
    write_json(root / MARKER, {**parameters, "complete": False})
    jobs = [
        Job(
            world,
            seed,
            subject,
            recording,
            [_files(root, subject, clip) for clip in own],
            overlap,
            camera_imu,
            stabilised,
        )
        for subject in range(subjects)
        for recording, own in enumerate(_recordings(clips, overlap))
    ]
    pairs_folder = root / "data_pairs"
    folders = [file.parent for subject in range(subjects) for file in _files(root, subject, 0)]
    for folder in (root, pairs_folder, *folders):
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(folder):
            leftover.unlink(missing_ok=True)
    _write_clips(jobs, processes or cpu_count(), on_progress)
    for subject in range(subjects):
        write_json(
            pairs_folder / f"{_name(subject)}.json",
            _pairs(root, (world, seed, subject), clips, overlap, declare=declare),
        )
    index = {activity: number for number, activity in enumerate(ACTIVITIES)}
    names = {str(number): activity for activity, number in index.items()}
    write_json(root / "label_mapping.json", {"label_to_idx": index, "idx_to_label": names})
    if narrate:
        write_narrations(root, world, _narrated(root, seed, subjects, clips, overlap))
    write_json(root / MARKER, {**parameters, "complete": True})


def _parameters(
    subjects: int,
    clips: int,
    seed: int,
    overlap: float,
    *,
    declare: bool,
    world: int,
    camera_imu: bool,
    stabilised: bool,
) -> dict[str, float]:
    """Check the parameters, and return those that the marker file holds. Raises `ConfigError`."""
    if subjects < 1 or clips < 1 or seed < 0:
        raise ConfigError("subjects and clips must be at least 1, and seed at least 0")
    if world not in _WORLDS:
        raise ConfigError(f"world: {world} must be one of {', '.join(map(str, _WORLDS))}")
    if stabilised and world == 1:
        raise ConfigError("stabilised: cameras of world 1 stabilise no video; choose world 2")
    if not 0 <= overlap < CLIP_SECONDS or (overlap * IMU_RATE) % 2:
        raise ConfigError(
            f"overlap: {overlap:g} s must be at least 0, less than the {CLIP_SECONDS:g} s of a clip, and a whole "
            "number of frames at 30 Hz"
        )
    parameters: dict[str, float] = {"format": _FORMAT, "subjects": subjects, "clips": clips, "seed": seed}
    if overlap:
        parameters |= {"overlap": overlap, "declare": declare}
    if world != 1:
        parameters["world"] = world
    if camera_imu:
        parameters["camera_imu"] = camera_imu
    if stabilised:
        parameters["stabilised"] = stabilised
    return parameters


def _recordings(clips: int, overlap: float) -> list[range]:
    """Return the clips of each recording."""
    length = CLIPS_PER_RECORDING if overlap else 1
    return [range(first, min(first + length, clips)) for first in range(0, clips, length)]


def _narrated(root: Path, seed: int, subjects: int, clips: int, overlap: float) -> list[Recorded]:
    """Return all recordings, with the place of their clips."""
    return [
        Recorded(
            seed,
            subject,
            recording,
            recording_seconds(len(own), overlap),
            {
                f"{_name(subject)}/{_files(root, subject, clip)[1].stem}": number * (CLIP_SECONDS - overlap)
                for number, clip in enumerate(own)
            },
        )
        for subject in range(subjects)
        for recording, own in enumerate(_recordings(clips, overlap))
    ]


def _is_complete(root: Path, parameters: dict[str, float]) -> bool:
    """Create the folder; return whether it has the complete dataset. Raises `ConfigError` if it has other content."""
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file: choose a folder for the demo dataset")
    root.mkdir(parents=True, exist_ok=True)
    if set(root.iterdir()) <= set(_leftovers(root)):  # also if the process was killed while it wrote its first file
        return False
    marker = root / MARKER
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
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


def _leftovers(folder: Path) -> list[Path]:
    """Return the temporary files, see `atomically`, that killed processes left in a folder of the dataset."""
    ours = re.compile(
        rf"\.\d+-({re.escape(MARKER)}|narrations(_unseen)?\.json|label_mapping\.json|Subject\d+\.json|\d+\.(mp4|csv))"
    )
    return [path for path in folder.iterdir() if ours.fullmatch(path.name)]


def _name(subject: int) -> str:
    return f"Subject{subject + 1:02d}"


def _files(root: Path, subject: int, clip: int) -> tuple[Path, Path]:
    """Return the paths of a clip's video and IMU file."""
    stem = f"{clip + 1:04d}"
    return root / "videos" / _name(subject) / f"{stem}.mp4", root / "imu" / _name(subject) / f"{stem}.csv"


class Job(NamedTuple):
    """A recording to write."""

    world: int
    seed: int
    subject: int
    recording: int
    files: list[tuple[Path, Path]]
    """Video and IMU file of each clip."""
    overlap: float
    camera_imu: bool
    stabilised: bool


def _write(job: Job) -> int:
    """Write a recording; returns its number of clips."""
    if not all(file.exists() for pair in job.files for file in pair):
        seconds = recording_seconds(len(job.files), job.overlap)
        key = (job.seed, job.subject, job.recording, seconds)
        if job.stabilised:
            recording = world2.simulate(*key, camera_imu=job.camera_imu, stabilised=True)
        else:
            recording = _WORLDS[job.world].simulate(*key, camera_imu=job.camera_imu)
        write_recording(recording, job.files, job.overlap)
    return len(job.files)


def _write_clips(jobs: list[Job], processes: int, on_progress: OnProgress | None) -> None:
    report = on_progress or (lambda done, total: None)
    done, total = 0, sum(len(job.files) for job in jobs)
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


def _pairs(root: Path, key: tuple[int, int, int], clips: int, overlap: float, *, declare: bool) -> dict[str, object]:
    """Return the content of the file in `data_pairs` of a subject: `key` is world, seed and subject."""
    world, seed, subject = key
    pairs: dict[str, dict[str, object]] = {}
    for recording, own in enumerate(_recordings(clips, overlap)):
        plan = _WORLDS[world].clip_plan(seed, subject, recording, recording_seconds(len(own), overlap))
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
