"""The commands that write encoder folders. Heavy imports stay inside the functions, as in `cli`."""

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
    modality: Annotated[ModalityOption, typer.Option(help="Encoder to export.")],
    ckpt: CkptOption = None,
    fmt: Annotated[
        FormatOption,
        typer.Option(
            "--format", help="Folder for load_encoder; the same with encoder.onnx; or a state dict for RevalExo."
        ),
    ] = FormatOption.safetensors,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Output folder.", show_default="export/ in the run folder"),
    ] = None,
    experiment: ExperimentFileOption = None,
) -> None:
    """Export one encoder of a checkpoint to a folder."""
    quiet_libraries()
    from revalexo_clip.export import folder as command

    result = command.export_encoder(modality.value, ckpt, format=fmt.value, out=folder, experiment_file=experiment)
    _say_encoder(result.description, result.parameters, result.files)
    if check := result.description.onnx:
        say(f"encoder.onnx differs from torch by at most {check.difference:.1g} on {check.windows}")


def import_encoder(
    file: Annotated[Path, typer.Argument(metavar="FILE.pt", help="State dict with RevalExo's names.")],
    experiment: Annotated[
        str,
        typer.Option(
            "--experiment",
            metavar="FILE.py[:Class]",
            help="Experiment whose dataset has the channels, rate and window.",
        ),
    ],
    overrides: SetOption = None,
    subjects: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Training subjects of the encoder.", show_default="unknown"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Output folder.", show_default="FILE without .pt")
    ] = None,
) -> None:
    """Convert an encoder that was trained with RevalExo to an encoder folder."""
    from revalexo_clip.config.loading import load_experiment, texts_of
    from revalexo_clip.export import revalexo as command

    seen = None if subjects is None else texts_of(subjects)
    result = command.import_encoder(file, load_experiment(experiment, overrides or []), out=folder, subjects=seen)
    _say_encoder(result.description, result.parameters, result.files)
    if result.ignored:
        say(f"ignored, because they are not part of the encoder: {', '.join(result.ignored)}")
    if not result.projector:
        say("it has no feature_projector; its features are the last output of its LSTM")
    if seen is None:
        say("its training subjects are unknown; if you know them, pass --subjects A,B,...")


def _say_encoder(description: EncoderDescription, parameters: int, files: Iterable[Path]) -> None:
    from rich import filesize

    say(f"{type(description.encoder).__name__}, {parameters:,} parameters, {description.feature_dim} features")
    for path in files:
        say(f"  {path}  {filesize.decimal(path.stat().st_size)}")
