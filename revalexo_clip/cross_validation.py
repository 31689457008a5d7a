"""Finetuning in folds: a run folder with that of each fold in it, each fold in processes of its own, and a summary."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from revalexo_clip.component import JsonObject
from revalexo_clip.console import counting
from revalexo_clip.errors import ConfigError
from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.experiment_file import experiment_files
from revalexo_clip.files import atomically
from revalexo_clip.finetune_experiment import FinetuneExperiment
from revalexo_clip.finetune_parts import build_finetune_parts, read_teacher, reads_video
from revalexo_clip.fold_run import FOLDS, FoldFolder, pretraining_of, read_experiment
from revalexo_clip.fold_summary import summarize
from revalexo_clip.folds import Fold, choose
from revalexo_clip.jobs import Cluster, Task, run_here, run_on_cluster
from revalexo_clip.parts import build_parts
from revalexo_clip.pretrained import read_encoders
from revalexo_clip.recognise import Subjects, refuse_seen
from revalexo_clip.report import counted
from revalexo_clip.resume import NEWEST, changed_paths, is_free
from revalexo_clip.run_folder import (
    end_log,
    environment,
    kept_log,
    make_newest,
    runs_of,
    stamped_folder,
    start_log,
)

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
    """Train and test a recogniser in each fold, or in `only` those of some names, and sum up what all have come to.

    On this machine `jobs` folds run at a time, by default one; as jobs of a cluster all of them, unless `jobs` says
    otherwise. `resume` is a run to go on with: folds that are done stay as they are, unless `overrides` change the
    experiment, which leaves none of them done. A fold that fails does not keep others from running. Raises
    `ConfigError` or `DataError` before anything is written where there are no such folds or the encoder has seen a test
    subject, `Interrupted` where a signal came.
    """
    folds = _folds_of(experiment)
    with kept_log() as said:
        found = _find_run(experiment, resume)
        chosen = choose(folds, only) if only else folds
        changed = _changes(found, experiment, overrides) if found else frozenset[str]()
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
        _record(run, experiment, source)
        due = [fold for fold in chosen if not FoldFolder.of(run, fold).predictions.is_file()]
        log.info("run    %s: %s, %d of them to do", run, counted(len(chosen), "fold"), len(due))
        options = _options(overrides, allow_seen_subjects)
        tasks = [_task(run, fold, options, pretrains=experiment.pretraining is not None) for fold in due]
        if cluster is None:
            failures = run_here(tasks, jobs or 1, _tell)
        else:
            failures = run_on_cluster(tasks, jobs, cluster, run / "jobs", _tell)
        return CrossValidation(run, _summarize(run, folds, failures), failures)
    finally:
        end_log()


def first_of(experiment: FinetuneExperiment) -> FinetuneExperiment | PretrainExperiment:
    """What is trained first: itself, or in its first fold the pretraining or the recogniser. Raises `ConfigError`."""
    if experiment.folds is None:
        return experiment
    fold = _folds_of(experiment)[0]
    return pretraining_of(experiment, fold) if experiment.pretraining else experiment.in_fold(fold, experiment.encoder)


def _folds_of(experiment: FinetuneExperiment) -> tuple[Fold, ...]:
    assert experiment.folds is not None
    return experiment.folds.of(experiment.data)


def _find_run(experiment: FinetuneExperiment, resume: Path | None) -> Path | None:
    """The run to go on with. Raises `ConfigError` where there is no such run."""
    if resume is None:
        return None
    if resume == NEWEST:
        runs = [run for run in runs_of(experiment.name) if (run / FOLDS).is_dir()]
        if not runs:
            log.info("no run of %s has folds to go on with: a new one begins", experiment.name)
        return runs[0] if runs else None
    run = resume.parent / resume.readlink() if resume.is_symlink() else resume
    if run.parent.name == FOLDS:
        raise ConfigError(
            f"--resume {resume}: this is one fold of a run: --resume {run.parent.parent} --fold {run.name}"
        )
    if not (run / FOLDS).is_dir():
        raise ConfigError(f"--resume {resume}: no run folder, or not one of folds")
    return run


def _changes(run: Path, experiment: FinetuneExperiment, overrides: Sequence[str]) -> frozenset[str]:
    """The paths in which an experiment is not what it was in a run, save those that make no difference to results.

    Raises `ConfigError` where `overrides` do not name them.
    """
    before = read_experiment(run).model_dump(mode="json")
    return frozenset(path for path in changed_paths(run, before, experiment, overrides) if not is_free(path))


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
                build_parts(first)
            else:
                build_finetune_parts(first, allow_seen_subjects=True)
            with counting("packing", console) as on_progress:
                data.prepare(on_progress, leader=True)


def _record(run: Path, experiment: FinetuneExperiment, source: Path | None) -> None:
    """Write down what the run is made of, and what it was gone on with each time."""
    path = run / "environment.json"
    now = environment()
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        now = begun | {"resumed": [*begun.get("resumed", []), now]}
    for name, text in (("environment", json.dumps(now, indent=2)), ("experiment", experiment.to_json())):
        with atomically(run / f"{name}.json") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if source is not None:
        shutil.copyfile(source, run / "experiment.py")
    (run / FOLDS).mkdir(exist_ok=True)  # from here on it can be gone on with


def _options(overrides: Sequence[str], allow_seen_subjects: bool) -> tuple[str, ...]:
    """What the processes of all folds are told."""
    files = (option for file in experiment_files() for option in ("--experiment", str(file)))
    changed = (option for text in overrides for option in ("--changed", text.partition("=")[0]))
    return (*files, *changed, *(["--allow-seen-subjects"] if allow_seen_subjects else []))


def _task(run: Path, fold: Fold, options: Sequence[str], *, pretrains: bool) -> Task:
    folder = FoldFolder.of(run, fold)
    folder.path.mkdir(exist_ok=True)
    finetuning = (sys.executable, "-m", "revalexo_clip", "fold", str(run), fold.name, *options)
    commands = ((*finetuning, "--pretraining"), finetuning) if pretrains else (finetuning,)
    return Task(fold.name, commands, folder.output)


def _tell(fold: str, line: str) -> None:
    log.info("%s  %s", fold, line)


def _summarize(run: Path, folds: Sequence[Fold], failures: Mapping[str, str]) -> JsonObject:
    """Write `summary.json`, of all folds that are done."""
    files = {fold.name: FoldFolder.of(run, fold).predictions for fold in folds if fold.name not in failures}
    done = {name: path for name, path in files.items() if path.is_file()}
    summary = summarize(done, [fold.name for fold in folds], failures)
    with atomically(run / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary
