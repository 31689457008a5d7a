"""Tasks: commands that run one after the other, and several tasks at a time in processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from revalexo_clip.core.errors import Interrupted
from revalexo_clip.core.platform import send_signal

RUNS_HERE = "RXCLIP_RUNS_HERE"
"""Environment variable of a task: the number of tasks that share the machine."""

STARTED_BY = "RXCLIP_STARTED_BY"
"""Environment variable of a task on this machine: the process that started it, with which it ends."""

Tell = Callable[[str, str], None]
"""Called with the name of a task and a line that it printed."""

_KINDS = ("error: ", "stopped: ")
"""How the command line begins the message of a `UserError`."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_INTERVAL = 0.1
"""Time between two looks at the processes [s]."""


@dataclass(frozen=True)
class Task:
    """Commands that run one after the other until one fails."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    output: Path
    """File of what they print. Each run of the task overwrites it."""


class Running:
    """A running task, in processes of this machine."""

    def __init__(self, task: Task, environment: Mapping[str, str]) -> None:
        """Start its first command, with `environment` added to that of this process."""
        self.task = task
        self._environment = {**os.environ, **environment, "PYTHONIOENCODING": "utf-8"}  # on Windows it is another
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
            process_group=0,  # Ctrl-C reaches only the waiting process, which sends it on
        )

    def ended(self, *, stopping: bool) -> int | None:
        """Return the exit code of the first command that failed, or of the last one; None while the task runs.

        If `stopping`, no further command is started, and the code is that of a process that SIGTERM ended.
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
        """Send a signal to the process of the task."""
        send_signal(self._process, number)


class Lines:
    """The lines of a file that another process is writing. The file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[str]:
        """Return the lines that have been completed since the last call."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.decode(errors="replace").split("\n") if newline else []


def why_it_failed(task: Task, code: int) -> str:
    """Return the error message that a task printed before it ended with an exit code, or a description of its end."""
    lines = task.output.read_text(encoding="utf-8", errors="replace").splitlines() if task.output.is_file() else []
    told = [place for place, line in enumerate(lines) if line.startswith(_KINDS)]
    if told:
        return "\n".join(lines[told[-1] :]).partition(": ")[2]
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"exit code {code}: {last.strip()}"


def run_here(tasks: Sequence[Task], jobs: int, tell: Tell) -> dict[str, str]:
    """Run tasks, at most `jobs` at a time, and return the error messages of those that failed, by name.

    A task that fails does not stop the others. SIGINT and SIGTERM are sent on to the running tasks. When these have
    ended, `Interrupted` is raised.
    """
    jobs = min(jobs, len(tasks))
    waiting, running = deque(tasks), dict[int, tuple[Running, Lines]]()
    failures: dict[str, str] = {}
    with _noted_signals() as noted:
        sent = 0
        while running or (waiting and not noted):
            for place in range(jobs):
                if place not in running and waiting and not noted:
                    task = waiting.popleft()
                    running[place] = Running(task, _share(place, jobs)), Lines(task.output)
            time.sleep(_INTERVAL)
            for number in noted[sent:]:
                for process, _ in running.values():
                    process.send(number)
                sent += 1
            failures |= _take_ended(running, tell, stopping=bool(noted))
    if noted:
        raise Interrupted(f"{signal.Signals(noted[0]).name}, and all running tasks; resume with --resume", noted[0])
    return failures


def _take_ended(running: dict[int, tuple[Running, Lines]], tell: Tell, *, stopping: bool) -> dict[str, str]:
    """Pass on what tasks have printed, remove those that have ended, and return the errors of those that failed."""
    failures = {}
    for place, (process, lines) in list(running.items()):
        code = process.ended(stopping=stopping)
        for line in lines.new():
            tell(process.task.name, line)
        if code is not None:
            del running[place]
            if code:
                failures[process.task.name] = why_it_failed(process.task, code)
    return failures


def _share(place: int, jobs: int) -> dict[str, str]:
    """Return the environment variables that give the task at a place its share of the machine."""
    share = {RUNS_HERE: str(jobs), STARTED_BY: str(os.getpid())}
    named = os.environ.get(_VISIBLE)
    gpus = list(map(str, range(torch.cuda.device_count()))) if named is None else named.split(",")
    if jobs > 1 and gpus and gpus != [""]:
        share[_VISIBLE] = ",".join(gpus_of(place, jobs, gpus))
    return share


def gpus_of(place: int, jobs: int, gpus: Sequence[str]) -> Sequence[str]:
    """Return the GPUs of the task at a place: an equal number for each task, or one that several tasks share."""
    each = len(gpus) // jobs
    return gpus[place * each : (place + 1) * each] if each else [gpus[place % len(gpus)]]


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list, instead of ending the process."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may have handlers
        yield noted
        return
    heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
