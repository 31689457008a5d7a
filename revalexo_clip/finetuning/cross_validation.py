"""Finetuning in folds: a run folder with that of each fold in it, each fold in processes of its own, and a summary.

One fold, in the run folder of all: where its files lie, and the process that trains and tests its activity classifier.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.folds import Fold, choose
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.text import counted
from revalexo_clip.evaluation.classifier import Subjects, refuse_seen
from revalexo_clip.finetuning.build import build_finetune_setup, read_teacher, reads_video
from revalexo_clip.finetuning.fold_summary import summarize
from revalexo_clip.finetuning.initial_encoder import read_encoders
from revalexo_clip.finetuning.run import finetune
from revalexo_clip.finetuning.run_group import (
    PartFolder,
    RunOptions,
    changes,
    find_run,
    prepare,
    read_experiment,
    record,
    run_all,
)
from revalexo_clip.jobs import Cluster, Task
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.folder import make_newest, stamped_folder, use_run_folder
from revalexo_clip.runs.log import end_log, kept_log, start_log

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
    """Train and test the activity classifier of a fold, or do the pretraining that it begins with, or go on with it.

    `run` is the run folder of all folds, whose experiment is taken; `changed` are the dotted paths in which it may
    differ from what the fold was begun with. Raises what `finetune` and `pretrain` raise, and `ConfigError` where there
    is no such fold or another process is at work on it.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # submitit's: it tells the process that started this one
    experiment = read_folds(run)
    assert experiment.folds is not None
    (fold,) = choose(experiment.folds.make_folds(experiment.data), [name])
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


log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class CrossValidation:
    """What came of a finetuning in folds."""

    folder: Path
    """The run folder of all."""
    summary: JsonObject
    """`summary.json`."""
    failures: Mapping[str, str]
    """Why folds failed, by name."""


def cross_validate(
    experiment: FinetuneExperiment,
    source: Path | None = None,
    console: Console | None = None,
    *,
    only: Sequence[str] = (),
    jobs: int | None = None,
    cluster: Cluster | None = None,
    resume: Path | None = None,
    overrides: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> CrossValidation:
    """Train and test an activity classifier in each fold, or in `only` those of some names, and sum up what all have come to.

    On this machine `jobs` folds run at a time, by default one; as jobs of a cluster all of them, unless `jobs` says
    otherwise. `resume` is a run to go on with: folds that are done stay as they are, unless `overrides` change the
    experiment, which leaves none of them done. A fold that fails does not keep others from running. Raises
    `ConfigError` or `DataError` before anything is written where there are no such folds or the encoder has seen a test
    subject, `Interrupted` where a signal came.
    """
    folds = _folds_of(experiment)
    with kept_log() as said:
        found = find_run(experiment.name, resume, FOLDS, "--fold")
        chosen = choose(folds, only) if only else folds
        changed = changes(found, experiment, overrides) if found else frozenset[str]()
        if not allow_seen_subjects:
            _refuse_seen(experiment, chosen)
        _prepare(experiment, console or Console(stderr=True))
    run = found or stamped_folder(experiment.name)
    make_newest(run)
    start_log(run, said)
    try:
        if changed:  # what folds came to as the experiment was says nothing of it as it is
            for fold in folds:
                FoldFolder.of(run, fold).predictions.unlink(missing_ok=True)
        record(run, experiment, source, FOLDS)
        due = [fold for fold in chosen if not FoldFolder.of(run, fold).predictions.is_file()]
        log.info("run    %s: %s, %d of them to do", run, counted(len(chosen), "fold"), len(due))
        options = RunOptions(overrides, allow_seen_subjects).options
        tasks = [_task(run, fold, options, pretrains=experiment.pretraining is not None) for fold in due]
        failures = run_all(tasks, jobs, cluster, run)
        return CrossValidation(run, _summarize(run, folds, failures), failures)
    finally:
        end_log()


def first_of(experiment: FinetuneExperiment) -> FinetuneExperiment | PretrainExperiment:
    """What is trained first: itself, or in its first fold the pretraining or the activity classifier. Raises `ConfigError`."""
    if experiment.folds is None:
        return experiment
    fold = _folds_of(experiment)[0]
    return pretraining_of(experiment, fold) if experiment.pretraining else experiment.in_fold(fold, experiment.encoder)


def _folds_of(experiment: FinetuneExperiment) -> tuple[Fold, ...]:
    assert experiment.folds is not None
    return experiment.folds.make_folds(experiment.data)


def _refuse_seen(experiment: FinetuneExperiment, folds: Sequence[Fold]) -> None:
    """Raise `ConfigError`, with names, where what all folds begin with, or are taught by, has seen who is tested."""
    seen: dict[str, Subjects | None] = {}
    if experiment.encoder is not None and not experiment.from_scratch:
        encoders = read_encoders(experiment.encoder.expanduser())
        seen[str(encoders.source)] = encoders.subjects
    if (teacher := read_teacher(experiment)) is not None:
        seen[str(teacher.path)] = teacher.description.has_seen
    tested = tuple(dict.fromkeys(subject for fold in folds for subject in fold.test))
    for source, subjects in seen.items():
        windows = experiment.data.evaluating(tested).labelled("test", experiment.seed)
        refuse_seen(source, subjects, windows, "pretrain in each fold, without who is tested (--pretrain FILE.py)")


def _prepare(experiment: FinetuneExperiment, console: Console) -> None:
    """Do once what the folds would otherwise all begin with at the same time."""
    own = [experiment.data] if reads_video(experiment) else []
    for data in (*own, *([experiment.pretraining.data] if experiment.pretraining else [])):
        if data.unprepared():
            first = first_of(experiment)  # long work is not begun for what cannot run
            if isinstance(first, PretrainExperiment):
                build_setup(first)
            else:
                build_finetune_setup(first, allow_seen_subjects=True)
            prepare(data, console)


def _task(run: Path, fold: Fold, options: Sequence[str], *, pretrains: bool) -> Task:
    folder = FoldFolder.of(run, fold)
    folder.path.mkdir(exist_ok=True)
    finetuning = (sys.executable, "-m", "revalexo_clip", "fold", str(run), fold.name, *options)
    commands = ((*finetuning, "--pretraining"), finetuning) if pretrains else (finetuning,)
    return Task(fold.name, commands, folder.output)


def _summarize(run: Path, folds: Sequence[Fold], failures: Mapping[str, str]) -> JsonObject:
    """Write `summary.json`, of all folds that are done."""
    files = {fold.name: FoldFolder.of(run, fold).predictions for fold in folds if fold.name not in failures}
    done = {name: path for name, path in files.items() if path.is_file()}
    summary = summarize(done, [fold.name for fold in folds], failures)
    write_json(run / "summary.json", summary)
    return summary
