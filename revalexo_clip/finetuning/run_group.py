"""A group of trainings in one run folder: folds of a cross-validation, variants of a comparison, trials of a sweep.

Each part of a group is trained and tested in processes of its own. Its run folder lies inside that of the group. The
group writes the part's experiment there, and the processes read it.
"""

from __future__ import annotations

import json
import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.console import counting
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.text import counted
from revalexo_clip.finetuning.build import build_finetune_setup, reads_video
from revalexo_clip.finetuning.part import Part, task_of
from revalexo_clip.finetuning.run import dry_run_finetuning
from revalexo_clip.jobs import Cluster, run_here, run_on_cluster
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.run import dry_run_pretraining
from revalexo_clip.runs.environment import environment
from revalexo_clip.runs.folder import make_newest, runs_of, stamped_folder
from revalexo_clip.runs.log import end_log, kept_log, start_log
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.part_folder import PartFolder, read_experiment, write_experiment
from revalexo_clip.runs.resume import NEWEST, changed_paths, is_free
from revalexo_clip.runs.state import recording_state
from revalexo_clip.training.dry_run import DryRun

log = logging.getLogger("revalexo_clip")


class RunGroup(ABC):
    """An experiment that is trained several times. Subclasses define how the parts differ, and their summary."""

    inside: ClassVar[str]
    """Folder of the parts in the run folder of the group: the plural of the name of a part, e.g. `folds`."""
    option: ClassVar[str] = ""
    """Command-line option that selects one part."""

    def __init__(self, experiment: Experiment) -> None:
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

    def begin(self, run: Path) -> None:  # noqa: B027 (need not do anything)
        """Write what a resumed run is checked against, if that is more than the experiment."""

    def check_resumed(self, run: Path) -> None:  # noqa: B027 (need not do anything)
        """Raise `ConfigError` if a run is not one of this group, apart from its experiment."""

    def compared(self, run: Path) -> Mapping[Path, Experiment]:
        """Return the experiments of a run that must not have changed, by the folder that holds them."""
        return {run: self.experiment}

    def folder(self, run: Path, name: str) -> PartFolder:
        """Return the run folder of a part."""
        return PartFolder(run / self.inside / name)

    def is_done(self, run: Path, part: Part) -> bool:
        """Return whether a part has a result."""
        return self.folder(run, part.name).predictions.is_file()

    def prepare(self, console: Console) -> None:
        """Pack videos once. Otherwise all parts would begin with it at the same time."""
        first = self.parts[0]
        tried = first.pretraining or first.experiment
        prepare_videos(self.experiment, tried, console)
        if isinstance(self.experiment, FinetuneExperiment) and self.experiment.pretraining is not None:
            prepare_videos(self.experiment.pretraining, tried, console)


@dataclass(frozen=True)
class GroupResult:
    """The result of a group of trainings."""

    folder: Path
    """Run folder of the group."""
    summary: JsonObject
    """Content of `summary.json` (folds), `comparison.json` (variants) or `sweep.json` (trials)."""
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
        changed = _changes(found, group, options) if found else frozenset[str]()
        group.check(allow_seen_subjects=options.allow_seen_subjects)
        group.prepare(console or Console(stderr=True))
    run = found or stamped_folder(group.experiment.name)
    make_newest(run)
    with recording_state(run) as outcome, ExitStack() as stack:
        start_log(run, said)
        stack.callback(end_log)
        if changed:  # results of the previous experiment are outdated
            for part in (run / group.inside).iterdir():
                PartFolder(part).forget_results()
        _record(run, group, source)
        due = [part for part in group.parts if not group.is_done(run, part)]
        log.info("run    %s: %s, %d to do", run, group.title, len(due))
        tasks = [task_of(part, group.folder(run, part.name), source, options) for part in due]
        if cluster is None:
            failures = run_here(tasks, jobs or 1, _log_line)
        else:
            failures = run_on_cluster(tasks, jobs, cluster, run / "jobs", _log_line)
        if failures:
            outcome.error = f"{counted(len(failures), group.inside.removesuffix('s'))} failed: {', '.join(failures)}"
        return GroupResult(run, group.summarize(run, failures), failures)


def dry_run_group(group: RunGroup, options: RunOptions) -> DryRun:
    """Dry-run the first training of a group. See `run_group` for what is raised."""
    found = _find_run(group, options)
    first = group.parts[0]
    resumes_from = None if found is None else _describe_progress(found, group, options)
    new = replace(options, resume=None, overrides=())
    experiment = first.pretraining or first.experiment
    if isinstance(experiment, PretrainExperiment):
        planned = dry_run_pretraining(experiment, new)
    else:
        planned = dry_run_finetuning(experiment, new)
    return replace(planned, resumes_from=resumes_from)


def _describe_progress(run: Path, group: RunGroup, options: RunOptions) -> str:
    done = 0 if _changes(run, group, options) else sum(group.is_done(run, part) for part in group.parts)
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


def _changes(run: Path, group: RunGroup, options: RunOptions) -> frozenset[str]:
    """Return the paths in which an experiment differs from a run's, except those that do not affect results.

    Raises `ConfigError` if `options.overrides` do not name them, or if the run is not one of this group.
    """
    group.check_resumed(run)
    return frozenset(
        path
        for folder, experiment in group.compared(run).items()
        for path in changed_paths(
            folder, read_experiment(folder, experiment.kind()).model_dump(mode="json"), experiment, options.overrides
        )
        if not is_free(path)
    )


def prepare_videos(experiment: Experiment, first: Experiment, console: Console) -> None:
    """Pack the videos that an experiment reads, if they are to be packed.

    Raises what building `first` raises, an experiment on these videos, before the long work.
    """
    if not _reads_video(experiment) or not experiment.data.unprepared():
        return
    if isinstance(first, PretrainExperiment):
        build_setup(first)
    elif isinstance(first, FinetuneExperiment):
        build_finetune_setup(first, allow_seen_subjects=True)
    with counting("packing", console) as on_progress:
        experiment.data.prepare(on_progress, leader=True)


def _reads_video(experiment: Experiment) -> bool:
    if isinstance(experiment, FinetuneExperiment):
        return reads_video(experiment)
    return isinstance(experiment, PretrainExperiment) and experiment.video is not None


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
    group.begin(run)
    (run / group.inside).mkdir(exist_ok=True)  # from here on the run can be resumed


def _log_line(name: str, line: str) -> None:
    log.info("%s  %s", name, line)
