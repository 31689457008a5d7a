"""The command line as users start it: as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from revalexo_clip.cli import app as cli
from support import warm_process

EXPERIMENT = Path(__file__).with_name("small_experiment.py")
"""An experiment file that brings encoders of its own."""

Finished = subprocess.CompletedProcess[str]


def rxclip(*arguments: str | Path, cwd: Path, **environment: str) -> Finished:
    """Run `rxclip arguments` in a folder and wait for it. With variables of its own, it is a new Python."""
    command = [*map(str, arguments)]
    variables = {**os.environ, "COLUMNS": warm_process.COLUMNS, **environment}
    warm = warm_process.run(command, cwd=cwd, environment=variables, timeout=300)
    if warm is not None:
        return Finished(command, *warm)
    return subprocess.run(
        [sys.executable, "-m", "revalexo_clip", *command],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def succeed(*arguments: str | Path, cwd: Path, **environment: str) -> Finished:
    """Run `rxclip`. It must exit with 0 and print no traceback."""
    finished = rxclip(*arguments, cwd=cwd, **environment)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    return finished


def call(*arguments: str | Path, cwd: Path) -> Finished:
    """Run `rxclip` in this process: faster, but with the components that are registered in it."""
    command = ["rxclip", *map(str, arguments)]
    out, err = StringIO(), StringIO()
    with chdir(cwd), pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert isinstance(ended.value.code, int)
    return Finished(command, ended.value.code, out.getvalue(), err.getvalue())
