"""The run folder of a part of a group of trainings (fold, variant, trial), and the experiment that run folders keep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from revalexo_clip.config.base import Experiment
from revalexo_clip.core.console import is_main_process
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import atomically, lock
from revalexo_clip.runs.state import STATE, state_of

E = TypeVar("E", bound=Experiment)

EXPERIMENT = "experiment.json"
"""File of the experiment in a run folder."""


def write_experiment(run: Path, experiment: Experiment) -> None:
    """Write `experiment.json` to a run folder."""
    with atomically(run / EXPERIMENT) as temporary:
        temporary.write_text(experiment.to_json() + "\n", encoding="utf-8")


def read_experiment(run: Path, kind: type[E]) -> E:
    """Read `experiment.json` of a run folder. Raises `ConfigError` or `DataError`, naming the file."""
    path = run / EXPERIMENT
    try:
        return kind.from_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


@dataclass(frozen=True)
class PartFolder:
    """The run folder of a part."""

    path: Path

    @property
    def pretraining(self) -> Path:
        """Run folder of the pretraining that comes first, if there is one."""
        return self.path / "pretraining"

    @property
    def output(self) -> Path:
        """What the processes of the part print."""
        return self.path / "output.txt"

    @property
    def predictions(self) -> Path:
        """Predictions on the test windows. A part that has them is done."""
        return self.path / "evaluation" / "predictions.h5"

    @property
    def metrics(self) -> Path:
        """Results on the test windows."""
        return self.predictions.with_name("metrics.json")

    @property
    def finished(self) -> bool:
        """Whether its training is finished."""
        return state_of(self.path).state == "finished"

    def forget_results(self) -> None:
        """Delete what says that the part is done."""
        for path in (self.predictions, self.metrics, self.path / STATE):
            path.unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder, and clean it up. Raises `ConfigError` if another process is working on it."""
        if not is_main_process():
            yield
            return
        with self._lock.open("w") as file:
            try:
                lock(file.fileno(), wait=False)  # some file systems have none
            except BlockingIOError as error:
                raise ConfigError(f"{self.path}: another process is working on it") from error
            self._clear()
            yield

    def _clear(self) -> None:
        """Delete what is left of an attempt that ended before its first checkpoint."""
        runs = (self.path, self.pretraining)
        kept = {*runs, self.output, self._lock, *(run / EXPERIMENT for run in runs)}
        for run in runs:
            if run.is_dir() and not any((run / "checkpoints").glob("*.ckpt")):
                for left in set(run.iterdir()) - kept:
                    if left.is_dir():
                        shutil.rmtree(left)
                    else:
                        left.unlink()
