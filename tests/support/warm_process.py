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
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.context import ForkServerProcess as Forked
from pathlib import Path
from tempfile import TemporaryDirectory

PRELOADED = ["lightning.pytorch", "sklearn.manifold", "matplotlib.figure", "revalexo_clip.finetuning.run"]
AT_START = ("HF_", "LANG", "LC_", "MKL_", "MLFLOW_", "MPL", "OMP_", "PYTHON", "TORCH", "WANDB_", "COLUMNS")
"""Beginnings of names of variables that are read by imports."""
COLUMNS = "120"


class Running:
    """A command that runs, with the methods of `subprocess.Popen` that tests need."""

    def __init__(self, process: Forked) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, or minus the signal that ended it."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("rxclip", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    arguments: list[str],
    *,
    cwd: Path,
    out: Path,
    err: Path,
    environment: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> Running:
    """Start `python -m revalexo_clip arguments`, which appends what it prints to two files.

    `environment` is added to that of this process; imports may not read any of these variables.
    """
    context, started_with = _server()
    variables = {**os.environ, "COLUMNS": COLUMNS, **(environment or {})}
    assert _read_at_start(variables) == started_with
    settings = (arguments, str(cwd), variables, (str(out), str(err)))
    process = context.Process(target=_command, args=settings, kwargs={"new_session": new_session})
    process.start()
    return Running(process)


def run(arguments: list[str], *, cwd: Path, environment: dict[str, str], timeout: float) -> tuple[int, str, str] | None:
    """Run `python -m revalexo_clip arguments`, and return exit code, output and errors.

    Returns None if the command needs a Python of its own, because variables differ that imports read.
    """
    if _read_at_start(environment) != _server()[1]:
        return None
    with TemporaryDirectory() as folder:
        out, err = (Path(folder, name) for name in ("out", "err"))
        running = start(arguments, cwd=cwd, out=out, err=err, environment=environment)
        try:
            code = running.wait(timeout)
        except subprocess.TimeoutExpired:
            running.kill()
            raise
        return code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")


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


def _command(
    arguments: list[str], cwd: str, environment: dict[str, str], files: tuple[str, str], *, new_session: bool
) -> None:
    """Run the command in the forked process."""
    multiprocessing.set_start_method(None, force=True)  # a child of a fork server would have one of its own
    if new_session:
        os.setsid()
    for number, path in zip((1, 2), files, strict=True):
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
