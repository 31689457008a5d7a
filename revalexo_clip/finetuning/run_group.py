"""A group of trainings in one run folder: the folds of a cross-validation, or the variants of a comparison.

Each part of a group is trained and tested in processes of its own. Its run folder lies inside that of the group. The
group writes the part's experiment there, and the processes read it.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import experiment_files
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.console import counting
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.platform import existing_signals
from revalexo_clip.core.text import counted
from revalexo_clip.finetuning.build import build_finetune_setup, reads_video
from revalexo_clip.finetuning.run import dry_run_finetuning, finetune
from revalexo_clip.jobs import Cluster, Task, run_here, run_on_cluster
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.run import dry_run_pretraining, pretrain
from revalexo_clip.runs.environment import environment
from revalexo_clip.runs.folder import make_newest, runs_of, stamped_folder, use_run_folder
from revalexo_clip.runs.log import end_log, kept_log, start_log
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.part_folder import PartFolder, read_experiment, write_experiment
from revalexo_clip.runs.resume import NEWEST, changed_paths, is_free
from revalexo_clip.training.dry_run import DryRun

log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class Part:
    """One training of a group."""

    name: str
    """Name of its run folder."""
    experiment: FinetuneExperiment
    pretraining: PretrainExperiment | None = None
    """Pretraining that comes first. Its encoder replaces that of `experiment`."""


class RunGroup(ABC):
    """An experiment that is trained several times. Subclasses define how the parts differ, and their summary."""

    inside: ClassVar[str]
    """Folder of the parts in the run folder of the group: the plural of the name of a part, e.g. `folds`."""
    option: ClassVar[str] = ""
    """Command-line option that selects one part."""

    def __init__(self, experiment: FinetuneExperiment) -> None:
        self.experiment = experiment

    @property
    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """The parts to run, in order."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The number of parts, for the log: `3 folds`."""

    @abstractmethod
    def check(self, *, allow_seen_subjects: bool) -> None:
        """Raise `ConfigError` or `DataError` if parts cannot be trained or tested. Nothing has been written yet."""

    @abstractmethod
    def summarize(self, run: Path, failures: Mapping[str, str]) -> JsonObject:
        """Write the results of all parts that are done to the run folder, and return them."""

    def folder(self, run: Path, name: str) -> PartFolder:
        """Return the run folder of a part."""
        return PartFolder(run / self.inside / name)


@dataclass(frozen=True)
class GroupResult:
    """The result of a group of trainings."""

    folder: Path
    """Run folder of the group."""
    summary: JsonObject
    """Content of `summary.json` (folds) or `comparison.json` (variants)."""
    failures: Mapping[str, str]
    """By name of a part that failed, the error message."""


def run_group(
    group: RunGroup,
    source: Path | None,
    console: Console | None,
    options: RunOptions,
    *,
    jobs: int | None = None,
    cluster: Cluster | None = None,
) -> GroupResult:
    """Train and test all parts that are not done yet, and summarize the group.

    `jobs` parts run at a time, by default one on this machine and all of them on a cluster. A part that fails does not
    stop the others. Parts that are done stay as they are, unless the experiment has changed. Raises `ConfigError` or
    `DataError` before anything is written if parts cannot be run, `Interrupted` if a signal stopped them.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs: {jobs} is less than 1")
    with kept_log() as said:
        found = _find_run(group, options)
        changed = _changes(found, group.experiment, options) if found else frozenset[str]()
        group.check(allow_seen_subjects=options.allow_seen_subjects)
        _prepare(group, console or Console(stderr=True))
    run = found or stamped_folder(group.experiment.name)
    make_newest(run)
    start_log(run, said)
    try:
        if changed:  # results of the previous experiment are outdated
            for predictions in (run / group.inside).glob("*/evaluation/predictions.h5"):
                predictions.unlink()
        _record(run, group, source)
        due = [part for part in group.parts if not group.folder(run, part.name).predictions.is_file()]
        log.info("run    %s: %s, %d to do", run, group.title, len(due))
        tasks = [task_of(part, group.folder(run, part.name), source, options) for part in due]
        if cluster is None:
            failures = run_here(tasks, jobs or 1, _log_line)
        else:
            failures = run_on_cluster(tasks, jobs, cluster, run / "jobs", _log_line)
        return GroupResult(run, group.summarize(run, failures), failures)
    finally:
        end_log()


def run_part(path: Path, console: Console, source: Path | None, options: RunOptions, *, pretraining: bool) -> None:
    """Train and test the part with a run folder, or do its `pretraining`; resume it if it has begun.

    Raises what `finetune` and `pretrain` raise, and `ConfigError` if another process is working on the part.
    """
    for number in existing_signals("SIGUSR2"):  # sent by submitit, for the process that started this one
        signal.signal(number, signal.SIG_IGN)
    folder = PartFolder(path)
    with folder.alone():
        if pretraining:
            use_run_folder(folder.pretraining)
            experiment = read_experiment(folder.pretraining, PretrainExperiment)
            pretrain(experiment, None, console, overrides=options.overrides)
            return
        use_run_folder(path)
        finetune(
            read_experiment(path, FinetuneExperiment),
            source,
            console,
            overrides=options.overrides,
            allow_seen_subjects=options.allow_seen_subjects,
        )


def dry_run_group(group: RunGroup, options: RunOptions) -> DryRun:
    """Dry-run the first training of a group. See `run_group` for what is raised."""
    found = _find_run(group, options)
    first = group.parts[0]
    resumes_from = None if found is None else _describe_progress(found, group, options)
    new = replace(options, resume=None, overrides=())
    if first.pretraining is not None:
        planned = dry_run_pretraining(first.pretraining, new)
    else:
        planned = dry_run_finetuning(first.experiment, new)
    return replace(planned, resumes_from=resumes_from)


def _describe_progress(run: Path, group: RunGroup, options: RunOptions) -> str:
    parts = [] if _changes(run, group.experiment, options) else [*(run / group.inside).iterdir()]
    done = sum(PartFolder(part).predictions.is_file() for part in parts)
    return f"from   {run}: {counted(done, group.inside.removesuffix('s'))} done"


def _find_run(group: RunGroup, options: RunOptions) -> Path | None:
    """Return the run to resume; None if a new one begins. Raises `ConfigError` if there is no such run."""
    resume, inside = options.resume, group.inside
    if resume is None:
        return None
    if resume == NEWEST:
        runs = [run for run in runs_of(group.experiment.name) if (run / inside).is_dir()]
        if not runs:
            log.info("no run of %s has %s to resume: a new one begins", group.experiment.name, inside)
        return runs[0] if runs else None
    run = resume.parent / resume.readlink() if resume.is_symlink() else resume
    if run.parent.name == inside:
        selected = f" {group.option} {run.name}" if group.option else ""
        raise ConfigError(
            f"--resume {resume}: this is one {inside.removesuffix('s')} of a run; use --resume "
            f"{run.parent.parent}{selected}"
        )
    if not (run / inside).is_dir():
        raise ConfigError(f"--resume {resume}: not a run folder, or a run without {inside}")
    return run


def _changes(run: Path, experiment: FinetuneExperiment, options: RunOptions) -> frozenset[str]:
    """Return the paths in which an experiment differs from a run's, except those that do not affect results.

    Raises `ConfigError` if `options.overrides` do not name them.
    """
    before = read_experiment(run, FinetuneExperiment).model_dump(mode="json")
    return frozenset(path for path in changed_paths(run, before, experiment, options.overrides) if not is_free(path))


def _prepare(group: RunGroup, console: Console) -> None:
    """Pack videos once. Otherwise all parts would begin with it at the same time."""
    experiment, first = group.experiment, group.parts[0]
    inner = experiment.pretraining
    for data in (*([experiment.data] if reads_video(experiment) else ()), *([inner.data] if inner else ())):
        if data.unprepared():
            if first.pretraining is not None:  # raises before the long work if this cannot run
                build_setup(first.pretraining)
            else:
                build_finetune_setup(first.experiment, allow_seen_subjects=True)
            with counting("packing", console) as on_progress:
                data.prepare(on_progress, leader=True)


def _record(run: Path, group: RunGroup, source: Path | None) -> None:
    """Write the experiment and the environment of a run, and of each time it was resumed."""
    path = run / "environment.json"
    now = environment()
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        now = begun | {"resumed": [*begun.get("resumed", []), now]}
    write_json(path, now)
    write_experiment(run, group.experiment)
    if source is not None:
        shutil.copyfile(source, run / "experiment.py")
    (run / group.inside).mkdir(exist_ok=True)  # from here on the run can be resumed


def task_of(part: Part, folder: PartFolder, source: Path | None, options: RunOptions) -> Task:
    """Write the experiments of a part to its run folder, and return the commands that train it."""
    own = None if source is None else source.resolve()
    files = sorted(experiment_files(), key=lambda file: file != own)  # the first one is kept with the run
    command = [sys.executable, "-m", "revalexo_clip", "part", str(folder.path)]
    command += [option for file in files for option in ("--experiment", str(file))]
    seen = ["--allow-seen-subjects"] if options.allow_seen_subjects else []
    changed = [text.partition("=")[0] for text in options.overrides]
    if part.pretraining is None:
        write_experiment(folder.path, part.experiment)
        return Task(part.name, ((*command, *_changed(changed), *seen),), folder.output)
    write_experiment(folder.pretraining, part.pretraining)
    write_experiment(folder.path, part.experiment.model_copy(update={"encoder": folder.pretraining}))
    prefix = "folds.pretrain."
    inner = [path.removeprefix(prefix) for path in changed if path.startswith(prefix)]
    first = (*command, "--pretraining", *_changed(inner))
    then = (*command, *_changed([*changed, "encoder"]), *seen)  # the run may have been moved
    return Task(part.name, (first, then), folder.output)


def _changed(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        yield from ("--changed", path)


def _log_line(name: str, line: str) -> None:
    log.info("%s  %s", name, line)
