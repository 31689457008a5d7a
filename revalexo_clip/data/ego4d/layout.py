"""Ego4D's layout: `ego4d.json`, `narration.json`, and folders of IMU tables and videos.

https://ego4d-data.org/docs: `imu/<video_uid>.csv`, `full_scale/<video_uid>.mp4` or `video_540ss/<video_uid>.mp4`, or
`clips/<clip_uid>.mp4`; the folders are in the root or in its folder `v2`, the annotations also in `annotations`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.ego4d.rows import Table
from revalexo_clip.data.ego4d.tables import read_csv
from revalexo_clip.data.ego4d.take import SILENCE, Footage, Layout, Narrations, Take, narrations_of

METADATA = "ego4d.json"
NARRATIONS = "narration.json"
CHANNELS = {
    **{f"acc_Camera_{axis}": f"accl_{axis}" for axis in "xyz"},
    **{f"gyro_Camera_{axis}": f"gyro_{axis}" for axis in "xyz"},
}
"""Channels of windows, and the column of each: accelerations [m/s^2], then angular velocities [rad/s]."""
VideoFolder = Literal["video_540ss", "full_scale", "clips"]
FOLDERS: tuple[VideoFolder, ...] = ("video_540ss", "full_scale", "clips")
PASSES = ("narration_pass_1", "narration_pass_2")
WEARER = "#c"
"""Mark of a narration of what the camera wearer does, in lower case."""


def is_ego4d(root: Path) -> bool:
    """Return whether a folder has Ego4D's layout."""
    return any((folder / METADATA).is_file() for folder in (root, root / "v2"))


class Ego4DLayout(Layout):
    """The recordings of Ego4D that have an IMU."""

    def __init__(self, root: Path, videos: VideoFolder | None = None) -> None:
        """Read the metadata and the narrations. `videos` is the folder of the videos; by default, the first there is.

        Raises `DataError`, naming the file, if the metadata are missing or have another form.
        """
        self.root = root
        there = [name for name in FOLDERS if self._folder(name).is_dir()]
        self.videos: VideoFolder = videos if videos is not None else (*there, *FOLDERS)[0]
        path = _found(root, METADATA)
        described = _object(path)
        narrations = _narrations(root)
        clips = _clips(described, path) if self.videos == "clips" else {}
        takes = []
        for video in _entries(described, "videos", path):
            uid = _text(video, "video_uid", path)
            if not video.get("has_imu"):
                continue
            footage = clips.get(uid, []) if self.videos == "clips" else [(uid, 0.0)]
            files = tuple(
                Footage(name, self._folder(self.videos) / f"{name}.mp4", start) for name, start in sorted(footage)
            )
            table = self._folder("imu") / f"{uid}.csv"
            takes.append(Take(uid, _subject(video, uid), table, files, narrations.get(uid, SILENCE)))
        self.takes = tuple(sorted(takes, key=lambda take: take.name))

    def _folder(self, name: str) -> Path:
        nested = self.root / "v2" / name
        return nested if nested.is_dir() else self.root / name

    def read(self, take: Take) -> Table:
        """See `Layout.read`."""
        return read_csv(take.imu, tuple(CHANNELS.values()), "canonical_timestamp_ms", 1e3, component="component_idx")


def _subject(video: Mapping[str, object], uid: str) -> str:
    """Return the subject of a video: its participant if it is known, else the video itself."""
    participant = video.get("fb_participant_id")
    return uid if participant in (None, "") else f"participant_{participant}"


def of_wearer(text: str) -> bool:
    """Return whether a narration is about the camera wearer."""
    return WEARER in text.lower()


def _narrations(root: Path) -> dict[str, Narrations]:
    """Read the narrations of all videos; none if there is no such file."""
    try:
        path = _found(root, NARRATIONS)
    except DataError:
        return {}
    content = _object(path)
    videos = content.get("videos", content)
    if not isinstance(videos, dict):
        raise DataError(f"{path}: videos is not an object")
    return {
        str(uid): narrations_of(list(_sentences(entry, path)))
        for uid, entry in videos.items()
        if isinstance(entry, dict)
    }


def _sentences(entry: Mapping[str, object], path: Path) -> Iterator[tuple[float, str]]:
    for name in PASSES:
        found = entry.get(name)
        if not isinstance(found, dict):
            continue
        for narration in _entries(found, "narrations", path):
            time, text = narration.get("timestamp_sec"), narration.get("narration_text")
            if isinstance(time, (int, float)) and isinstance(text, str):
                yield float(time), text


def _clips(described: Mapping[str, object], path: Path) -> dict[str, list[tuple[str, float]]]:
    """Return the clips of each video: their name, and their start in the video [s]."""
    found: dict[str, list[tuple[str, float]]] = {}
    for clip in _entries(described, "clips", path):
        uid, start = _text(clip, "clip_uid", path), clip.get("video_start_sec")
        if not isinstance(start, (int, float)):
            raise DataError(f"{path}: clip {uid} has no video_start_sec")
        found.setdefault(_text(clip, "video_uid", path), []).append((uid, float(start)))
    return found


def _found(root: Path, name: str) -> Path:
    folders = (root, root / "v2", root / "annotations", root / "v2" / "annotations")
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{root}: there is no {name} in it, its folder v2 or their folders annotations")


def _object(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: is not a JSON file: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a JSON object")
    return content


def _entries(content: Mapping[str, object], key: str, path: Path) -> Iterator[dict[str, object]]:
    found = content.get(key, [])
    if not isinstance(found, list):
        raise DataError(f"{path}: {key} is not a list")
    for place, entry in enumerate(found):
        if not isinstance(entry, dict):
            raise DataError(f"{path}: {key}[{place}] is not an object")
        yield entry


def _text(entry: Mapping[str, object], key: str, path: Path) -> str:
    found = entry.get(key)
    if not isinstance(found, str) or not found:
        raise DataError(f"{path}: an entry has no {key}")
    return found
