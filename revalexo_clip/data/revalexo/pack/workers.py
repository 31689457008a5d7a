"""Packs clips in processes of their own, one clip at a time each.

They are started like commands, not by `multiprocessing`: its workers would run the script again that called for a pack,
and outlive a parent that is killed. These read jobs from their standard input and end with it; until then they hold the
lock of the parts folder too, so that nobody else takes it while one is still writing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from queue import SimpleQueue
from typing import IO

from pydantic import BaseModel

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.data.revalexo.pack.part import Job, write_part


class _Answer(BaseModel):
    problem: str | None = None
    refused: str | None = None
    """Why the disk does not take the part."""


def write_parts(jobs: Sequence[Job], processes: int, lock: int) -> Generator[tuple[Job, str | None]]:
    """Each job, as it is done, and what is wrong with its clip. `lock` is a descriptor that the processes keep open.

    Raises `WriteError` where the disk refuses a part, and `DataError` where a process dies over a clip.
    """
    if processes == 1:
        yield from ((job, write_part(job)) for job in jobs)
        return
    workers = [_start(lock) for _ in range(min(processes, len(jobs)))]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def work(job: Job) -> str | None:
        worker = idle.get()
        try:
            return _ask(worker, job)
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(len(workers)) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()  # finished, or not wanted any more: a part that is not whole bears no name
                worker.wait()


_Worker = subprocess.Popen[str]


def _start(lock: int) -> _Worker:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __package__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=[lock],
    )


def _ask(worker: _Worker, job: Job) -> str | None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):  # it is dead, which its answer tells
        worker.stdin.write(job.model_dump_json() + "\n")
        worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise DataError(
            f"{job.video or job.imu}: the process that packed it died (exit code {worker.wait()}); is there too little "
            "memory? Try --jobs 1"
        )
    answer = _Answer.model_validate_json(line)
    if answer.refused is not None:
        raise WriteError(answer.refused)
    return answer.problem


def serve(jobs: IO[str], answers: IO[str]) -> None:
    """What a worker does: one line of JSON asks for a part, one line answers."""
    for line in jobs:
        try:
            answer = _Answer(problem=write_part(Job.model_validate_json(line)))
        except WriteError as error:
            answer = _Answer(refused=str(error))
        answers.write(answer.model_dump_json() + "\n")
        answers.flush()
