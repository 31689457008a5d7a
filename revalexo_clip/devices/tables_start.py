"""Which time of a table's clock is the first video frame."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import av

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.clocks import PER_SECOND
from revalexo_clip.data.packets import opened_video
from revalexo_clip.devices.base import VideoStream
from revalexo_clip.devices.tables_clock import read_moment, read_time_of_day
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_sensors import Sensor


def zeros_of(
    sensors: Sequence[Sensor], video: VideoStream | None, options: TableOptions
) -> tuple[dict[str, float], list[str]]:
    """Return the time of each table's clock at the first video frame [s], and what was assumed, for the plan.

    Without a video, it is the first sample of all tables. Raises `DataError` if it has to be said by the user, or if a
    table and the video have no time in common.
    """
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    example: dict[str, Sensor] = {}
    for sensor in sensors:
        where = sensor.table.where
        example.setdefault(where, sensor)
        first[where] = min(first.get(where, float("inf")), float(sensor.time_N[0]))
        last[where] = max(last.get(where, float("-inf")), float(sensor.time_N[-1]))
    _check_files(list(example.values()), options)
    if video is None:
        _check_alike(list(example.values()))
        start = min(first.values())
        return dict.fromkeys(first, start - options.offset), []
    zeros, notes = {}, []
    earliest = min(first.values())
    for where, sensor in example.items():
        zero, note = _zero(sensor, video, _said(sensor, options), earliest)
        zeros[where] = zero - options.offset
        notes.append(note)
        begin, end = first[where] - zeros[where], last[where] - zeros[where]
        if begin >= video.end or end <= 0:
            raise DataError(
                f"{where}: its clock has no time in common with the video: it goes from {begin:.2f} s to {end:.2f} s "
                f"after the first frame of {video.files[0].name}, which lasts {video.end:.2f} s; say what its clock "
                "reads at the first frame with --video-starts, or move it with --offset"
            )
    if options.offset:
        notes.append(f"samples are moved by {options.offset:+g} s (--offset)")
    return zeros, list(dict.fromkeys(notes))


def _said(sensor: Sensor, options: TableOptions) -> str | None:
    """Return what the user says of a table's clock at the first frame."""
    general = None
    for text in options.video_starts:
        file, equals, value = text.partition("=")
        if not equals:
            general = text
        elif file in (sensor.table.name, sensor.table.path.name):
            return value
    return general


def _check_files(sensors: Sequence[Sensor], options: TableOptions) -> None:
    names = {name for sensor in sensors for name in (sensor.table.name, sensor.table.path.name)}
    for text in options.video_starts:
        file, equals, _ = text.partition("=")
        if equals and file not in names:
            raise DataError(f"{sensors[0].table.where}: --video-starts {text}: there is no table {file}")


def _check_alike(sensors: Sequence[Sensor]) -> None:
    kinds = {sensor.clock.absolute: sensor.table for sensor in sensors}
    if len(kinds) > 1:
        raise DataError(
            f"{kinds[True].where}: its clock counts from 1970, and that of {kinds[False].name} does not, so that they "
            "cannot be placed; choose clocks that are alike with --time FILE:COLUMN"
        )


def _zero(sensor: Sensor, video: VideoStream, said: str | None, earliest: float) -> tuple[float, str]:
    """Return the time of a clock at the first frame, and a sentence on it."""
    clock, name, file = sensor.clock, sensor.table.name, video.files[0]
    if said == "first-row":
        return earliest, "the first row of the tables is taken as the first video frame (--video-starts first-row)"
    if said == "creation-time":
        created = creation_time(file)
        if created is None or not clock.absolute:
            why = (
                f"{file.name} does not say when it was made"
                if created is None
                else "its clock does not count from 1970"
            )
            raise DataError(f"{sensor.table.where}: --video-starts creation-time cannot be used, as {why}")
        return created, f"{name}: {file.name} is taken to start when it says it was made, to the second"
    if said is not None:
        zero = _read(sensor, said)
        return zero, f"{name}: the first video frame is at {said} of its clock (--video-starts)"
    if clock.absolute:
        raise DataError(f"{sensor.table.where}: {_asks(sensor, file)}")
    return 0.0, f"{name}: time zero of its clock is taken as the first video frame"


def _read(sensor: Sensor, said: str) -> float:
    clock = sensor.clock
    try:
        return float(said) / PER_SECOND["s" if clock.unit == "iso" else clock.unit]
    except ValueError:
        pass
    if clock.absolute and (moment := read_moment(said)) is not None:
        return moment
    if not clock.absolute and (moment := read_time_of_day(said)) is not None:
        return moment
    kind = "a date and time such as 2024-05-01T12:00:00.250Z" if clock.absolute else f"a number [{clock.unit}]"
    raise DataError(f"{sensor.table.where}: --video-starts {said}: write {kind}, first-row or creation-time")


def _asks(sensor: Sensor, file: Path) -> str:
    begins = datetime.fromtimestamp(float(sensor.time_N[0]), UTC).isoformat(timespec="milliseconds")
    created = creation_time(file)
    hint = ""
    if created is not None:
        made = datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds")
        hint = f"; {file.name} says that it was made at {made}, which is to the second and often in local time"
    return (
        f"its clock, column '{sensor.clock.column}', counts from 1970 (its first row is at {begins}), and when the "
        f"video {file.name} starts is not known; say it with --video-starts 2024-05-01T12:00:00.250Z, or with "
        f"first-row or creation-time{hint}"
    )


def creation_time(path: Path) -> float | None:
    """Return when a video says that it was made, in seconds since 1970; None if it does not. Raises `DataError`."""
    try:
        with opened_video(path) as container:
            text = container.metadata.get("creation_time")
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be read as video: {error.strerror}") from error
    return read_moment(text) if text else None
