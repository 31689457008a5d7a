"""Tasks as jobs of a cluster, through submitit (https://github.com/facebookincubator/submitit), an optional extra."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.jobs.task import Lines, Running, Task, Tell, why_it_failed

if TYPE_CHECKING:
    import submitit

Setting = str | int | float

_INTERVAL = 0.5
"""How often to look [s]. submitit asks SLURM less often than it is asked."""
_DAY = 24 * 60


@dataclass(frozen=True)
class Cluster:
    """Where jobs go, and what they ask for."""

    kind: Literal["slurm", "local"]
    """`local` is for trying it out: the jobs are processes of this machine, with the GPUs that they ask for."""
    settings: Mapping[str, Setting]
    """submitit's, such as `timeout_min`, `gpus_per_node`, `cpus_per_task`, `mem_gb`, `slurm_partition`."""


class Job:
    """What a job of the cluster does with a task. submitit keeps it in a file until the job begins."""

    def __init__(self, task: Task, folder: Path) -> None:
        """`folder` is the working directory."""
        self.task = task
        self.folder = folder
        self._running: Running | None = None

    def __call__(self) -> int:
        """Run the task, and return its exit code."""
        os.chdir(self.folder)
        self._running = Running(self.task, {})
        return self._end(stopping=False)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Called by submitit when the job's time is nearly over: let the task save, and go on when it runs again."""
        import submitit

        if self._running is not None:
            self._running.send(signal.SIGTERM)
            self._end(stopping=True)
        return submitit.helpers.DelayedSubmission(Job(self.task, self.folder))

    def _end(self, *, stopping: bool) -> int:
        assert self._running is not None
        while (code := self._running.ended(stopping=stopping)) is None:
            time.sleep(_INTERVAL)
        return code


def run_on_cluster(
    tasks: Sequence[Task], jobs: int | None, cluster: Cluster, folder: Path, tell: Tell
) -> dict[str, str]:
    """Run tasks as jobs, at most `jobs` at a time, wait for them, and say by name why one failed; the others go on.

    submitit writes to `folder`. Where the waiting is interrupted, jobs are cancelled. Raises `ConfigError` where
    submitit is not there, finds no such cluster, or does not know a setting.
    """
    executor = _executor(cluster, folder)
    waiting = deque(tasks)
    running: dict[str, tuple[Task, submitit.Job[int], Lines]] = {}
    failures: dict[str, str] = {}
    try:
        while running or waiting:
            while waiting and (jobs is None or len(running) < jobs):
                task = waiting.popleft()
                task.output.unlink(missing_ok=True)
                job = executor.submit(Job(task, Path.cwd()))
                running[task.name] = task, job, Lines(task.output)
                tell(task.name, f"job {job.job_id}")
            time.sleep(_INTERVAL)
            for name, (task, job, lines) in list(running.items()):
                done = job.done()
                for line in lines.new():
                    tell(name, line)
                if done:
                    del running[name]
                    if why := _why_it_failed(task, job):
                        failures[name] = why
    finally:
        for _, job, _ in running.values():
            job.cancel(check=False)
    return failures


def _why_it_failed(task: Task, job: submitit.Job[int]) -> str | None:
    """None where it did not. Of a job that has no result it is the cluster that knows most."""
    import submitit

    try:
        code = job.result()
    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
        return f"job {job.job_id} ended as {job.state}: {error}"
    return why_it_failed(task, code) if code else None


def _executor(cluster: Cluster, folder: Path) -> submitit.AutoExecutor:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ConfigError("--cluster needs submitit: pip install 'revalexo-clip[cluster]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster.kind)
        executor.update_parameters(**{"name": "rxclip", "timeout_min": _DAY, **cluster.settings})
    except (RuntimeError, NameError, AssertionError, ValueError) as error:  # what submitit raises for users' mistakes
        raise ConfigError(f"--cluster {cluster.kind}: {error}") from error
    return executor
