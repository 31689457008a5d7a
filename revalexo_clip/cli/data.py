"""The commands `synthesize`, `pack` and `check-data`. Heavy imports stay inside them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from revalexo_clip.cli.options import (
    JobsOption,
    JsonOption,
    TimeUnit,
)
from revalexo_clip.core.console import counting, err, out, say
from revalexo_clip.core.errors import ConfigError


class TimeZero(StrEnum):
    """What a clock counts from."""

    clip = "clip"
    first_row = "first_row"


def synthesize(  # noqa: PLR0917 (options, which typer passes by name)
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Output folder; with --no-video also a .npz file.")],
    subjects: Annotated[int, typer.Option(min=1, help="Number of subjects.")] = 10,
    clips: Annotated[int, typer.Option(min=1, help="Number of 12 s clips per subject.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; another seed gives other subjects and scenes.")] = 0,
    overlap: Annotated[
        float, typer.Option(min=0, help="Time that neighbouring clips share [s]; RevalExo's clips share 4 s.")
    ] = 0.0,
    world: Annotated[
        int, typer.Option(min=1, max=2, help="1: the simulation of the demo, frozen; 2: harder, like real recordings.")
    ] = 1,
    camera_imu: Annotated[
        bool, typer.Option("--camera-imu", help="Add an IMU in the camera: acc_Camera_x to gyro_Camera_z.")
    ] = False,
    stabilised: Annotated[
        bool, typer.Option("--stabilised", help="World 2: every second subject's camera stabilises its video.")
    ] = False,
    narrate: Annotated[
        bool, typer.Option("--narrate", help="Add narrations.json: sentences about pace, slope and turning.")
    ] = False,
    places: Annotated[
        str,
        typer.Option(metavar="all|PLACE,...", help="World 2 with --no-video: where sensors are worn."),
    ] = "",
    no_video: Annotated[
        bool,
        typer.Option(
            "--no-video", help="World 2 with --places: only IMUs, more activities, one .npz file or CSV files."
        ),
    ] = False,
    minutes: Annotated[float, typer.Option(min=0.1, help="With --no-video: minutes of each subject.")] = 5.0,
    rate: Annotated[float, typer.Option(min=10, max=1000, help="With --no-video: sampling rate [Hz].")] = 60.0,
) -> None:
    """Write a simulated dataset in RevalExo's layout, or recordings of IMUs anywhere on the body."""
    from revalexo_clip.core.text import counted

    given = {name for name in context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")}
    if places or no_video:
        if not (places and no_video and world == 2):
            raise ConfigError("--places and --no-video need each other and --world 2: sensors anywhere have no video")
        wrong = sorted(given & {"clips", "overlap", "camera_imu", "stabilised", "narrate"})
        if wrong:
            raise ConfigError(f"--{wrong[0].replace('_', '-')} does not apply to --no-video")
        _synthesize_bodies(folder, subjects, minutes, rate, places=places, seed=seed)
        return
    wrong = sorted(given & {"minutes", "rate"})
    if wrong:
        raise ConfigError(f"--{wrong[0]} applies to --no-video only")
    from revalexo_clip.data.synthetic import synthesize as command

    with counting("clips") as on_progress:
        command(
            folder,
            subjects=subjects,
            clips=clips,
            seed=seed,
            overlap=overlap,
            world=world,
            camera_imu=camera_imu,
            stabilised=stabilised,
            narrate=narrate,
            on_progress=on_progress,
        )
    say(f"{folder}: {counted(subjects, 'subject')} with {counted(clips, 'clip')} each")


def _synthesize_bodies(path: Path, subjects: int, minutes: float, rate: float, *, places: str, seed: int) -> None:
    from revalexo_clip.core.text import counted
    from revalexo_clip.data.synthetic.bodies import PLACES, write_bodies

    chosen = PLACES if places == "all" else tuple(places.split(","))
    with counting("sessions") as on_progress:
        bodies = write_bodies(path, subjects, minutes, rate, chosen, seed=seed, on_progress=on_progress)
    recordings = counted(len(bodies.label), "recording")
    activities = counted(len(bodies.activities), "activity", "activities")
    say(f"{path}: {recordings} of {counted(subjects, 'subject')} with {counted(len(chosen), 'sensor')}, {activities}")


def pack(  # noqa: PLR0917 (options, which typer passes by name)
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Dataset root.")],
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Output folder.", show_default="in ROOT, or in the cache folder"),
    ] = None,
    short_side: Annotated[int, typer.Option(min=1, help="Short side of the frames [px].")] = 256,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = 90,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Pack only the I-th of N shares of the clips, on one of N machines.")
    ] = "1/1",
    prune: Annotated[
        bool, typer.Option("--prune", help="Afterwards, remove what no clip of the dataset uses with these settings.")
    ] = False,
    jobs: JobsOption = None,
) -> None:
    """Pack a dataset into a folder that loads fast, or add to its pack what is new.

    The first training on a dataset does this too.
    """
    from rich import filesize

    from revalexo_clip.core.text import counted
    from revalexo_clip.data.revalexo.pack import build as command

    share = command.parse_share(shard)
    if prune and share != (1, 1):
        raise ConfigError("--prune and --shard exclude each other: prune when all shares are packed")
    with counting("packing") as on_progress:
        result = command.pack(
            root,
            folder,
            short_side=short_side,
            quality=quality,
            processes=jobs,
            share=share,
            on_progress=on_progress,
        )
    say(f"{result.path}{'' if result.made else ' is up to date'}")
    size, source = filesize.decimal(result.size), filesize.decimal(result.source_size)
    say(f"  {counted(result.clips, 'clip')}, {size}; source files: {source}")
    if result.missing:
        say(f"  share {shard} is packed; {counted(result.missing, 'clip')} of other shares are not yet")
    if prune:
        pruned = command.prune(root, result.path)
        for line in pruned.removed:
            say(f"  removed {line}")
        say(f"  {filesize.decimal(max(pruned.freed, 0))} freed")


def check_data(  # noqa: PLR0917 (options, which typer passes by name)
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="Dataset root, or the file of a pack or of recordings (.npz).")
    ],
    channels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN,...|NAME=COLUMN,...",
            help="Columns to check, as in data.channels: patterns, e.g. acc_*,gyro_*, or recordings without video "
            "by channel. Repeatable.",
            show_default="RevalExo's, or acc_*,gyro_* of recordings without video",
        ),
    ] = None,
    imu_rate: Annotated[
        float, typer.Option(help="Sampling rate of the IMU recordings, or of windows if there is a clock [Hz].")
    ] = 60.0,
    time: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Clock column of the IMU files, as in data.time.", show_default="none"),
    ] = None,
    time_unit: Annotated[TimeUnit, typer.Option(help="Unit of the clock; iso: dates and times as text.")] = TimeUnit.s,
    time_zero: Annotated[
        TimeZero, typer.Option(help="What the clock counts from: the first frame of the clip, or any moment.")
    ] = TimeZero.clip,
    min_duration: Annotated[
        float, typer.Option(min=0, help="Minimum clip duration, as in data.min_duration [s].")
    ] = 10.0,
    units: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=UNIT,...",
            help="Units of recordings without video, as in data.units, e.g. acc=g,gyro=deg/s.",
            show_default="m/s^2 and rad/s",
        ),
    ] = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a dataset, or a pack, and list every problem.

    The exit code is 1 if there are problems.
    """
    from revalexo_clip.config.loading import texts_of
    from revalexo_clip.data.recordings.file_format import parse_channels
    from revalexo_clip.data.recordings.units import parse_units
    from revalexo_clip.data.revalexo.check import command
    from revalexo_clip.reports.terminal.tables import problem_table, recording_table

    named = parse_channels(channels or ()) if any("=" in text for text in channels or ()) else None
    patterns = [pattern for text in channels or [] for pattern in texts_of(text)]
    if channels and not patterns:
        raise ConfigError("--channels names no pattern; write it as --channels 'acc_*,gyro_*'")
    with counting("clips") as on_progress:
        result = command.check_data(
            root,
            channels=named or patterns or None,
            imu_rate=imu_rate,
            min_duration=min_duration,
            time=time,
            time_unit=time_unit.value,
            time_zero=time_zero.value,
            units=parse_units(units),
            processes=jobs,
            on_progress=on_progress,
        )
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        if result.problems:
            # A pipe gets wide lines: programs need file names in one piece.
            (out if out.is_terminal else Console(width=1000)).print(problem_table(result.problems))
        if out.is_terminal and any(len(clips) > 1 for clips in result.findings.recordings.recordings):
            out.print(recording_table(result.findings.recordings.recordings))
        say(result.summary())
    if channels is None and any(problem.kind == "missing_channel" for problem in result.problems):
        err.print("the default channels are RevalExo's; set the dataset's own with --channels", highlight=False)
    if result.problems:
        raise typer.Exit(1)
