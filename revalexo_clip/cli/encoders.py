"""The commands that write encoder folders. Heavy imports stay inside the functions, as in `cli`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revalexo_clip.cli.options import CkptOption, ExperimentFileOption, FormatOption, ModalityOption, SetOption
from revalexo_clip.core.console import quiet_libraries, say
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from revalexo_clip.export import EncoderDescription


def export_encoder(  # noqa: PLR0917 (options, which typer passes by name)
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
    push_to: Annotated[
        str | None,
        typer.Option("--push-to", metavar="USER/NAME", help="Upload the folder to the Hugging Face Hub, too."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="With --push-to: make a new repository private.")] = False,
    licence: Annotated[
        str | None,
        typer.Option("--licence", metavar="ID", help="With --push-to: licence of the weights, e.g. cc-by-nc-4.0."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="BRANCH", help="With --push-to: branch.", show_default="main")
    ] = None,
) -> None:
    """Export one encoder of a checkpoint to a folder."""
    quiet_libraries()
    _check_push(fmt, push_to, {"--private": private, "--licence": licence, "--revision": revision})
    from revalexo_clip.export import folder as command

    result = command.export_encoder(modality.value, ckpt, format=fmt.value, out=folder, experiment_file=experiment)
    _say_encoder(result.description, result.parameters, result.files)
    if check := result.description.onnx:
        say(f"encoder.onnx differs from torch by at most {check.difference:.1g} on {check.windows}")
    if push_to is not None:
        from revalexo_clip.export.push import push_to_hub

        exported = result.files[0].parent
        address = push_to_hub(
            exported,
            push_to,
            private=private or None,
            revision=revision,
            licence=licence,
            experiment_file=experiment,
        )
        say(f"uploaded: {address}")


def _check_push(fmt: FormatOption, push_to: str | None, options: Mapping[str, object]) -> None:
    """Raise `ConfigError` before anything is exported if it could not be pushed."""
    if push_to is None:
        if given := [name for name, value in options.items() if value]:
            raise ConfigError(f"{', '.join(given)} requires --push-to")
        return
    if fmt is FormatOption.revalexo:
        raise ConfigError("--push-to uploads a folder for load_encoder; --format revalexo writes none")
    from revalexo_clip.export.hub import check_repository_name

    check_repository_name(push_to)


class StackedForm(StrEnum):
    """Projects with stacked encoders."""

    imu2clip = "imu2clip"
    primus = "primus"


class StackedHead(StrEnum):
    """Linear heads of PRIMUS's encoder."""

    ssl_head = "ssl_head"
    mmcl_head = "mmcl_head"


def import_encoder(  # noqa: PLR0917 (options, which typer passes by name)
    file: Annotated[
        Path, typer.Argument(metavar="FILE.pt", help="State dict of RevalExo, IMU2CLIP, PRIMUS, HARNet or ImageBind.")
    ],
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment",
            metavar="FILE.py[:Class]",
            help="RevalExo: experiment whose dataset has the channels, rate and window.",
        ),
    ] = None,
    overrides: SetOption = None,
    subjects: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Training subjects of the encoder.", show_default="unknown"),
    ] = None,
    form: Annotated[
        StackedForm | None,
        typer.Option(help="Stacked: whose encoder it is.", show_default="by its names and window"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Stacked: sampling rate of windows [Hz].", show_default="200; PRIMUS: 50"),
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.01, help="Stacked: window length [s].", show_default="5")
    ] = None,
    head: Annotated[
        StackedHead | None,
        typer.Option(help="PRIMUS: linear head whose output becomes the features.", show_default="none"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Output folder.", show_default="FILE without .pt")
    ] = None,
) -> None:
    """Convert an encoder of RevalExo, IMU2CLIP, PRIMUS, HARNet or ImageBind to an encoder folder."""
    from revalexo_clip.config.loading import load_experiment, texts_of
    from revalexo_clip.export import importing as command

    if overrides and experiment is None:
        raise ConfigError("--set requires --experiment, whose fields it overrides")
    seen = None if subjects is None else texts_of(subjects)
    result = command.import_encoder(
        file,
        None if experiment is None else load_experiment(experiment, overrides or []),
        out=folder,
        subjects=seen,
        form=None if form is None else form.value,
        rate=rate,
        window=window,
        head=None if head is None else head.value,
    )
    _say_encoder(result.description, result.parameters, result.files)
    if result.ignored:
        say(f"ignored, because they are not part of the encoder: {', '.join(result.ignored)}")
    for remark in result.remarks:
        say(remark)
    if seen is None:
        say("its training subjects are unknown; if you know them, pass --subjects A,B,...")


def _say_encoder(description: EncoderDescription, parameters: int, files: Iterable[Path]) -> None:
    from rich import filesize

    say(f"{type(description.encoder).__name__}, {parameters:,} parameters, {description.feature_dim} features")
    for path in files:
        say(f"  {path}  {filesize.decimal(path.stat().st_size)}")
