"""The command line. Heavy imports stay inside the commands, so that `rxclip --help` answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from revalexo_clip.cli.encoders import export_encoder, import_encoder
from revalexo_clip.cli.evaluation import evaluate
from revalexo_clip.cli.finetuning import finetune, print_dry_run
from revalexo_clip.cli.folds import fold
from revalexo_clip.cli.options import (
    DevicesOption,
    DryRunOption,
    ExperimentArgument,
    JobsOption,
    JsonOption,
    ResumeOption,
    SetOption,
)
from revalexo_clip.cli.variants import arm
from revalexo_clip.core.console import counting, err, is_main_process, out, quiet_libraries, say
from revalexo_clip.core.errors import UserError

app = typer.Typer(
    help="Contrastive pretraining of IMU and first-person-video encoders. Experiments are Python files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a user error.")] = False,
) -> None:
    """Options of every command; the docstring of the app is its help."""
    _state["debug"] = debug


_state = {"debug": False}


@app.command()
def pretrain(
    file: ExperimentArgument,
    overrides: SetOption = None,
    resume: ResumeOption = None,
    devices: DevicesOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Pretrain both encoders, contrastively."""
    quiet_libraries()
    from revalexo_clip.config.loading import load_experiment
    from revalexo_clip.pretraining import run as command
    from revalexo_clip.training import dry_run as trial

    said = [*(overrides or []), *([] if devices is None else [f"trainer.devices={devices}"])]
    experiment = load_experiment(file, said)
    if dry_run:
        print_dry_run(experiment.name, trial.dry_run(experiment, resume=resume, overrides=said))
        return
    run = command.pretrain(experiment, Path(file.partition(":")[0]), err, resume=resume, overrides=said)
    if is_main_process():
        text = f"done   {run}\n       rxclip evaluate --ckpt {run}{_experiment_option(file)}"
        err.print(text, highlight=False, markup=False, soft_wrap=True)


app.command()(finetune)
app.command(hidden=True)(fold)
app.command(hidden=True)(arm)


app.command()(evaluate)
app.command("export-encoder")(export_encoder)
app.command("import-encoder")(import_encoder)


@app.command()
def show(file: ExperimentArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Print a resolved experiment."""
    from revalexo_clip.config.base import Experiment
    from revalexo_clip.config.loading import load_experiment_of
    from revalexo_clip.reports.terminal.tables import config_tree

    experiment = load_experiment_of(Experiment, file, overrides or [])
    if as_json:
        print(experiment.to_json())
    else:
        out.print(config_tree(experiment.name, experiment.model_dump(mode="json")))


@app.command()
def components() -> None:
    """Print every registered component with its fields and defaults."""
    from revalexo_clip.config.base import COMPONENT_KINDS as OF_PRETRAINING
    from revalexo_clip.config.finetuning import COMPONENT_KINDS as OF_FINETUNING
    from revalexo_clip.reports.terminal import tables as report

    for part in report.component_list([*OF_PRETRAINING, *OF_FINETUNING]):
        out.print(part)


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")],
    subjects: Annotated[int, typer.Option(min=1, help="People.")] = 10,
    clips: Annotated[int, typer.Option(min=1, help="Clips of 12 s for each.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other people and worlds.")] = 0,
) -> None:
    """Write a simulated dataset in RevalExo's layout, to try things on."""
    from revalexo_clip.data.synthetic import synthesize as command
    from revalexo_clip.reports.terminal.tables import counted

    with counting("clips") as on_progress:
        command(
            folder,
            subjects=subjects,
            clips=clips,
            seed=seed,
            on_progress=on_progress,
        )
    say(f"{folder}: {counted(subjects, 'subject')} with {counted(clips, 'clip')} each")


@app.command()
def pack(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The dataset's folder.")],
    file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to.", show_default="ROOT, or the cache folder"),
    ] = None,
    short_side: Annotated[int, typer.Option(min=1, help="Short side of the frames [px].")] = 256,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of the JPEGs.")] = 90,
    jobs: JobsOption = None,
) -> None:
    """Write the fast HDF5 form of a dataset; the first pretraining does it too."""
    from rich import filesize

    from revalexo_clip.data.revalexo.pack import build as command
    from revalexo_clip.reports.terminal.tables import counted

    with counting("packing") as on_progress:
        result = command.pack(
            root,
            file,
            short_side=short_side,
            quality=quality,
            processes=jobs,
            on_progress=on_progress,
        )
    say(f"{result.path}{'' if result.made else ' is up to date'}")
    size, source = filesize.decimal(result.size), filesize.decimal(result.source_size)
    say(f"  {counted(result.clips, 'clip')}, {size}; the files it was made from: {source}")


@app.command("check-data")
def check_data(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The dataset's folder.")],
    channels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Columns to check, as in data.channels. Repeatable.", show_default="RevalExo's"
        ),
    ] = None,
    imu_rate: Annotated[float, typer.Option(help="Sampling rate of the IMU recordings [Hz].")] = 60.0,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find everything that is wrong with a dataset; exit code 1 if anything is."""
    from revalexo_clip.data.revalexo.check import check_data as command
    from revalexo_clip.reports.terminal.tables import problem_table

    with counting("clips") as on_progress:
        result = command.check_data(
            root,
            channels=channels or command.CHANNELS,
            imu_rate=imu_rate,
            processes=jobs,
            on_progress=on_progress,
        )
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        if result.problems:
            # The name of a file is not broken into lines where only programs read them.
            (out if out.is_terminal else Console(width=1000)).print(problem_table(result.problems))
        say(result.summary())
    if channels is None and any(problem.kind == "missing_channel" for problem in result.problems):
        err.print("these are RevalExo's channels; name the dataset's own with --channels", highlight=False)
    if result.problems:
        raise typer.Exit(1)


def _experiment_option(file: str) -> str:
    """What later commands need to be told where an experiment file has defined components of its own."""
    import shlex

    from revalexo_clip.core.component import Component

    own = any(not kind.__module__.startswith("revalexo_clip.") for kind in Component.registry.values())
    return f" --experiment {shlex.quote(file.partition(':')[0])}" if own else ""


def spelled_out(arguments: list[str]) -> list[str]:
    """`--resume` alone is `--resume=newest`: Typer has no options that may go without their value."""
    following = [*arguments[1:], "-"]
    return [
        "--resume=newest" if argument == "--resume" and (after.startswith("-") or ".py" in after) else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


def main() -> None:
    """Run a command. A user's mistake ends as one message and exit code 1 or 2; a defect keeps its traceback."""
    try:
        app(spelled_out(sys.argv[1:]))
    except UserError as error:
        if _state["debug"]:
            raise
        err.print(f"{error.kind}:", style="bold red", end=" ")
        err.print(str(error), highlight=False, markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
