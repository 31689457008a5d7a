"""The command line. Heavy imports stay inside the commands, so that `rxclip --help` answers at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from revalexo_clip.cli.data import check_data, pack, synthesize
from revalexo_clip.cli.encoders import export_encoder, import_encoder
from revalexo_clip.cli.evaluation import evaluate
from revalexo_clip.cli.finetuning import finetune, part
from revalexo_clip.cli.pretraining import pretrain
from revalexo_clip.cli.show import components, show
from revalexo_clip.core.console import err
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


app.command()(pretrain)
app.command()(finetune)
app.command(hidden=True)(part)
app.command()(evaluate)
app.command("export-encoder")(export_encoder)
app.command("import-encoder")(import_encoder)
app.command()(show)
app.command()(components)
app.command()(synthesize)
app.command()(pack)
app.command("check-data")(check_data)


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
