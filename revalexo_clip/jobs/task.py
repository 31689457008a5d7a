"""A job: commands, one after the other, and what they printed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Tell = Callable[[str, str], None]
"""Called with the name of a task and a line that it printed."""

_KINDS = ("error: ", "stopped: ")
"""What the command line begins the message of a `UserError` with."""


@dataclass(frozen=True)
class Task:
    """Commands that are run one after the other, as long as they succeed."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    output: Path
    """The file of what they print. It begins anew with each run of the task."""


class Running:
    """A task under way, in processes of this machine."""

    def __init__(self, task: Task, environment: Mapping[str, str]) -> None:
        """Start its first command, with `environment` beside that of this process."""
        self.task = task
        self._environment = {**os.environ, **environment}
        self._commands = iter(task.commands)
        self._file = task.output.open("wb")
        self._process = self._start(next(self._commands))

    def _start(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (the task's own)
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=self._file,
            process_group=0,  # Ctrl-C is for the process that waits for it, which passes it on
        )

    def ended(self, *, stopping: bool) -> int | None:
        """The exit code of the first command that failed, or of the last one; None as long as there is none.

        Where it is to stop no further command is begun, and the code is that of a process that SIGTERM ended.
        """
        code = self._process.poll()
        if code == 0 and (command := next(self._commands, None)) is not None:
            if not stopping:
                self._process = self._start(command)
                return None
            code = -signal.SIGTERM
        if code is not None:
            self._file.close()
        return code

    def send(self, number: int) -> None:
        """Send its process a signal."""
        self._process.send_signal(number)


class Lines:
    """The lines of a file that others are writing, as they come. The file need not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[str]:
        """Those that have been finished since the last time."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.decode(errors="replace").split("\n") if newline else []


def why_it_failed(task: Task, code: int) -> str:
    """In the words of the command itself, where it had any before it ended with an exit code."""
    lines = task.output.read_text(encoding="utf-8", errors="replace").splitlines() if task.output.is_file() else []
    told = [place for place, line in enumerate(lines) if line.startswith(_KINDS)]
    if told:
        return "\n".join(lines[told[-1] :]).partition(": ")[2]
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"exit code {code}: {last.strip()}"


RUNS_HERE = "RXCLIP_RUNS_HERE"
"""In the environment of a run, how many run on its machine at a time."""
