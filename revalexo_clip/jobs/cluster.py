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
"""Time between two looks at the jobs [s]. submitit asks SLURM less often."""
_DAY = 24 * 60
"""[min]"""


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the resources of a job."""

    kind: Literal["slurm", "local"]
    """`local`, for trying it out, runs jobs as processes of this machine, with the GPUs that they ask for."""
    settings: Mapping[str, Setting]
    """Parameters of submitit, such as `timeout_min`, `gpus_per_node`, `cpus_per_task`, `mem_gb`, `slurm_partition`."""


class Job:
    """A task as a job of the cluster. submitit keeps it in a file until the job begins."""

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
        """Let the task save and submit it again. submitit calls this when the job's time is nearly over."""
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
    """Run tasks as jobs, at most `jobs` at a time, and return the error messages of those that failed, by name.

    A job that fails does not stop the others. submitit writes to `folder`. All jobs are cancelled if this process is
    interrupted. Raises `ConfigError` if submitit is not installed, finds no such cluster, or does not know a setting.
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
    """Return the error message of a task that failed, or the state of a job that has no result; None on success."""
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
        raise ConfigError("--cluster requires submitit: pip install 'revalexo-clip[cluster]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster.kind)
        executor.update_parameters(**{"name": "rxclip", "timeout_min": _DAY, **cluster.settings})
    except (RuntimeError, NameError, AssertionError, ValueError) as error:  # what submitit raises for mistakes of users
        raise ConfigError(f"--cluster {cluster.kind}: {error}") from error
    return executor
