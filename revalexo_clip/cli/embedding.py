"""The command `embed`. Heavy imports stay inside it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from revalexo_clip.core.console import quiet_libraries, say


class TimeUnitOption(StrEnum):
    """Units of clocks."""

    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"
    iso = "iso"


def embed(  # noqa: PLR0917 (options, which typer passes by name)
    source: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="Recording of a device, e.g. GX010001.MP4; or .csv, .npz.")
    ],
    encoder: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="Folder of an exported or imported IMU encoder; or user/name on the hub."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Output, .npz or .parquet.", show_default="RECORDING-embeddings.npz, here"),
    ] = None,
    stride: Annotated[float, typer.Option(metavar="SECONDS", help="Time from one window to the next.")] = 0.5,
    features: Annotated[bool, typer.Option("--features", help="Write features instead of embeddings.")] = False,
    place: Annotated[
        str | None,
        typer.Option(
            help="Body place of the sensor that the encoder gets.", show_default="that of the encoder's channels"
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Directions to turn a device's axes to, e.g. right,forward,up.",
            show_default="those of the device",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Format of a device.", show_default="found by its content"),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Rate of a .csv or .npz file without a clock [Hz].")] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Clock column of a .csv file.", show_default="found by its name"),
    ] = None,
    time_unit: Annotated[TimeUnitOption, typer.Option(help="Unit of that column.")] = TimeUnitOption.s,
    units: Annotated[
        str | None,
        typer.Option(help="Units of a .csv or .npz file, e.g. acc=g,gyro=deg/s.", show_default="m/s^2 and rad/s"),
    ] = None,
    recording: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=0, help="Recording in an .npz file with several, from 0.")
    ] = None,
) -> None:
    """Embed a recording with an IMU encoder: from a device's file to embeddings.

    Channels are found by their names, and resampled to the encoder's rate. Each window has its start and end [s].
    """
    quiet_libraries()
    from revalexo_clip.core.text import counted
    from revalexo_clip.data.recordings.units import parse_units
    from revalexo_clip.export.embedding import check_output, embed_recording, write_embeddings

    path = Path(f"{source.resolve().stem}-embeddings.npz") if out is None else out
    check_output(path)
    found = embed_recording(
        source,
        encoder,
        stride=stride,
        features=features,
        place=place,
        axes=axes,
        format_name=device,
        rate=rate,
        time=time,
        time_unit=time_unit.value,
        units=parse_units(units),
        recording=recording,
    )
    for note in found.notes:
        say(f"note: {note}")
    write_embeddings(found, path)
    what = "features" if features else "embeddings"
    first, last = found.start_N[0], found.start_N[-1] + found.window
    say(
        f"{path}: {what} of {counted(len(found.start_N), 'window')}, {found.vector_ND.shape[1]} numbers each, "
        f"{first:.3f} to {last:.3f} s"
    )
