"""One fold, in the run folder of all: where its files lie, and the process that trains and tests its recogniser."""

from __future__ import annotations

import fcntl
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from revalexo_clip.console import is_main_process
from revalexo_clip.errors import ConfigError, DataError
from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.finetune import finetune
from revalexo_clip.finetune_experiment import FinetuneExperiment
from revalexo_clip.folds import Fold, choose
from revalexo_clip.pretrain import pretrain
from revalexo_clip.run_folder import use_run_folder

FOLDS = "folds"
"""Where in the run folder of all folds those of each lie."""


@dataclass(frozen=True)
class FoldFolder:
    """The run folder of a fold."""

    path: Path

    @classmethod
    def of(cls, run: Path, fold: Fold) -> FoldFolder:
        """Where it is in the run folder of all folds."""
        return cls(run / FOLDS / fold.name)

    @property
    def pretraining(self) -> Path:
        """The run folder of the pretraining that the fold begins with."""
        return self.path / "pretraining"

    @property
    def output(self) -> Path:
        """What the fold's processes printed."""
        return self.path / "output.txt"

    @property
    def predictions(self) -> Path:
        """What its recogniser made of the test windows. A fold that has them is done."""
        return self.path / "evaluation" / "predictions.h5"

    def clear(self) -> None:
        """Take away what is left of an attempt that came to no checkpoint."""
        for run in (self.path, self.pretraining):
            if run.is_dir() and not any((run / "checkpoints").glob("*.ckpt")):
                for left in run.iterdir():
                    if left.is_dir() and left != self.pretraining:
                        shutil.rmtree(left)
                    elif left.is_file() and left not in {self.output, self.lock}:
                        left.unlink()

    @property
    def lock(self) -> Path:
        """Held by the process that is at work on the fold."""
        return self.path / ".lock"


def run_fold(
    run: Path,
    name: str,
    console: Console,
    *,
    pretraining: bool = False,
    source: Path | None = None,
    changed: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> None:
    """Train and test the recogniser of a fold, or do the pretraining that it begins with, or go on with it.

    `run` is the run folder of all folds, whose experiment is taken; `changed` are the dotted paths in which it may
    differ from what the fold was begun with. Raises what `finetune` and `pretrain` raise, and `ConfigError` where there
    is no such fold or another process is at work on it.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # submitit's: it tells the process that started this one
    experiment = read_experiment(run)
    assert experiment.folds is not None
    (fold,) = choose(experiment.folds.of(experiment.data), [name])
    folder = FoldFolder.of(run, fold)
    with _alone(folder):
        if pretraining:
            folder.pretraining.mkdir(exist_ok=True)
            use_run_folder(folder.pretraining)
            prefix = "folds.pretrain."
            own = [path.removeprefix(prefix) for path in changed if path.startswith(prefix)]
            pretrain(pretraining_of(experiment, fold), source, console, overrides=own)
            return
        encoder = experiment.encoder if experiment.pretraining is None else folder.pretraining
        use_run_folder(folder.path)
        finetune(
            experiment.in_fold(fold, encoder),
            source,
            console,
            overrides=[*changed, *(["encoder"] if experiment.pretraining else [])],  # its run may have been moved
            allow_seen_subjects=allow_seen_subjects,
        )


def pretraining_of(experiment: FinetuneExperiment, fold: Fold) -> PretrainExperiment:
    """The pretraining inside a fold: on its training and validation subjects, and nobody else."""
    inside = experiment.pretraining
    assert inside is not None
    fields = {name: getattr(inside, name) for name in type(inside).model_fields}
    return type(inside).model_validate(fields | {"data": inside.data.split(fold.train, fold.val, ())})


def read_experiment(run: Path) -> FinetuneExperiment:
    """The experiment of all folds of a run. Raises `ConfigError` or `DataError`, naming the file."""
    path = run / "experiment.json"
    try:
        experiment = FinetuneExperiment.from_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if experiment.folds is None:
        raise ConfigError(f"{path}: this experiment has no folds")
    return experiment


@contextmanager
def _alone(folder: FoldFolder) -> Iterator[None]:
    """Have a fold to oneself, and its folder in order. Raises `ConfigError` where another process is at work on it."""
    if not is_main_process():
        yield
        return
    with folder.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{folder.path}: another process is at work on this fold") from error
        folder.clear()
        yield
