"""Recordings of public datasets of first-person video and IMU tables: WEAR and EPIC-KITCHENS-100.

Formats as published: https://github.com/mariusbock/wear (`inertial_50hz/sbj_0.csv`: four limbs, 50 Hz, g, one label per
row) and https://epic-kitchens.github.io (`P01/meta_data/P01_101-accl.csv` and `-gyro.csv`: GoPro telemetry as tables,
with milliseconds). Tried on made files only.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import DeviceRecording, Label, LabelTrack
from revalexo_clip.devices.labels import read_labels
from revalexo_clip.devices.tables import VIDEOS, recording_of
from revalexo_clip.devices.tables_base import Table
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_read import read_text

WEAR_RATE = 50.0
"""Of the tables of WEAR [Hz]."""
_LIMBS = ("right_arm", "right_leg", "left_leg", "left_arm")
_NOTHING = frozenset({"", "null", "nan", "none"})
"""Labels that say that there is no activity."""
_EPIC = re.compile(r"(P\d\d_\d+)-(accl|gyro)\.csv")


def is_wear(source: Path) -> bool:
    """Whether a file looks like a table of WEAR."""
    if source.suffix.lower() != ".csv" or not source.is_file():
        return False
    try:
        with source.open(encoding="utf-8-sig", errors="replace") as file:
            head = file.readline(10_000)
    except OSError:
        return False
    return "sbj_id" in head and all(f"{limb}_acc_x" in head for limb in _LIMBS)


def read_wear(source: Path, options: TableOptions) -> DeviceRecording:
    """Read a table of WEAR: accelerometers of four limbs, and the activity of each row. Raises `DataError`."""
    table = read_text(source)
    columns = tuple(f"{name} [g]" if name.endswith(("_acc_x", "_acc_y", "_acc_z")) else name for name in table.columns)
    if not options.videos:
        options = replace(options, videos=tuple(_beside(source, source.stem, ("camera", "video", "videos"))))
    rate = options.rate or WEAR_RATE
    said = [f"{table.name}: WEAR, without a clock: {rate:g} Hz and g, as published; the first row is the first frame"]
    options = replace(options, rate=rate)
    recording = recording_of(source, [replace(table, columns=columns)], options, "WEAR", said)
    return recording if options.labels is not None else replace(recording, labels=_activities(table, rate, options))


def _activities(table: Table, rate: float, options: TableOptions) -> LabelTrack:
    """Return the activities of rows as segments."""
    if "label" not in table.columns or not isinstance(cells := table.column("label"), list):
        return LabelTrack(())
    found, row = [], 0
    for label, run in groupby(cells):
        first, row = row, row + len(list(run))
        if label.strip().lower() not in _NOTHING:
            found.append(Label(first / rate + options.offset, row / rate + options.offset, label.strip()))
    return LabelTrack(tuple(found), "label")


def is_epic(source: Path) -> bool:
    """Whether a file is a table of EPIC-KITCHENS-100, by its name."""
    return _EPIC.fullmatch(source.name) is not None


def read_epic(source: Path, options: TableOptions) -> DeviceRecording:
    """Read the accelerometer and gyroscope tables of a video of EPIC-KITCHENS-100, given one of them.

    Labels may be one of its annotation files, whose rows of this video are used, with the verb as label. Raises
    `DataError`.
    """
    match = _EPIC.fullmatch(source.name)
    if match is None:
        raise DataError(f"{source}: tables of EPIC-KITCHENS-100 are named P01_101-accl.csv and P01_101-gyro.csv")
    video = match[1]
    tables = []
    for kind, unit in (("accl", "m/s^2"), ("gyro", "rad/s")):
        path = source.with_name(f"{video}-{kind}.csv")
        if path.is_file():
            table = read_text(path)
            columns = tuple(f"{name} [{unit}]" if name[-1:] in "XYZ" else name for name in table.columns)
            tables.append(replace(table, columns=columns))
    if not options.videos:
        options = replace(options, videos=tuple(_beside(source, video, ("videos",))))
    notes = [
        f"{video}: units as published for GoPro telemetry; axes are in the order of the camera's model, not turned to "
        "one convention"
    ]
    labels = options.labels
    options = replace(options, labels=None) if labels is not None and labels.suffix.lower() == ".csv" else options
    options = replace(options, place=options.place or "Head")
    recording = recording_of(source, tables, options, "EPIC-KITCHENS-100 (GoPro)", notes)
    return recording if labels is None or options.labels else replace(recording, labels=_narrations(labels, video))


def _narrations(path: Path, video: str) -> LabelTrack:
    """Return the labels of a video in an annotation file of EPIC-KITCHENS-100; in any other file, all labels."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table of labels: {error}") from error
    if not rows or not {"video_id", "start_timestamp", "stop_timestamp", "verb"} <= set(rows[0]):
        return read_labels(path).track
    mine = [row for row in rows if row["video_id"] == video]
    if not mine:
        raise DataError(f"{path}: has no rows of the video {video}")
    labels = [
        Label(_seconds(path, row["start_timestamp"]), _seconds(path, row["stop_timestamp"]), row["verb"])
        for row in mine
    ]
    return LabelTrack(tuple(sorted(labels)), "verb")


def _seconds(path: Path, text: str) -> float:
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", text)
    if match is None:
        raise DataError(f"{path}: '{text}' is no time such as 00:01:02.50")
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _beside(source: Path, stem: str, folders: tuple[str, ...]) -> Iterator[Path]:
    """Yield the video of a name, in the folder of the tables or in one of the folders beside that."""
    for folder in (source.parent, *(source.parent.parent / name for name in folders)):
        if folder.is_dir():
            found = sorted(path for path in folder.iterdir() if path.stem == stem and path.suffix.lower() in VIDEOS)
            yield from found[:1]
            if found:
                return
