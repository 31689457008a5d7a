"""The commands that write encoder folders. Heavy imports stay inside them, as in `cli`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revalexo_clip.cli.options import CkptOption, ExperimentFileOption, FormatOption, ModalityOption, SetOption
from revalexo_clip.core.console import quiet_libraries, say

if TYPE_CHECKING:
    from revalexo_clip.export import EncoderDescription


def export_encoder(
    modality: Annotated[ModalityOption, typer.Option(help="Which encoder.")],
    ckpt: CkptOption = None,
    fmt: Annotated[
        FormatOption,
        typer.Option(
            "--format", help="A self-describing folder; the same with encoder.onnx; or RevalExo's state dict."
        ),
    ] = FormatOption.safetensors,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to.", show_default="export/ in the run folder"),
    ] = None,
    experiment: ExperimentFileOption = None,
) -> None:
    """Write one encoder to a folder of its own."""
    quiet_libraries()
    from revalexo_clip.export import folder as command

    result = command.export_encoder(modality.value, ckpt, format=fmt.value, out=folder, experiment_file=experiment)
    _say_encoder(result.description, result.parameters, result.files)
    if check := result.description.onnx:
        say(f"encoder.onnx differs from torch by {check.difference:.1g} at most, on {check.windows}")


def import_encoder(
    file: Annotated[Path, typer.Argument(metavar="FILE.pt", help="A state dict under RevalExo's names.")],
    experiment: Annotated[
        str,
        typer.Option(
            "--experiment", metavar="FILE.py[:Class]", help="Its dataset names the channels and gives rate and window."
        ),
    ],
    overrides: SetOption = None,
    subjects: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Whom the encoder was trained on.", show_default="not known"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to.", show_default="beside FILE, without .pt")
    ] = None,
) -> None:
    """Make an encoder folder from an encoder that was trained elsewhere."""
    from revalexo_clip.config.loading import load_experiment
    from revalexo_clip.export import revalexo as command

    seen = None if subjects is None else [subject.strip() for subject in subjects.split(",") if subject.strip()]
    result = command.import_encoder(file, load_experiment(experiment, overrides or []), out=folder, subjects=seen)
    _say_encoder(result.description, result.parameters, result.files)
    if result.left_aside:
        say(f"left aside, being no part of the encoder: {', '.join(result.left_aside)}")
    if seen is None:
        say("whom it was trained on is not known; name them with --subjects where you know")


def _say_encoder(description: EncoderDescription, parameters: int, files: Iterable[Path]) -> None:
    from rich import filesize

    say(f"{type(description.encoder).__name__}, {parameters:,} parameters, {description.embed_dim} features")
    for path in files:
        say(f"  {path}  {filesize.decimal(path.stat().st_size)}")
