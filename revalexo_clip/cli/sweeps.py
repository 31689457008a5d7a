"""The command `sweep`. Heavy imports stay inside it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from revalexo_clip.cli.finetuning import print_dry_run, print_error, read_cluster
from revalexo_clip.cli.options import (
    ClusterOption,
    ClusterSetOption,
    DryRunOption,
    ExperimentArgument,
    ResumeOption,
    SeenOption,
)
from revalexo_clip.core.console import err, out, quiet_libraries, say

if TYPE_CHECKING:
    from revalexo_clip.finetuning.run_group import GroupResult

SweepSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE[,VALUE...]", help="Field and its values, e.g. optim.lr=1e-3,3e-4. Repeatable."
    ),
]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="Seeds of each setting: seed, seed + 1, ...")]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Metric to compare, e.g. val/mrr or test/weighted_f1.",
        show_default="what checkpoints are chosen by",
    ),
]
TrialJobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        "--parallel",
        min=1,
        help="Number of trials to run at the same time.",
        show_default="1; cluster: all",
    ),
]


def sweep(  # noqa: PLR0917 (options, which typer passes by name)
    file: ExperimentArgument,
    settings: SweepSetOption = None,
    seeds: SeedsOption = 1,
    metric: MetricOption = None,
    resume: ResumeOption = None,
    jobs: TrialJobsOption = None,
    cluster: ClusterOption = None,
    cluster_settings: ClusterSetOption = None,
    allow_seen_subjects: SeenOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Pretrain or finetune an experiment with all combinations of some settings, and compare them."""
    quiet_libraries()
    from revalexo_clip.config.base import Experiment
    from revalexo_clip.config.loading import load_experiment_of, split_target
    from revalexo_clip.finetuning.run_group import dry_run_group
    from revalexo_clip.runs.options import RunOptions
    from revalexo_clip.sweeps import sweep as verb

    experiment = load_experiment_of(Experiment, file)
    where = read_cluster(cluster, cluster_settings or [])
    if dry_run:
        group = verb.SweepGroup(experiment, settings or [], seeds, metric)
        found = dry_run_group(group, RunOptions(resume, group.grid.fixed, allow_seen_subjects))
        print_dry_run(experiment.name, found)
        say(f"sweep  {group.title}; this is the first trial")
        return
    done = verb.sweep(
        experiment,
        settings or [],
        split_target(file)[0],
        err,
        seeds=seeds,
        metric=metric,
        jobs=jobs,
        cluster=where,
        resume=resume,
        allow_seen_subjects=allow_seen_subjects,
    )
    again = ["rxclip", "sweep", file, *(part for text in settings or [] for part in ("--set", text))]
    again += [*(["--seeds", str(seeds)] if seeds > 1 else []), *(["--metric", metric] if metric else [])]
    _show(done, again + (["--allow-seen-subjects"] if allow_seen_subjects else []))


def _show(done: GroupResult, again: list[str]) -> None:
    """Print the results, and exit with code 1 if a trial failed."""
    from revalexo_clip.reports.terminal.sweep import sweep_report

    for shown in sweep_report(done.summary):
        out.print(shown)
    say(f"done   {done.folder}\n       {done.folder / 'report.html'}")
    for name, why in done.failures.items():
        print_error(f"error: {name}: {why}")
    if done.failures:
        print_error(f"       again: {shlex.join([*again, '--resume', str(done.folder)])}")
        raise typer.Exit(1)
