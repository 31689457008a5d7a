"""The command line. Heavy imports stay inside the commands, so that `rxclip --help` answers at once."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from revalexo_clip.cli.classifiers import export_classifier, predict
from revalexo_clip.cli.data import check_data, pack, synthesize
from revalexo_clip.cli.devices import import_recording
from revalexo_clip.cli.embedding import embed
from revalexo_clip.cli.encoders import export_encoder, import_encoder
from revalexo_clip.cli.evaluation import evaluate
from revalexo_clip.cli.finetuning import finetune, part
from revalexo_clip.cli.pretraining import pretrain
from revalexo_clip.cli.runs import prune_runs, runs
from revalexo_clip.cli.search import search
from revalexo_clip.cli.show import components, show
from revalexo_clip.cli.sweeps import sweep
from revalexo_clip.cli.sync import check_sync, view
from revalexo_clip.core.console import accept_any_encoding, err
from revalexo_clip.core.errors import UserError
from revalexo_clip.core.version import __version__

app = typer.Typer(
    help="Contrastive pretraining of IMU and egocentric video encoders. Experiments are Python files.",
    rich_markup_mode=None,  # plain help: markup would remove every [..], and boxes would cut long words
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

_state = {"debug": False}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rxclip {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a user error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Read the options of every command. The help text is that of the app."""
    _state["debug"] = debug


def _add(command: Callable[..., None], *examples: str, name: str | None = None) -> None:
    """Add a command with examples at the end of its help. The list of commands shows its docstring's first line."""
    title = "Example" if len(examples) == 1 else "Examples"
    lines = "\n".join(f"  rxclip {example}" for example in examples)
    summary = (command.__doc__ or "").partition("\n")[0]
    app.command(name, short_help=summary, epilog=f"\b\n{title}:\n{lines}")(command)  # \b: lines are not joined


_add(
    pretrain,
    "pretrain experiments/demo.py",
    "pretrain experiments/demo.py --set trainer.max_epochs=10 --dry-run",
    "pretrain experiments/demo.py --resume",
)
_add(
    finetune,
    "finetune experiments/demo_classifier.py",
    "finetune experiments/demo_classifier.py --compare scratch,frozen,full --labels 0.1,1",
    "finetune experiments/loso.py --jobs 4",
)
_add(
    sweep,
    "sweep experiments/demo.py --set optim.lr=1e-3,3e-4 --set imu.type=ResNet1D,DeepConvLSTM --seeds 3",
    "sweep experiments/demo_classifier.py --set 'data.train_subjects=[[01,02],[01,02,03]]' --jobs 2",
    "sweep experiments/demo.py --set optim.lr=1e-3,3e-4 --seeds 3 --resume",
)
_add(
    evaluate,
    "evaluate",
    "evaluate --ckpt runs/demo --data data/more --set data.test_subjects=10,11",
    "evaluate --ckpt runs/a --ckpt runs/b",
    "evaluate --ckpt runs/demo_text --zero-shot",
)
_add(
    search,
    'search "climbing up the stairs" Subject10 Subject11 --ckpt runs/demo_text',
    'search "turning left" Subject10/0003 --top 3 --json',
)
_add(
    export_encoder,
    "export-encoder --modality imu",
    "export-encoder --modality video --ckpt runs/demo --format onnx --out encoders/video",
    "export-encoder --modality imu --push-to anna/imu-encoder --private --licence cc-by-nc-4.0",
    name="export-encoder",
)
_add(
    import_encoder,
    "import-encoder theirs.pt --experiment experiments/x3d_xs.py --subjects 01,02,03",
    name="import-encoder",
)
_add(
    embed,
    "embed GX010001.MP4 --encoder runs/demo/export/imu",
    "embed walk.csv --encoder encoders/imu --units acc=g --out walk.parquet",
)
_add(
    export_classifier,
    "export-classifier",
    "export-classifier --ckpt runs/demo_classifier --onnx --out classifiers/demo",
    name="export-classifier",
)
_add(
    predict,
    "predict walk.csv --classifier runs/demo_classifier",
    "predict GX010001.MP4 --classifier classifiers/head --stride 0.25 --out walk.csv",
)
_add(show, "show experiments/demo.py --set optim.lr=1e-3")
_add(components, "components")
_add(synthesize, "synthesize data/demo", "synthesize data/demo --subjects 12 --overlap 4 --narrate")
_add(pack, "pack data/RevalExoDataset --jobs 8")
_add(
    check_data,
    "check-data data/RevalExoDataset",
    "check-data data/mine --channels 'acc_Head_*' --channels 'gyro_Head_*' --imu-rate 100",
    name="check-data",
)
_add(
    import_recording,
    "import-recording GX010001.MP4 --subject Anna --into data/own --dry-run",
    "import-recording GX010001.MP4 --subject Anna --into data/own --clip 12",
    name="import-recording",
)
_add(
    check_sync,
    "check-sync data/mine --sensor Head --out sync.html",
    "check-sync data/mine --event Subject01/0001:3.20:3.35 --event Subject01/0001:62.10:62.28",
    "check-sync data/mine --ckpt runs/mine --apply",
    name="check-sync",
)
_add(view, "view data/mine", "view data/mine Subject01/0001 --out look.html")
_add(runs, "runs", "runs --where state=failed,killed --sort size", "runs /scratch/runs --name 'demo*' --json")
_add(
    prune_runs,
    "prune-runs --failed --older-than 30",
    "prune-runs --name demo --all-but-best 3 --by val/mrr --yes",
    name="prune-runs",
)
app.command(hidden=True)(part)


def spelled_out(arguments: list[str]) -> list[str]:
    """Return the arguments with what users may leave out: none at all mean `--help`, and `--resume` the newest run.

    Typer has no options with an optional value, so `--resume` alone becomes `--resume=newest`, and `--zero-shot` alone
    `--zero-shot=activities`. `runs prune` is `prune-runs`.
    """
    first = next((place for place, argument in enumerate(arguments) if not argument.startswith("-")), 0)
    if arguments[first : first + 2] == ["runs", "prune"]:  # a command that takes a folder can have none of its own
        arguments = [*arguments[:first], "prune-runs", *arguments[first + 2 :]]
    following = [*arguments[1:], "-"]
    alone = {"--resume": "--resume=newest", "--zero-shot": "--zero-shot=activities"}
    return [
        alone[argument] if argument in alone and (after.startswith("-") or ".py" in after) else argument
        for argument, after in zip(arguments, following, strict=False)
    ] or ["--help"]


def main() -> None:
    """Run a command. A mistake of the user ends as one message and exit code 1 or 2; a defect keeps its traceback."""
    accept_any_encoding()
    try:
        app(spelled_out(sys.argv[1:]), prog_name="rxclip")  # also for `python -m revalexo_clip`
    except UserError as error:
        if _state["debug"]:
            raise
        _fail(error)
    except (ImportError, AttributeError, OSError, RuntimeError) as error:  # what a broken library may raise
        if _state["debug"] or not _comes_from("torchvision", error):
            raise
        _fail(
            UserError(
                f"the installed torchvision cannot be imported: {error}. It probably does not fit the installed torch. "
                "Install one that does, or uninstall it: rxclip works without it"
            )
        )
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)


def _comes_from(package: str, error: Exception) -> bool:
    """Return whether code of a package raised an error. Lightning's torchmetrics imports torchvision if it is there."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(name.partition(".")[0] == package for name in names)


def _fail(error: UserError) -> NoReturn:
    err.print(f"{error.kind}:", style="bold red", end=" ")
    err.print(str(error), highlight=False, markup=False, soft_wrap=True)
    sys.exit(error.exit_code)
