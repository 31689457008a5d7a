"""The command `embed`. Heavy imports stay inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from revalexo_clip.cli.options import (
    AxesOption,
    ChannelsOption,
    DeviceOption,
    PlaceOption,
    RecordingArgument,
    RecordingOption,
    RowsOption,
    StrideOption,
    TimeOption,
    TimeUnit,
    TimeUnitOption,
    UnitsOption,
)
from revalexo_clip.core.console import quiet_libraries, say


def embed(  # noqa: PLR0917 (options, which typer passes by name)
    source: RecordingArgument,
    encoder: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="Folder of an exported or imported IMU encoder; or user/name on the hub."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Output, .npz or .parquet.", show_default="RECORDING-embeddings.npz, here"),
    ] = None,
    stride: StrideOption = 0.5,
    features: Annotated[bool, typer.Option("--features", help="Write features instead of embeddings.")] = False,
    place: PlaceOption = None,
    axes: AxesOption = None,
    device: DeviceOption = None,
    rate: RowsOption = None,
    time: TimeOption = None,
    time_unit: TimeUnitOption = TimeUnit.s,
    units: UnitsOption = None,
    recording: RecordingOption = None,
    channels: ChannelsOption = None,
) -> None:
    """Embed a recording with an IMU encoder: from a device's file to embeddings.

    Channels are found by their names, and resampled to the encoder's rate. Each window has its start and end [s].
    """
    quiet_libraries()
    from revalexo_clip.core.text import counted
    from revalexo_clip.data.recordings.file_format import parse_channels
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
        channels=parse_channels(channels or ()),
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
