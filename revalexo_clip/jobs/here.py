"""Tasks in processes of this machine, which share its cores and its GPUs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import torch

from revalexo_clip.core.errors import Interrupted
from revalexo_clip.jobs.task import RUNS_HERE, Lines, Running, Task, Tell, why_it_failed

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_INTERVAL = 0.1
"""How often to look [s]."""


def run_here(tasks: Sequence[Task], jobs: int, tell: Tell) -> dict[str, str]:
    """Run tasks, at most `jobs` at a time, and say by name why one failed; the others go on.

    Signals that are to stop this process go to the tasks under way; when they have ended, `Interrupted` is raised.
    """
    jobs = min(jobs, len(tasks))
    waiting, running = deque(tasks), dict[int, tuple[Running, Lines]]()
    failures: dict[str, str] = {}
    with _noted_signals() as noted:
        passed_on = 0
        while running or (waiting and not noted):
            for place in range(jobs):
                if place not in running and waiting and not noted:
                    task = waiting.popleft()
                    running[place] = Running(task, _share(place, jobs)), Lines(task.output)
            time.sleep(_INTERVAL)
            for number in noted[passed_on:]:
                for process, _ in running.values():
                    process.send(number)
                passed_on += 1
            failures |= _let_go(running, tell, stopping=bool(noted))
    if noted:
        raise Interrupted(f"{signal.Signals(noted[0]).name}, and so did what was under way; --resume goes on", noted[0])
    return failures


def _let_go(running: dict[int, tuple[Running, Lines]], tell: Tell, *, stopping: bool) -> dict[str, str]:
    """Tell what tasks have printed, take out those that have ended, and say why they failed if they did."""
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
    """What tells one of so many processes that run at a time which part of the machine it has."""
    share = {RUNS_HERE: str(jobs)}
    named = os.environ.get(_VISIBLE)
    gpus = list(map(str, range(torch.cuda.device_count()))) if named is None else named.split(",")
    if jobs > 1 and gpus and gpus != [""]:
        share[_VISIBLE] = ",".join(gpus_of(place, jobs, gpus))
    return share


def gpus_of(place: int, jobs: int, gpus: Sequence[str]) -> Sequence[str]:
    """The GPUs of one of so many processes: as many for each as there are, or one that it shares with others."""
    each = len(gpus) // jobs
    return gpus[place * each : (place + 1) * each] if each else [gpus[place % len(gpus)]]


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """The signals to stop that have come."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():  # others cannot have handlers
        yield noted
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
