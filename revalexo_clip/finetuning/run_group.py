"""A run made of several trainings, each in processes of its own and with a run folder inside: folds, or variants."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import experiment_files
from revalexo_clip.core.console import counting, is_main_process
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import atomically, write_json
from revalexo_clip.core.text import counted
from revalexo_clip.data import Recordings
from revalexo_clip.jobs import Cluster, Task, run_here, run_on_cluster
from revalexo_clip.runs.environment import environment
from revalexo_clip.runs.folder import runs_of
from revalexo_clip.runs.resume import NEWEST, changed_paths, is_free

log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class PartFolder:
    """The run folder of one training."""

    path: Path

    @property
    def output(self) -> Path:
        """What its processes printed."""
        return self.path / "output.txt"

    @property
    def predictions(self) -> Path:
        """What its activity classifier made of the test windows. A training that has them is done."""
        return self.path / "evaluation" / "predictions.h5"

    @property
    def lock(self) -> Path:
        """Held by the process that is at work on it."""
        return self.path / ".lock"

    @property
    def runs(self) -> tuple[Path, ...]:
        """Its own run folder, and those of what it begins with."""
        return (self.path,)

    def clear(self) -> None:
        """Take away what is left of an attempt that came to no checkpoint."""
        for run in self.runs:
            if run.is_dir() and not any((run / "checkpoints").glob("*.ckpt")):
                for left in run.iterdir():
                    if left.is_dir() and left not in self.runs:
                        shutil.rmtree(left)
                    elif left.is_file() and left not in {self.output, self.lock}:
                        left.unlink()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have it to oneself, and in order. Raises `ConfigError` where another process is at work on it."""
        if not is_main_process():
            yield
            return
        with self.lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(f"{self.path}: another process is at work on it") from error
            self.clear()
            yield


@dataclass(frozen=True)
class RunOptions:
    """What the command was told that its trainings have to know."""

    overrides: Sequence[str] = ()
    """The `path=value` texts."""
    allow_seen_subjects: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """The same for the commands of their processes."""
        files = (option for file in experiment_files() for option in ("--experiment", str(file)))
        changed = (option for text in self.overrides for option in ("--changed", text.partition("=")[0]))
        return (*files, *changed, *(["--allow-seen-subjects"] if self.allow_seen_subjects else []))


def find_run(name: str, resume: Path | None, inside: str, option: str = "") -> Path | None:
    """The run of an experiment to go on with; None where a new one is to begin.

    `inside` is the folder of its trainings, `option` that of the command which names one of them. Raises `ConfigError`
    where there is no such run.
    """
    if resume is None:
        return None
    if resume == NEWEST:
        runs = [run for run in runs_of(name) if (run / inside).is_dir()]
        if not runs:
            log.info("no run of %s has %s to go on with: a new one begins", name, inside)
        return runs[0] if runs else None
    run = resume.parent / resume.readlink() if resume.is_symlink() else resume
    if run.parent.name == inside:
        this = f" {option} {run.name}" if option else ""
        raise ConfigError(
            f"--resume {resume}: this is one {inside.removesuffix('s')} of a run: --resume {run.parent.parent}{this}"
        )
    if not (run / inside).is_dir():
        raise ConfigError(f"--resume {resume}: no run folder, or not one of {inside}")
    return run


def read_experiment(run: Path) -> FinetuneExperiment:
    """The experiment of a run. Raises `ConfigError` or `DataError`, naming the file."""
    path = run / "experiment.json"
    try:
        return FinetuneExperiment.from_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def changes(run: Path, experiment: FinetuneExperiment, overrides: Sequence[str]) -> frozenset[str]:
    """The paths in which an experiment is not what it was in a run, save those that make no difference to results.

    Raises `ConfigError` where `overrides` do not name them.
    """
    before = read_experiment(run).model_dump(mode="json")
    return frozenset(path for path in changed_paths(run, before, experiment, overrides) if not is_free(path))


def describe_progress(
    experiment: FinetuneExperiment, resume: Path | None, overrides: Sequence[str], inside: str, option: str = ""
) -> str | None:
    """Which run would be gone on with, and how much of it is done; None where a new one would begin.

    Arguments and errors are those of `find_run` and `changes`.
    """
    run = find_run(experiment.name, resume, inside, option)
    if run is None:
        return None
    anew = changes(run, experiment, overrides)
    parts = [] if anew else [part for part in (run / inside).iterdir() if PartFolder(part).predictions.is_file()]
    return f"from   {run}: {counted(len(parts), inside.removesuffix('s'))} done"


def record(run: Path, experiment: FinetuneExperiment, source: Path | None, inside: str) -> None:
    """Write down what a run is made of, and what it was gone on with each time."""
    path = run / "environment.json"
    now = environment()
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        now = begun | {"resumed": [*begun.get("resumed", []), now]}
    write_json(path, now)
    with atomically(run / "experiment.json") as temporary:
        temporary.write_text(experiment.to_json() + "\n", encoding="utf-8")
    if source is not None:
        shutil.copyfile(source, run / "experiment.py")
    (run / inside).mkdir(exist_ok=True)  # from here on it can be gone on with


def prepare(data: Recordings, console: Console) -> None:
    """Do once for data what all trainings would otherwise begin with at the same time."""
    with counting("packing", console) as on_progress:
        data.prepare(on_progress, leader=True)


def run_all(tasks: Sequence[Task], jobs: int | None, cluster: Cluster | None, run: Path) -> dict[str, str]:
    """Run them, `jobs` at a time, and say by name why one failed; the others go on.

    Without `jobs` it is one at a time on this machine, and as jobs of a cluster all of them. Raises `Interrupted` where
    a signal came.
    """
    if cluster is None:
        return run_here(tasks, jobs or 1, _tell)
    return run_on_cluster(tasks, jobs, cluster, run / "jobs", _tell)


def _tell(name: str, line: str) -> None:
    log.info("%s  %s", name, line)
