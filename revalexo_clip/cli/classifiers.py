"""The commands of exported activity classifiers. Heavy imports stay inside the functions, as in `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from revalexo_clip.cli.options import (
    AxesOption,
    ChannelsOption,
    CkptOption,
    DeviceOption,
    ExperimentFileOption,
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


def export_classifier(
    ckpt: CkptOption = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Also write classifier.onnx, checked with onnxruntime.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Output folder.", show_default="export/ in the run folder"),
    ] = None,
    experiment: ExperimentFileOption = None,
) -> None:
    """Export the activity classifier of a finetuning run to a folder."""
    quiet_libraries()
    from rich import filesize

    from revalexo_clip.core.text import counted
    from revalexo_clip.export import classifier_folder as command

    result = command.export_classifier(ckpt, onnx=onnx, out=folder, experiment_file=experiment)
    described = result.description
    say(
        f"{type(described.encoder).__name__}, {result.parameters:,} parameters, "
        f"{counted(len(described.labels), 'activity', 'activities')} at {counted(len(described.horizons), 'horizon')}"
    )
    for path in result.files:
        say(f"  {path}  {filesize.decimal(path.stat().st_size)}")
    if check := described.onnx:
        say(f"classifier.onnx differs from torch by at most {check.difference:.1g} on {check.windows}")


def predict(  # noqa: PLR0917 (options, which typer passes by name)
    source: RecordingArgument,
    classifier: Annotated[
        Path,
        typer.Option(metavar="FOLDER|RUN|CKPT", help="Folder of an exported classifier, or a finetuning run."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Output, .csv. The timeline is beside it, .html.",
            show_default="RECORDING-predictions.csv, here",
        ),
    ] = None,
    stride: StrideOption = 0.5,
    place: PlaceOption = None,
    axes: AxesOption = None,
    device: DeviceOption = None,
    rate: RowsOption = None,
    time: TimeOption = None,
    time_unit: TimeUnitOption = TimeUnit.s,
    units: UnitsOption = None,
    recording: RecordingOption = None,
    channels: ChannelsOption = None,
    experiment: ExperimentFileOption = None,
) -> None:
    """Predict the activities of a recording: a CSV file, and a timeline as a page.

    Each window and horizon is a row: start and end of the window, the time that is predicted for [s], the most probable
    activity, and the probabilities of all.
    """
    quiet_libraries()
    from revalexo_clip.core.text import counted
    from revalexo_clip.data.recordings.file_format import parse_channels
    from revalexo_clip.data.recordings.units import parse_units
    from revalexo_clip.export.recording_predictions import (
        check_output,
        predict_recording,
        write_predictions,
        write_timeline_of,
    )

    path = Path(f"{source.resolve().stem}-predictions.csv") if out is None else out
    page = path.with_suffix(".html")
    check_output(path, page)
    found = predict_recording(
        source,
        classifier,
        stride=stride,
        place=place,
        axes=axes,
        format_name=device,
        rate=rate,
        time=time,
        time_unit=time_unit.value,
        units=parse_units(units),
        recording=recording,
        channels=parse_channels(channels or ()),
        experiment_file=experiment,
    )
    for note in found.notes:
        say(f"note: {note}")
    write_predictions(found, path)
    write_timeline_of(found, page, source.name)
    end_N = found.predictions.end_N
    say(
        f"{path}: {counted(len(end_N), 'window')} at {counted(len(found.horizons), 'horizon')}, "
        f"{end_N[0] - found.window:.3f} to {end_N[-1]:.3f} s"
    )
    say(f"{page}: timeline")
