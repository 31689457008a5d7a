"""The command `import-recording`. Heavy imports stay inside it."""

from __future__ import annotations

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
    place: Annotated[str, typer.Option(help="Body place of the sensor, for the names of channels.")] = "Head",
    rate: Annotated[
        float | None,
        typer.Option(help="Rate of the IMU files [Hz].", show_default="that of the dataset, or 60"),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Cut the recording into clips of this length.", show_default="whole"),
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
        typer.Option("--format", metavar="NAME", help="Format: gopro or neon.", show_default="found by its content"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and write nothing.")] = False,
) -> None:
    """Add a device's recording to a dataset, which is created if it does not exist.

    The plan is printed first. If anything fails, nothing is written.
    """
    from revalexo_clip.core.text import counted
    from revalexo_clip.devices.describe import plan_lines
    from revalexo_clip.devices.importing import import_recording as command
    from revalexo_clip.devices.plan import ImportOptions
    from revalexo_clip.devices.write import write_import

    options = ImportOptions(rate=rate, clip=clip, axes=axes)
    plan = command(source, subject, into, options, place=place, format_name=device, dry_run=True)
    for line in plan_lines(plan):
        say(line)
    if dry_run:
        say("dry run: nothing is written")
        return
    with counting("clips") as on_progress:
        write_import(plan, on_progress)
    say(f"{into}: {counted(len(plan.clips), 'clip')} of {subject} added")
