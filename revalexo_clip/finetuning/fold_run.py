"""One fold, in the run folder of all: where its files lie, and the process that trains and tests its recogniser."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from revalexo_clip.config.base import PretrainExperiment
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.folds import Fold, choose
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.finetuning.run import finetune
from revalexo_clip.finetuning.run_group import PartFolder, read_experiment
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.folder import use_run_folder

FOLDS = "folds"
"""Where in the run folder of all folds those of each lie."""


class FoldFolder(PartFolder):
    """The run folder of a fold."""

    @classmethod
    def of(cls, run: Path, fold: Fold) -> FoldFolder:
        """Where it is in the run folder of all folds."""
        return cls(run / FOLDS / fold.name)

    @property
    def pretraining(self) -> Path:
        """The run folder of the pretraining that the fold begins with."""
        return self.path / "pretraining"

    @property
    def runs(self) -> tuple[Path, ...]:
        """See `PartFolder.runs`."""
        return self.path, self.pretraining


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
    experiment = read_folds(run)
    assert experiment.folds is not None
    (fold,) = choose(experiment.folds.of(experiment.data), [name])
    folder = FoldFolder.of(run, fold)
    with folder.alone():
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


def read_folds(run: Path) -> FinetuneExperiment:
    """The experiment of all folds of a run. Raises `ConfigError` or `DataError`, naming the file."""
    experiment = read_experiment(run)
    if experiment.folds is None:
        raise ConfigError(f"{run / 'experiment.json'}: this experiment has no folds")
    return experiment
