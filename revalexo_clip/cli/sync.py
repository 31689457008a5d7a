"""The commands `check-sync` and `view`. Heavy imports stay inside them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from revalexo_clip.cli.data import TimeZero
from revalexo_clip.cli.options import ExperimentFileOption, JsonOption, TimeUnit
from revalexo_clip.core.console import counting, out, say


class Line(StrEnum):
    """The line of the picture that is taken at the time of a frame."""

    first = "first"
    middle = "middle"
    last = "last"


RateOption = Annotated[
    float,
    typer.Option("--imu-rate", help="Sampling rate of the IMU recordings, or of windows if they have a clock [Hz]."),
]
ClockOption = Annotated[
    str | None,
    typer.Option(
        "--time", metavar="COLUMN", help="Clock column of the IMU files, as in data.time.", show_default="none"
    ),
]
UnitOption = Annotated[TimeUnit, typer.Option("--time-unit", help="Unit of the clock; iso: dates and times as text.")]
ZeroOption = Annotated[
    TimeZero,
    typer.Option("--time-zero", help="What the clock counts from: the first frame of the clip, or any moment."),
]
SensorOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Sensor on the camera or head, as in gyro_NAME_x.", show_default="the one so named"
    ),
]


def check_sync(  # noqa: PLR0917 (options, which typer passes by name)
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Dataset root.")],
    sensor: SensorOption = None,
    ckpt: Annotated[
        Path | None,
        typer.Option(
            metavar="CKPT|RUN", help="Compare windows by a trained pair of encoders instead, for sensors on the body."
        ),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLIP:VIDEO_S:IMU_S",
            help="Use marked events instead, such as a clap at 3.2 s of the video and 3.35 s of the IMU; or a CSV with "
            "the columns clip, video, imu. Repeatable.",
        ),
    ] = None,
    imu_rate: RateOption = 60.0,
    time: ClockOption = None,
    time_unit: UnitOption = TimeUnit.s,
    time_zero: ZeroOption = TimeZero.clip,
    max_lag: Annotated[float, typer.Option(help="Longest lag that is searched for [s].")] = 2.0,
    line: Annotated[
        Line,
        typer.Option(help="The line of the picture that the times of frames belong to, if the shutter is rolling."),
    ] = Line.last,
    write: Annotated[
        bool, typer.Option("--apply", help="Add the lags that are known to imu_offset in the dataset's JSON files.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.html", help="Write a page with a plot of every recording.", show_default="none"
        ),
    ] = None,
    experiment_file: ExperimentFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the lag between IMU and video of each recording.

    The exit code is 1 if a recording is off by more than half a frame, with confidence.
    """
    from revalexo_clip.core.files import check_writable
    from revalexo_clip.core.text import counted
    from revalexo_clip.sync import command
    from revalexo_clip.sync.events import parse_event, read_events
    from revalexo_clip.sync.page import write_page
    from revalexo_clip.sync.table import notes_of, sync_table

    events = [
        found
        for text in event or []
        for found in (read_events(Path(text)) if text.endswith(".csv") else [parse_event(text)])
    ]
    if page is not None:  # before --apply changes the dataset
        check_writable(page)
    with counting("videos") as on_progress:
        result = command.check_sync(
            root,
            sensor=sensor,
            ckpt=ckpt,
            experiment_file=experiment_file,
            events=events,
            imu_rate=imu_rate,
            time=time,
            time_unit=time_unit.value,
            time_zero=time_zero.value,
            max_lag=max_lag,
            line=line.value,
            apply=write,
            on_progress=on_progress,
        )
    if page is not None:
        write_page(page, result)
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        out.print(sync_table(result))
        for note in notes_of(result):
            say(note)
        if result.applied:
            say(f"imu_offset of {counted(len(result.applied), 'clip')} is written into {root / 'data_pairs'}")
        if page is not None:
            say(f"page: {page}")
        say(result.summary())
    if any(found.off for found in result.results):
        raise typer.Exit(1)


def view(  # noqa: PLR0917 (options, which typer passes by name)
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Dataset root.")],
    clip: Annotated[
        str | None, typer.Argument(metavar="[CLIP]", help="Clip, e.g. Subject01/0001.", show_default="the first one")
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="Output file.", show_default="named after the clip"),
    ] = None,
    sensor: SensorOption = None,
    imu_rate: RateOption = 60.0,
    time: ClockOption = None,
    time_unit: UnitOption = TimeUnit.s,
    time_zero: ZeroOption = TimeZero.clip,
    embed: Annotated[
        float, typer.Option(min=0, help="Largest video that is embedded as it is [MB]; of others, frames are.")
    ] = 30.0,
) -> None:
    """Write one page with the video, the IMU under a moving cursor, the labels and the lag of a clip.

    The page needs no other file and no network.
    """
    from revalexo_clip.sync.view import read_view
    from revalexo_clip.sync.view_page import write_view

    with counting("frames") as on_progress:
        found = read_view(
            root,
            clip,
            sensor=sensor,
            imu_rate=imu_rate,
            time=time,
            time_unit=time_unit.value,
            time_zero=time_zero.value,
            largest=embed,
            on_progress=on_progress,
        )
    path = out_file or Path(f"{found.clip.name.replace('/', '-')}.html")
    write_view(path, found)
    say(str(path))
