"""Finetuning in several ways: a run folder with that of each variant in it, and by how much variants differ.

Whether pretraining helped, and from how many labels on: variants begin with the same encoder trained and untrained, and see
the same windows in the same order.

One variant, in the run folder of a comparison: where its files lie, and the process that trains and tests it.
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
from revalexo_clip.finetuning.build import build_finetune_setup, labelled_rows, reads_video
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
from revalexo_clip.finetuning.variant_summary import Outcome, summarize
from revalexo_clip.finetuning.variants import Variant, check_comparable, make_variants
from revalexo_clip.jobs import Cluster, Task
from revalexo_clip.reports.html.variants import write_variant_report
from revalexo_clip.runs.folder import make_newest, stamped_folder, use_run_folder
from revalexo_clip.runs.log import end_log, kept_log, start_log

VARIANTS_FOLDER = "variants"
"""Where in the run folder of a comparison those of its variants lie."""


class VariantFolder(PartFolder):
    """The run folder of an variant."""

    @classmethod
    def of(cls, run: Path, variant: Variant) -> VariantFolder:
        """Where it is in the run folder of the comparison."""
        return cls(run / VARIANTS_FOLDER / variant.name)

    @property
    def metrics(self) -> Path:
        """What its test has measured."""
        return self.predictions.with_name("metrics.json")


def run_variant(
    run: Path,
    variant: Variant,
    console: Console,
    *,
    source: Path | None = None,
    changed: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> None:
    """Train and test the activity classifier of an variant, or go on with it.

    `run` is the run folder of the comparison, whose experiment is taken; `changed` are the dotted paths in which it may
    differ from what the variant was begun with. Raises what `finetune` raises, and `ConfigError` where another process is
    at work on the variant.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # submitit's: it tells the process that started this one
    experiment = variant.apply_to(read_experiment(run))
    folder = VariantFolder.of(run, variant)
    with folder.alone():
        use_run_folder(folder.path)
        finetune(experiment, source, console, overrides=changed, allow_seen_subjects=allow_seen_subjects)


log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class VariantComparison:
    """What came of a finetuning in several ways."""

    folder: Path
    """The run folder of all."""
    comparison: JsonObject
    """`comparison.json`."""
    failures: Mapping[str, str]
    """Why variants failed, by name."""

    @property
    def report(self) -> Path:
        """`report.html`."""
        return self.folder / "report.html"


def compare_variants(
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
) -> VariantComparison:
    """Train and test an activity classifier in each of some `VARIANTS`, at each share of the labels, and compare with the first variant.

    Without `fractions` it is the experiment's own share. `jobs`, `cluster`, `resume` and `overrides` are as for
    `cross_validate`: variants that are done stay as they are, and one that fails does not keep others from running. Raises
    `ConfigError` or `DataError` before anything is written where variants cannot be trained or tested, `Interrupted` where
    a signal came.
    """
    variants = make_variants(kinds, fractions or (experiment.label_fraction,))
    check_comparable(experiment)
    with kept_log() as said:
        found = find_run(experiment.name, resume, VARIANTS_FOLDER)
        changed = changes(found, experiment, overrides) if found else frozenset[str]()
        labels = _admit(experiment, variants, allow_seen_subjects=allow_seen_subjects)
        if reads_video(experiment) and experiment.data.unprepared():
            prepare(experiment.data, console or Console(stderr=True))
    run = found or stamped_folder(experiment.name)
    make_newest(run)
    start_log(run, said)
    try:
        if changed:  # what variants came to as the experiment was says nothing of it as it is
            for predictions in (run / VARIANTS_FOLDER).glob("*/evaluation/predictions.h5"):
                predictions.unlink()
        record(run, experiment, source, VARIANTS_FOLDER)
        due = [variant for variant in variants if not VariantFolder.of(run, variant).predictions.is_file()]
        log.info("run    %s: %s, %d of them to do", run, _counted(variants), len(due))
        options = RunOptions(overrides, allow_seen_subjects).options
        failures = run_all([_task(run, variant, options) for variant in due], jobs, cluster, run)
        comparison = _compare(run, experiment, variants, labels, failures)
        return VariantComparison(run, comparison, failures)
    finally:
        end_log()


def _counted(variants: Sequence[Variant]) -> str:
    """`6 trainings, of 3 variants with 1%, 10% of the labels`."""
    kinds, shares = (
        {variant.kind for variant in variants},
        dict.fromkeys(f"{100 * variant.fraction:g}%" for variant in variants),
    )
    return f"{counted(len(variants), 'training')}, of {counted(len(kinds), 'variant')} with {', '.join(shares)} of the labels"


def _admit(
    experiment: FinetuneExperiment, variants: Sequence[Variant], *, allow_seen_subjects: bool
) -> Mapping[float, int]:
    """By share of the labels, how many training windows are given with theirs.

    Raises `ConfigError` or `DataError` where variants cannot be trained, or have seen who is tested.
    """
    pretrained = next(variant for variant in variants if variant.kind != "scratch")  # of two variants at least one is
    parts = build_finetune_setup(pretrained.apply_to(experiment), allow_seen_subjects=allow_seen_subjects)
    fractions = dict.fromkeys(variant.fraction for variant in variants)
    return {fraction: labelled_windows(parts.train, fraction, experiment.seed) for fraction in fractions}


def labelled_windows(train: LabelledWindows, fraction: float, seed: int) -> int:
    """How many training windows have a label that is used: at the first horizon, in the first epoch."""
    rows = labelled_rows(train, fraction, seed)
    return int(np.count_nonzero(train.labels(0)[:, 0] != UNLABELLED)) if rows is None else len(rows)


def _task(run: Path, variant: Variant, options: Sequence[str]) -> Task:
    folder = VariantFolder.of(run, variant)
    folder.path.mkdir(exist_ok=True)
    command = (
        sys.executable,
        "-m",
        "revalexo_clip",
        "variant",
        str(run),
        variant.kind,
        repr(variant.fraction),
        *options,
    )
    return Task(variant.name, (command,), folder.output)


def _compare(
    run: Path,
    experiment: FinetuneExperiment,
    variants: Sequence[Variant],
    labels: Mapping[float, int],
    failures: Mapping[str, str],
) -> JsonObject:
    """Write `comparison.json` and the report, of all variants that are done."""
    folders = {variant: VariantFolder.of(run, variant) for variant in variants if variant.name not in failures}
    done = {
        variant: Outcome(folder.predictions, folder.metrics)
        for variant, folder in folders.items()
        if folder.predictions.is_file()
    }
    about: JsonObject = {"experiment": experiment.name, "encoder": str(experiment.encoder)}
    comparison = about | summarize(done, variants, labels, failures)
    write_json(run / "comparison.json", comparison)
    write_variant_report(run / "report.html", comparison)
    return comparison
