"""Processes that begin with the imports done: importing torch and Lightning takes longer than most commands.

One server for each process of pytest imports them once, and forks for each command. What a command cannot tell from a
new process: its own memory, working folder, environment, arguments, `__main__`, output and exit code. Tests of start-up
itself (imports, encodings, signals) start Python anew.
"""

from __future__ import annotations

import atexit
import io
import multiprocessing
import os
import runpy
import subprocess
import sys
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory

PRELOADED = ["lightning.pytorch", "sklearn.manifold", "matplotlib.figure", "revalexo_clip.finetuning.run"]
AT_START = ("HF_", "LANG", "LC_", "MKL_", "MLFLOW_", "MPL", "OMP_", "PYTHON", "TORCH", "WANDB_", "COLUMNS")
"""Beginnings of names of variables that are read by imports."""
COLUMNS = "120"


def run(arguments: list[str], *, cwd: Path, environment: dict[str, str], timeout: float) -> tuple[int, str, str] | None:
    """Run `python -m revalexo_clip arguments`, and return exit code, output and errors.

    Returns None if the command needs a Python of its own, because variables differ that imports read.
    """
    context, started_with = _server()
    if _read_at_start(environment) != started_with:
        return None
    with TemporaryDirectory() as folder:
        files = [str(Path(folder, name)) for name in ("out", "err")]
        process = context.Process(target=_command, args=(arguments, str(cwd), environment, *files))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, timeout)
        out, err = (Path(file).read_text(encoding="utf-8") for file in files)
    return process.exitcode, out, err


def _read_at_start(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


@cache
def _server() -> tuple[ForkServerContext, dict[str, str]]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    os.environ["COLUMNS"], before = COLUMNS, os.environ.get("COLUMNS")
    started_with = _read_at_start(dict(os.environ))
    context.Process(target=int).start()  # starts the server, with these variables
    del os.environ["COLUMNS"]
    if before is not None:
        os.environ["COLUMNS"] = before
    return context, started_with


def _command(arguments: list[str], cwd: str, environment: dict[str, str], out: str, err: str) -> None:
    """Run the command in the forked process."""
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(open(number, "wb", buffering=0, closefd=False), "utf-8", write_through=True)  # noqa: SIM115
        for number in (1, 2)
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path.insert(0, cwd)
    sys.argv = ["rxclip", *arguments]
    try:
        runpy.run_module("revalexo_clip", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out
