"""`rxclip` alone, `--version`, shell completion, and help that shows every text in full."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from support.small_process import call, rxclip

from revalexo_clip import __version__
from revalexo_clip.cli import app as cli

GROUP: Any = typer.main.get_command(cli.app)  # typer bundles click, whose types have no public name
COMMANDS = dict[str, Any](GROUP.commands)
SHOWN = [name for name, command in COMMANDS.items() if not command.hidden]


def help_of(*command: str, width: int, folder: Path) -> str:
    """Return what `--help` prints on a terminal of this width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        finished = call(*command, "--help", cwd=folder)
    assert finished.returncode == 0
    return finished.stdout


def joined(text: str) -> str:
    """Return the text without white space: a long line may be wrapped anywhere, also at a hyphen."""
    return "".join(text.split())


def texts(command: Any) -> Iterator[str]:
    """Yield the help text of a command and of each of its arguments and options."""
    yield command.help
    for parameter in command.params:
        if not parameter.hidden:
            assert parameter.help, f"{command.name}: {parameter.name} has no help text"
            yield parameter.help
            yield from parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_help_text_is_shown_in_full(name: str, width: int, tmp_path: Path) -> None:
    command = COMMANDS[name] if name else GROUP
    printed = help_of(*([name] if name else []), width=width, folder=tmp_path)
    assert [text for text in texts(command) if joined(text) not in joined(printed)] == []
    assert max(map(len, printed.partition("Example")[0].splitlines())) <= width


def test_units_in_brackets_are_shown(tmp_path: Path) -> None:
    assert "Short side of the frames [px]." in help_of("pack", width=80, folder=tmp_path)


def test_the_list_of_commands_has_whole_sentences(tmp_path: Path) -> None:
    printed = help_of(width=80, folder=tmp_path)
    _, commands = printed.split("Commands:")
    assert "..." not in commands
    assert [line.split()[0] for line in commands.splitlines() if line[2:3].strip()] == SHOWN


@pytest.mark.parametrize("name", SHOWN)
def test_every_command_has_examples_that_it_accepts(name: str, tmp_path: Path) -> None:
    _, examples = help_of(name, width=40, folder=tmp_path).split("\n  Example", 1)
    lines = examples.splitlines()[1:]
    assert lines
    for line in lines:
        program, command, *arguments = shlex.split(line)
        assert (program, command) == ("rxclip", name)
        COMMANDS[name].make_context(name, cli.spelled_out([command, *arguments])[1:])


@pytest.mark.parametrize("arguments", [(), ("-h",)])
def test_rxclip_alone_prints_the_help(arguments: tuple[str, ...], tmp_path: Path) -> None:
    finished = rxclip(*arguments, cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("Usage: rxclip [OPTIONS] COMMAND [ARGS]...\n")
    assert finished.stdout == rxclip("--help", cwd=tmp_path).stdout


def test_an_option_without_a_command_is_an_error(tmp_path: Path) -> None:
    finished = call("--debug", cwd=tmp_path)
    assert finished.returncode == 2
    assert "Missing command" in finished.stderr


def test_version_prints_name_and_version(tmp_path: Path) -> None:
    finished = call("--version", cwd=tmp_path)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, f"rxclip {__version__}\n", "")


@pytest.mark.long
@pytest.mark.parametrize(
    ("begun", "offered"), [("ex", ["export-encoder", "export-classifier"]), ("evaluate --to", ["--tolerance"])]
)
def test_the_shell_completes_commands_and_options(begun: str, offered: list[str], tmp_path: Path) -> None:
    words = f"rxclip {begun}"
    asked = {"_RXCLIP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    finished = subprocess.run(
        [sys.executable, "-c", "from revalexo_clip.cli.app import main; main()"],
        env={**os.environ, **asked},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split() == offered


def test_completion_can_be_installed(tmp_path: Path) -> None:
    printed = help_of(width=80, folder=tmp_path)
    assert "--install-completion" in printed
    assert "--show-completion" in printed


def test_zero_shot_alone_means_the_activities_and_may_have_a_file() -> None:
    assert cli.spelled_out(["evaluate", "--zero-shot"]) == ["evaluate", "--zero-shot=activities"]
    assert cli.spelled_out(["evaluate", "--zero-shot", "--json"]) == ["evaluate", "--zero-shot=activities", "--json"]
    named = ["evaluate", "--zero-shot", "classes.json"]
    assert cli.spelled_out(named) == named
