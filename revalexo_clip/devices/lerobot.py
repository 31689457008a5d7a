"""Episodes of a LeRobotDataset, versions 2 and 3: state tables in Parquet files, and a video per camera.

Format: https://github.com/huggingface/lerobot. A dataset of robots has no sensor on a body; which of its state columns
are axes of accelerometers and gyroscopes is said with `--map` unless their names say it. Tried on made files only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import DeviceRecording, Label, LabelTrack
from revalexo_clip.devices.tables import recording_of
from revalexo_clip.devices.tables_base import Cells, Table
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_read import read_tables

INFO = Path("meta") / "info.json"


class _Feature(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    dtype: str
    names: list[str] | dict[str, list[str]] | None = None


class _Info(BaseModel):
    """What `meta/info.json` says, as far as it is needed."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    codebase_version: str
    total_episodes: int
    chunks_size: int = 1000
    data_path: str
    video_path: str | None = None
    features: dict[str, _Feature]


class _Episode(NamedTuple):
    """Where an episode lies."""

    number: int
    data: Path
    video: Path | None
    starts: float
    """Time in the video file at which the episode starts [s]."""
    task: str


def is_lerobot(source: Path) -> bool:
    """Whether a folder is a LeRobotDataset."""
    return (source / INFO).is_file()


def read_lerobot(source: Path, options: TableOptions) -> DeviceRecording:
    """Read one episode, `options.episode`, of a LeRobotDataset with its task as label.

    If a video file has several episodes, the samples lie where the episode does, so that only that part is common to
    both. Raises `DataError`.
    """
    info = _info(source / INFO)
    if options.episode is None and info.total_episodes != 1:
        raise DataError(f"{source}: has {info.total_episodes} episodes; choose one with --episode, from 0")
    number = options.episode or 0
    if not 0 <= number < info.total_episodes:
        raise DataError(f"{source}: has no episode {number}; it has {info.total_episodes}, from 0")
    cameras = [name for name, feature in info.features.items() if feature.dtype == "video"]
    if len(cameras) > 1 and not options.videos:
        raise DataError(f"{source}: has several cameras ({', '.join(cameras)}); choose a file with --video")
    camera = cameras[0] if len(cameras) == 1 else None
    three = not info.codebase_version.startswith(("v2", "v1"))
    episode = (_third if three else _second)(source, info, number, camera)
    table = _rows(read_tables(episode.data)[0], episode, info)
    if not options.videos and episode.video is not None:
        if not episode.video.is_file():
            raise DataError(f"{episode.video}: there is no such video; is the dataset complete?")
        options = replace(options, videos=(episode.video,))
    options = replace(options, times=options.times or ("timestamp [s]",))
    notes = [f"episode {number} of {info.total_episodes}, LeRobotDataset {info.codebase_version}"]
    recording = recording_of(source, [table], options, "LeRobotDataset", notes)
    if options.labels is not None or not episode.task:
        return recording
    begin, end = (float(time) for time in np.sort(table.numbers("timestamp [s]"))[[0, -1]])
    begin, end = max(begin + options.offset, 0.0), end + options.offset
    return replace(recording, labels=LabelTrack((Label(begin, end, episode.task),), "task"))


def _info(path: Path) -> _Info:
    try:
        return _Info.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: is not the description of a LeRobotDataset: {place}: {first['msg']}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; is {path.parents[1]} a LeRobotDataset?") from error


def _second(source: Path, info: _Info, number: int, camera: str | None) -> _Episode:
    """Find an episode of version 2: a file for each episode."""
    place = {"episode_chunk": number // info.chunks_size, "episode_index": number}
    video = source / info.video_path.format(video_key=camera, **place) if camera and info.video_path else None
    task, episodes = "", source / "meta" / "episodes.jsonl"
    if episodes.is_file():
        try:
            lines = [json.loads(line) for line in episodes.read_text(encoding="utf-8").splitlines() if line.strip()]
        except ValueError as error:
            raise DataError(f"{episodes}: is damaged: {error}") from error
        named = [line["tasks"] for line in lines if line.get("episode_index") == number and line.get("tasks")]
        task = str(named[0][0]) if named else ""
    return _Episode(number, source / info.data_path.format(**place), video, 0.0, task)


def _third(source: Path, info: _Info, number: int, camera: str | None) -> _Episode:
    """Find an episode of version 3: files with several episodes, and tables that say where each lies."""
    for path in sorted((source / "meta" / "episodes").glob("*/*.parquet")):
        table = read_tables(path)[0]
        rows = np.flatnonzero(table.numbers("episode_index") == number)
        if not len(rows):
            continue
        row = int(rows[0])

        def fact(name: str, table: Table = table, row: int = row) -> float:
            return float(table.numbers(name)[row])

        data = info.data_path.format(chunk_index=int(fact("data/chunk_index")), file_index=int(fact("data/file_index")))
        video, starts = None, 0.0
        if camera and info.video_path:
            place = {key: int(fact(f"videos/{camera}/{key}")) for key in ("chunk_index", "file_index")}
            video, starts = (
                source / info.video_path.format(video_key=camera, **place),
                fact(f"videos/{camera}/from_timestamp"),
            )
        return _Episode(number, source / data, video, starts, _task(table, row))
    raise DataError(f"{source / 'meta' / 'episodes'}: no table has episode {number}")


def _task(table: Table, row: int) -> str:
    """Return the first task of an episode; empty if there is none."""
    name = next((name for name in ("tasks", "tasks[0]", "task") if name in table.columns), None)
    cells = table.column(name) if name else []
    return cells[row] if isinstance(cells, list) and cells else ""


def _rows(table: Table, episode: _Episode, info: _Info) -> Table:
    """Return the rows of an episode, with its time in the video, and with the names of the places of its features."""
    chosen_N = np.ones(len(table), dtype=bool)
    if "episode_index" in table.columns:
        chosen_N = table.numbers("episode_index") == episode.number
    if not chosen_N.any():
        raise DataError(f"{table.path}: has no rows of episode {episode.number}")
    names = _names(info.features)
    columns: list[str] = []
    cells: list[Cells] = []
    for name in table.columns:
        values = table.column(name)
        if isinstance(values, list):
            continue
        columns.append("timestamp [s]" if name == "timestamp" else names.get(name, name))
        cells.append(values[chosen_N] + (episode.starts if name == "timestamp" else 0.0))
    return replace(table, columns=tuple(columns), cells=tuple(cells), lines=())


def _names(features: Mapping[str, _Feature]) -> dict[str, str]:
    """Return the names of places in features by their columns, `observation.state[0]`."""
    found: dict[str, str] = {}
    for feature, about in features.items():
        given = about.names
        names: Sequence[str] = next(iter(given.values()), []) if isinstance(given, dict) else given or []
        found |= {f"{feature}[{place}]": name for place, name in enumerate(names)} if len(names) > 1 else {}
    return {column: name for column, name in found.items() if list(found.values()).count(name) == 1}
