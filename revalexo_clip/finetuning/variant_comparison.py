"""Finetuning in several ways: a run folder with that of each arm in it, and by how much arms differ.

Whether pretraining helped, and from how many labels on: arms begin with the same encoder trained and untrained, and see
the same windows in the same order.

One arm, in the run folder of a comparison: where its files lie, and the process that trains and tests it.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import write_json
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import LabelledWindows
from revalexo_clip.finetuning.build import build_finetune_parts, labelled_rows, reads_video
from revalexo_clip.finetuning.run import finetune
from revalexo_clip.finetuning.run_group import (
    PartFolder,
    Said,
    changes,
    find_run,
    prepare,
    read_experiment,
    record,
    run_all,
)
from revalexo_clip.finetuning.variant_summary import Outcome, summarize
from revalexo_clip.finetuning.variants import Arm, arms_of, check_comparable
from revalexo_clip.jobs import Cluster, Task
from revalexo_clip.reports.html.variants import write_arm_report
from revalexo_clip.runs.folder import make_newest, stamped_folder, use_run_folder
from revalexo_clip.runs.log import end_log, kept_log, start_log

ARMS_FOLDER = "arms"
"""Where in the run folder of a comparison those of its arms lie."""


class ArmFolder(PartFolder):
    """The run folder of an arm."""

    @classmethod
    def of(cls, run: Path, arm: Arm) -> ArmFolder:
        """Where it is in the run folder of the comparison."""
        return cls(run / ARMS_FOLDER / arm.name)

    @property
    def metrics(self) -> Path:
        """What its test has measured."""
        return self.predictions.with_name("metrics.json")


def run_arm(
    run: Path,
    arm: Arm,
    console: Console,
    *,
    source: Path | None = None,
    changed: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> None:
    """Train and test the recogniser of an arm, or go on with it.

    `run` is the run folder of the comparison, whose experiment is taken; `changed` are the dotted paths in which it may
    differ from what the arm was begun with. Raises what `finetune` raises, and `ConfigError` where another process is
    at work on the arm.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # submitit's: it tells the process that started this one
    experiment = arm.of(read_experiment(run))
    folder = ArmFolder.of(run, arm)
    with folder.alone():
        use_run_folder(folder.path)
        finetune(experiment, source, console, overrides=changed, allow_seen_subjects=allow_seen_subjects)


log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class ArmComparison:
    """What came of a finetuning in several ways."""

    folder: Path
    """The run folder of all."""
    comparison: JsonObject
    """`comparison.json`."""
    failures: Mapping[str, str]
    """Why arms failed, by name."""

    @property
    def report(self) -> Path:
        """`report.html`."""
        return self.folder / "report.html"


def compare_arms(
    experiment: FinetuneExperiment,
    kinds: Sequence[str],
    fractions: Sequence[float] = (),
    source: Path | None = None,
    console: Console | None = None,
    *,
    jobs: int | None = None,
    cluster: Cluster | None = None,
    resume: Path | None = None,
    overrides: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> ArmComparison:
    """Train and test a recogniser in each of some `ARMS`, at each share of the labels, and compare with the first arm.

    Without `fractions` it is the experiment's own share. `jobs`, `cluster`, `resume` and `overrides` are as for
    `cross_validate`: arms that are done stay as they are, and one that fails does not keep others from running. Raises
    `ConfigError` or `DataError` before anything is written where arms cannot be trained or tested, `Interrupted` where
    a signal came.
    """
    arms = arms_of(kinds, fractions or (experiment.label_fraction,))
    check_comparable(experiment)
    with kept_log() as said:
        found = find_run(experiment.name, resume, ARMS_FOLDER)
        changed = changes(found, experiment, overrides) if found else frozenset[str]()
        labels = _admit(experiment, arms, allow_seen_subjects=allow_seen_subjects)
        if reads_video(experiment) and experiment.data.unprepared():
            prepare(experiment.data, console or Console(stderr=True))
    run = found or stamped_folder(experiment.name)
    make_newest(run)
    start_log(run, said)
    try:
        if changed:  # what arms came to as the experiment was says nothing of it as it is
            for predictions in (run / ARMS_FOLDER).glob("*/evaluation/predictions.h5"):
                predictions.unlink()
        record(run, experiment, source, ARMS_FOLDER)
        due = [arm for arm in arms if not ArmFolder.of(run, arm).predictions.is_file()]
        log.info("run    %s: %s, %d of them to do", run, _counted(arms), len(due))
        options = Said(overrides, allow_seen_subjects).options
        failures = run_all([_task(run, arm, options) for arm in due], jobs, cluster, run)
        comparison = _compare(run, experiment, arms, labels, failures)
        return ArmComparison(run, comparison, failures)
    finally:
        end_log()


def _counted(arms: Sequence[Arm]) -> str:
    """`6 trainings, of 3 arms with 1%, 10% of the labels`."""
    kinds, shares = {arm.kind for arm in arms}, dict.fromkeys(f"{100 * arm.fraction:g}%" for arm in arms)
    return f"{counted(len(arms), 'training')}, of {counted(len(kinds), 'arm')} with {', '.join(shares)} of the labels"


def _admit(experiment: FinetuneExperiment, arms: Sequence[Arm], *, allow_seen_subjects: bool) -> Mapping[float, int]:
    """By share of the labels, how many training windows are given with theirs.

    Raises `ConfigError` or `DataError` where arms cannot be trained, or have seen who is tested.
    """
    pretrained = next(arm for arm in arms if arm.kind != "scratch")  # of two arms at least one is
    parts = build_finetune_parts(pretrained.of(experiment), allow_seen_subjects=allow_seen_subjects)
    fractions = dict.fromkeys(arm.fraction for arm in arms)
    return {fraction: labelled_windows(parts.train, fraction, experiment.seed) for fraction in fractions}


def labelled_windows(train: LabelledWindows, fraction: float, seed: int) -> int:
    """How many training windows have a label that is used: at the first horizon, in the first epoch."""
    rows = labelled_rows(train, fraction, seed)
    return int(np.count_nonzero(train.labels(0)[:, 0] != UNLABELLED)) if rows is None else len(rows)


def _task(run: Path, arm: Arm, options: Sequence[str]) -> Task:
    folder = ArmFolder.of(run, arm)
    folder.path.mkdir(exist_ok=True)
    command = (sys.executable, "-m", "revalexo_clip", "arm", str(run), arm.kind, repr(arm.fraction), *options)
    return Task(arm.name, (command,), folder.output)


def _compare(
    run: Path,
    experiment: FinetuneExperiment,
    arms: Sequence[Arm],
    labels: Mapping[float, int],
    failures: Mapping[str, str],
) -> JsonObject:
    """Write `comparison.json` and the report, of all arms that are done."""
    folders = {arm: ArmFolder.of(run, arm) for arm in arms if arm.name not in failures}
    done = {
        arm: Outcome(folder.predictions, folder.metrics)
        for arm, folder in folders.items()
        if folder.predictions.is_file()
    }
    about: JsonObject = {"experiment": experiment.name, "encoder": str(experiment.encoder)}
    comparison = about | summarize(done, arms, labels, failures)
    write_json(run / "comparison.json", comparison)
    write_arm_report(run / "report.html", comparison)
    return comparison
