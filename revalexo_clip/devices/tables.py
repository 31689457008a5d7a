"""Any table beside a video: CSV, TSV, Parquet and xlsx files with the samples of accelerometers and gyroscopes.

Delimiter, header, clock, units and places are found in the files if these tell them, and are asked for if not: see
`TableOptions`. All that was found, assumed and left out is in the notes of the recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import DeviceRecording, VideoStream
from revalexo_clip.devices.labels import read_labels
from revalexo_clip.devices.tables_base import Table
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_read import SUFFIXES, read_tables
from revalexo_clip.devices.tables_sensors import has_sensors, sensors_of
from revalexo_clip.devices.tables_start import zeros_of
from revalexo_clip.devices.tables_streams import streams_of
from revalexo_clip.devices.video_files import read_video

VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm"})
"""Suffixes of videos."""


def is_table(source: Path) -> bool:
    """Whether a file is a table by its suffix, or a folder has such files."""
    paths = source.iterdir() if source.is_dir() else [source]
    return any(path.suffix.lower() in SUFFIXES for path in paths)


def read(source: Path, options: TableOptions) -> DeviceRecording:
    """Read a table, or the tables in a folder, and the video beside them.

    Raises `DataError`, naming file and column, if something is wrong or has to be said by the user.
    """
    tables, notes = tables_in(source)
    return recording_of(source, tables, options, "table", notes)


def recording_of(
    source: Path, tables: Sequence[Table], options: TableOptions, device: str, notes: Sequence[str] = ()
) -> DeviceRecording:
    """Return the recording of tables that have been read; `device` says what wrote them. Raises `DataError`."""
    files, found = videos_of(source, options)
    sensors = sensors_of(tables, options)
    video: VideoStream | None = read_video(files) if files else None
    zeros, assumed = zeros_of(sensors, video, options)
    streams, said = streams_of(sensors, options, zeros)
    used = {sensor.table.where: sensor for sensor in sensors}
    about = [f"{sensor.table.name}: {sensor.table.form}; {sensor.clock.how}" for sensor in used.values()]
    faults = [note for sensor in used.values() for note in sensor.table.notes]
    labels = read_labels(options.labels, options.label_track)
    sentences = (*about, *said, *assumed, *found, *notes, *faults, *labels.notes)
    return DeviceRecording(source, device, tuple(streams), video, labels.track, sentences)


def tables_in(source: Path) -> tuple[list[Table], list[str]]:
    """Return the tables of a file, or those of a folder that have sensors, and what was left out.

    Raises `DataError` if there is none.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    if source.is_file():
        tables = read_tables(source)
        with_sensors = [table for table in tables if has_sensors(table)]
        return (with_sensors if len(tables) > 1 and with_sensors else tables), []
    paths = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    found, without = [], []
    for path in paths:
        try:
            tables = [table for table in read_tables(path) if has_sensors(table)]
        except DataError:
            tables = []  # notes, lists of files: what is no table is no recording
        found += tables
        without += [] if tables else [path.name]
    if not found:
        listed = f" ({', '.join(without)} have no columns of accelerometers or gyroscopes)" if without else ""
        raise DataError(f"{source}: has no table with an accelerometer or gyroscope{listed}")
    return found, [f"not used: {', '.join(without)}"] if without else []


def videos_of(source: Path, options: TableOptions) -> tuple[list[Path], list[str]]:
    """Return the files of the video, and where they were found.

    Without a choice, it is the video of the same name beside a table, or the one video in a folder. Raises `DataError`
    if a file does not exist or if a folder has several.
    """
    if options.videos:
        missing = [path for path in options.videos if not path.is_file()]
        if missing:
            raise DataError(f"{missing[0]}: there is no such video")
        return list(options.videos), []
    folder = source if source.is_dir() else source.parent
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEOS and path.is_file())
    if source.is_file():
        others, found = found, [path for path in found if path.stem == source.stem]
        if others and not found:
            names = ", ".join(path.name for path in others[:3])
            return [], [f"no video: none has the name of the table; choose one with --video ({names} beside it)"]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{source}: has several videos ({names}); choose with --video, several times for chapters")
    return found, [f"video: {path.name}, found beside the table" for path in found]
