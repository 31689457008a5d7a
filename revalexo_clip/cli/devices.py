"""The command `import-recording`. Heavy imports stay inside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from revalexo_clip.core.console import counting, say


def import_recording(  # noqa: PLR0917 (options, which typer passes by name)
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="File or folder of the recording, e.g. GX010001.MP4.")
    ],
    subject: Annotated[str, typer.Option(metavar="NAME", help="Subject who was recorded.")],
    into: Annotated[Path, typer.Option(metavar="ROOT", help="Dataset root; it is created if it does not exist.")],
    place: Annotated[
        str | None,
        typer.Option(
            help="Body place of the sensor, for the names of channels.",
            show_default="Head for cameras; asked for if a table does not say it",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Rate of the IMU files [Hz].", show_default="that of the dataset, or 60"),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Cut the recording into clips of this length.", show_default="whole"),
    ] = None,
    begin: Annotated[
        float, typer.Option("--from", metavar="SECONDS", help="Import only what comes after this time [s].")
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(
            "--to", metavar="SECONDS", help="Import only what comes before this time [s].", show_default="the end"
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Directions to turn the sensors' axes to, e.g. right,forward,up.",
            show_default="those of the dataset, or of the device",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="Format, e.g. gopro or table.", show_default="found by its content"
        ),
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Video of a table; several are chapters.", show_default="the one beside it"),
    ] = None,
    time: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Clock column of a table; FILE:COLUMN for one of several tables."),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=UNIT", help="Unit in tables, e.g. time=ms, acc=g, gyro=deg/s or acc_Head=g."),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="CHANNEL=COLUMN", help="Column of a channel, e.g. acc_Head_x=ax, or =-ax."),
    ] = None,
    table_rate: Annotated[
        float | None, typer.Option(min=0.001, help="Rows per second of a table without a clock [Hz].")
    ] = None,
    video_starts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            help="What the clock of the tables reads at the first frame: a number, a date and time, first-row or "
            "creation-time; FILE=TIME for one of several tables.",
        ),
    ] = None,
    offset: Annotated[
        float, typer.Option(help="How much later samples of tables were taken than their clock says [s].")
    ] = 0.0,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Activities: ELAN .eaf, label track of Audacity, or CSV with start,end,label."
        ),
    ] = None,
    label_track: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tier of an ELAN file that has several.")
    ] = None,
    episode: Annotated[
        int | None, typer.Option(min=0, help="Number of the recording in a LeRobotDataset, from 0.")
    ] = None,
    imu: Annotated[
        str | None,
        typer.Option(metavar="SIDE", help="IMU of Project Aria glasses: left, right or both.", show_default="right"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and write nothing.")] = False,
) -> None:
    """Add a device's recording to a dataset, which is created if it does not exist.

    The plan is printed first. If anything fails, nothing is written.
    """
    from revalexo_clip.core.text import counted
    from revalexo_clip.devices.describe import next_steps, plan_lines
    from revalexo_clip.devices.importing import import_recording as command
    from revalexo_clip.devices.plan import ImportOptions
    from revalexo_clip.devices.tables_options import TableOptions, parse_columns, parse_units
    from revalexo_clip.devices.write import write_import

    options = ImportOptions(rate=rate, clip=clip, axes=axes, begin=begin, end=math.inf if end is None else end)
    tables = TableOptions(
        videos=tuple(video or ()),
        times=tuple(time or ()),
        units=parse_units(unit or ()),
        columns=parse_columns(map_ or ()),
        rate=table_rate,
        video_starts=tuple(video_starts or ()),
        offset=offset,
        labels=labels,
        label_track=label_track,
        episode=episode,
        imu=imu,
    )
    plan = command(source, subject, into, options, place=place, format_name=device, tables=tables, dry_run=True)
    for line in plan_lines(plan):
        say(line)
    if dry_run:
        say("dry run: nothing is written")
        return
    with counting("clips") as on_progress:
        write_import(plan, on_progress)
    say(f"{into}: {counted(len(plan.clips), 'clip')} of {subject} added")
    say("next, check it and look at it:")
    for command_line in next_steps(plan):
        say(f"  {command_line}")
