"""Writing the parts of a pack or of a motion file in worker processes, one clip at a time each.

Workers are started as commands, not by `multiprocessing`, whose workers run the calling script again and outlive a
parent that is killed. They read jobs from standard input and exit when it is closed. Until then, they also hold the
lock of the parts folder, so that no other process takes it while a worker is still writing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError


class PassingError(DataError):
    """A file could not be read now, but may be readable later: it was changed, or its disk or network failed."""


class PartJob(BaseModel, ABC):
    """A part to write. Its subclasses define `write`, and a module that serves them as a command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: ClassVar[str]
    """Module that runs `serve` for this kind of job."""
    part: Path
    """File to write."""

    @property
    @abstractmethod
    def source(self) -> Path:
        """File that is read, for messages."""

    @abstractmethod
    def write(self) -> str | None:
        """Write the part, unless it is already up to date. Returns the source's problem, if it cannot be read.

        Raises `WriteError` if the part cannot be written, and `PassingError` if the source may be readable later.
        """


Job = TypeVar("Job", bound=PartJob)


class _Answer(BaseModel):
    problem: str | None = None
    refused: str | None = None
    """Error if the part could not be written."""
    passing: str | None = None
    """Problem of the source that may pass."""


def write_parts(jobs: Sequence[Job], processes: int, lock: int | None) -> Generator[tuple[Job, str | None]]:
    """Yield each finished job with the problem of its clip, if any. Workers keep the descriptor `lock`, if any, open.

    Raises `WriteError` if a part cannot be written, and `DataError` if a worker dies.
    """
    if not jobs:
        return
    with Workers(jobs[0].module, min(processes, len(jobs)), lock) as workers:
        if workers.count == 1:
            yield from ((job, workers.ask(job)) for job in jobs)
            return
        with ThreadPoolExecutor(workers.count) as pool:
            futures = {pool.submit(workers.ask, job): job for job in jobs}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                workers.close()  # so that threads that wait for an answer end


class Workers:
    """Processes that write parts; each is asked by one thread at a time. With one, this process writes them."""

    def __init__(self, module: str, count: int, lock: int | None = None) -> None:
        """Start `count` processes that run a module, and keep the descriptor `lock`, if any, open."""
        self.count = count
        self._all = [_start(module, lock) for _ in range(count)] if count > 1 else []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)

    def ask(self, job: PartJob) -> str | None:
        """Let a job be done, and return its problem. Raises as `write_parts` does."""
        if not self._all:
            return job.write()
        worker = self._idle.get()
        try:
            return _ask(worker, job)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End all processes. This is safe at any time: an incomplete part has a temporary name.

        They are killed, because processes that a loader worker starts ignore requests to end, as it does.
        """
        for worker in self._all:
            worker.kill()
            worker.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_Worker = subprocess.Popen[str]
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


def _start(module: str, lock: int | None) -> _Worker:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",  # of paths, whatever the locale
        env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=[] if lock is None else [lock],
    )


def _ask(worker: _Worker, job: PartJob) -> str | None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):  # a dead worker gives no answer, which is handled below
        worker.stdin.write(job.model_dump_json() + "\n")
        worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise DataError(
            f"{job.source}: the worker process died while reading it (exit code {worker.wait()}), maybe "
            "because memory ran out; try fewer processes"
        )
    answer = _Answer.model_validate_json(line)
    if answer.refused is not None:
        raise WriteError(answer.refused)
    if answer.passing is not None:
        raise PassingError(answer.passing)
    return answer.problem


def serve(kind: type[PartJob], jobs: IO[str], answers: IO[str]) -> None:
    """Run a worker: read one job per line of JSON, and answer each with one line."""
    for line in jobs:
        try:
            answer = _Answer(problem=kind.model_validate_json(line).write())
        except WriteError as error:
            answer = _Answer(refused=str(error))
        except PassingError as error:
            answer = _Answer(passing=str(error))
        answers.write(answer.model_dump_json() + "\n")
        answers.flush()
