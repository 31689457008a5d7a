"""The command `finetune`, and the hidden command `part` that it starts. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revalexo_clip.cli.options import (
    ClusterKind,
    ClusterOption,
    ClusterSetOption,
    CompareOption,
    DevicesOption,
    DryRunOption,
    ExperimentArgument,
    FoldOption,
    LabelsOption,
    PartJobsOption,
    PretrainOption,
    ResumeOption,
    SeenOption,
    SetOption,
)
from revalexo_clip.core.console import err, is_main_process, out, quiet_libraries, say
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from revalexo_clip.config.finetuning import FinetuneExperiment
    from revalexo_clip.finetuning.run import Finetuned
    from revalexo_clip.finetuning.run_group import GroupResult
    from revalexo_clip.jobs import Cluster
    from revalexo_clip.runs.options import RunOptions
    from revalexo_clip.training.dry_run import DryRun


def finetune(  # noqa: PLR0917 (options, which typer passes by name)
    file: ExperimentArgument,
    overrides: SetOption = None,
    resume: ResumeOption = None,
    devices: DevicesOption = None,
    allow_seen_subjects: SeenOption = False,
    dry_run: DryRunOption = False,
    folds: FoldOption = None,
    jobs: PartJobsOption = None,
    pretrain: PretrainOption = None,
    cluster: ClusterOption = None,
    cluster_settings: ClusterSetOption = None,
    compare: CompareOption = None,
    labels: LabelsOption = None,
) -> None:
    """Train and test an activity classifier, once, in folds (cross-validation) or in variants (--compare)."""
    quiet_libraries()
    from revalexo_clip.config.finetuning import FinetuneExperiment
    from revalexo_clip.config.loading import load_experiment_of, split_target
    from revalexo_clip.finetuning import run as single
    from revalexo_clip.finetuning.cross_validation import cross_validate
    from revalexo_clip.finetuning.variant_comparison import compare_variants
    from revalexo_clip.runs.options import RunOptions

    said = [*(overrides or []), *([] if devices is None else [f"trainer.devices={devices}"])]
    experiment = load_experiment_of(FinetuneExperiment, file, [*_pretraining_overrides(pretrain), *said])
    kinds = None if compare is None else [name.strip() for name in compare.split(",")]
    fractions = _fractions(labels, compared=compare is not None)
    where = read_cluster(cluster, cluster_settings or [])
    if experiment.folds is None:
        group_options = {"--jobs": jobs, "--cluster": where} if kinds is None else {}
        _refuse({"--fold": folds, **group_options})
    if dry_run:
        _dry_run(experiment, RunOptions(resume, said, allow_seen_subjects), kinds, fractions, folds or [])
        return
    source = split_target(file)[0]
    again = ["rxclip", "finetune", file, *(part for text in said for part in ("--set", text))]
    again += ["--allow-seen-subjects"] if allow_seen_subjects else []
    if kinds is not None:
        done = compare_variants(
            experiment,
            kinds,
            fractions,
            source,
            err,
            jobs=jobs,
            cluster=where,
            resume=resume,
            overrides=said,
            allow_seen_subjects=allow_seen_subjects,
        )
        again += ["--compare", ",".join(kinds), *(["--labels", labels] if labels else [])]
        _show_variants(done, again)
    elif experiment.folds is not None:
        done = cross_validate(
            experiment,
            source,
            err,
            only=folds or [],
            jobs=jobs,
            cluster=where,
            resume=resume,
            overrides=said,
            allow_seen_subjects=allow_seen_subjects,
        )
        _show_folds(done, [*again, *(["--pretrain", pretrain] if pretrain else [])])
    else:
        finetuned = single.finetune(
            experiment, source, err, resume=resume, overrides=said, allow_seen_subjects=allow_seen_subjects
        )
        if is_main_process():
            _show_classifier(finetuned)


def part(  # noqa: PLR0917 (options, which typer passes by name)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of the fold, variant or trial.")],
    files: Annotated[
        list[Path] | None, typer.Option("--experiment", help="File that defines components. Repeatable.")
    ] = None,
    changed: Annotated[list[str] | None, typer.Option(help="Field that may differ when resuming. Repeatable.")] = None,
    pretraining: Annotated[Path | None, typer.Option(help="Do the pretraining with this run folder.")] = None,
    evaluated: Annotated[bool, typer.Option("--evaluated", help="Evaluate it, too.")] = False,
    allow_seen_subjects: SeenOption = False,
) -> None:
    """Train and test one fold, variant or trial. Other commands start this one in processes of their own."""
    quiet_libraries()
    from revalexo_clip.config.loading import import_experiment_file
    from revalexo_clip.finetuning.part import run_part
    from revalexo_clip.runs.options import RunOptions

    for file in files or []:
        import_experiment_file(file)
    options = RunOptions(overrides=changed or [], allow_seen_subjects=allow_seen_subjects)
    run_part(run, err, next(iter(files or []), None), options, pretraining=pretraining, evaluated=evaluated)


def _pretraining_overrides(pretrain: str | None) -> list[str]:
    """Return what `--pretrain` sets: its whole experiment becomes a field of the folds."""
    if pretrain is None:
        return []
    from revalexo_clip.config.loading import load_experiment

    pretraining = load_experiment(pretrain).to_json(indent=None)
    return ["encoder=none", "imu=none", "video=none", "standardize=false", f"folds.pretrain={pretraining}"]


def _fractions(labels: str | None, *, compared: bool) -> list[float]:
    """Read `--labels`. Empty without it: the experiment has its own share."""
    if labels is None:
        return []
    if not compared:
        raise ConfigError("--labels requires --compare; for a single training, use --set label_fraction=...")
    try:
        return [float(text) for text in labels.split(",")]
    except ValueError as error:
        raise ConfigError(f"--labels {labels}: write shares as numbers, e.g. --labels 0.01,0.1,1") from error


def read_cluster(kind: ClusterKind | None, settings: Sequence[str]) -> Cluster | None:
    """Read `--cluster` and `--cluster-set`."""
    if kind is None:
        if settings:
            raise ConfigError("--cluster-set requires --cluster")
        return None
    from revalexo_clip.jobs import Cluster

    return Cluster(kind.value, dict(map(_setting, settings)))


def _setting(text: str) -> tuple[str, str | int | float]:
    name, equals, raw = text.partition("=")
    if not name or not equals:
        raise ConfigError(f"--cluster-set {text}: write it as NAME=VALUE, e.g. --cluster-set gpus_per_node=1")
    try:
        value = json.loads(raw)
    except json.JSONDecodeError:
        value = raw
    return name, value if isinstance(value, int | float) else raw


def _refuse(options: dict[str, object]) -> None:
    """Raise `ConfigError` if an option is given that needs folds."""
    for option, value in options.items():
        if value:
            raise ConfigError(f"{option}: this experiment has no folds; see `folds` in rxclip components")


def _dry_run(
    experiment: FinetuneExperiment,
    options: RunOptions,
    kinds: Sequence[str] | None,
    fractions: Sequence[float],
    folds: Sequence[str],
) -> None:
    from revalexo_clip.finetuning.cross_validation import FoldGroup
    from revalexo_clip.finetuning.run import dry_run_finetuning
    from revalexo_clip.finetuning.run_group import dry_run_group
    from revalexo_clip.finetuning.variant_comparison import VariantGroup

    if kinds is not None:
        found = dry_run_group(VariantGroup(experiment, kinds, fractions), options)
    elif experiment.folds is not None:
        found = dry_run_group(FoldGroup(experiment, folds), options)
    else:
        found = dry_run_finetuning(experiment, options)
    print_dry_run(experiment.name, found)


def print_dry_run(name: str, found: DryRun) -> None:
    """Print the result of a dry run, in the first of all processes."""
    from revalexo_clip.reports.terminal.tables import dry_run_table

    if is_main_process():
        out.print(dry_run_table(name, found.parameters, found.shapes, found.facts()))
        if found.resumes_from is not None:
            say(found.resumes_from)


def _show_classifier(finetuned: Finetuned) -> None:
    from revalexo_clip.reports.terminal.classifier import classifier_report

    if finetuned.evaluation is not None:
        for shown in classifier_report(finetuned.evaluation.metrics):
            out.print(shown)
    say(f"done   {finetuned.folder}")
    if finetuned.evaluation is not None:
        say(f"       {finetuned.evaluation.path.with_name('report.html')}")


def _show_folds(done: GroupResult, again: Sequence[str]) -> None:
    """Print the summary, and exit with code 1 if a fold failed."""
    from revalexo_clip.reports.terminal.folds import fold_report

    for shown in fold_report(done.summary):
        out.print(shown)
    say(f"done   {done.folder}\n       {done.folder / 'summary.json'}")
    for name, why in done.failures.items():
        print_error(f"error: fold {name}: {why}")
        print_error(f"       again: {shlex.join([*again, '--resume', str(done.folder), '--fold', name])}")
    if done.failures:
        raise typer.Exit(1)


def _show_variants(done: GroupResult, again: Sequence[str]) -> None:
    """Print the comparison, and exit with code 1 if a variant failed."""
    from revalexo_clip.reports.terminal.variants import variant_report

    for shown in variant_report(done.summary):
        out.print(shown)
    say(f"done   {done.folder}\n       {done.folder / 'report.html'}")
    for name, why in done.failures.items():
        print_error(f"error: {name}: {why}")
    if done.failures:
        print_error(f"       again: {shlex.join([*again, '--resume', str(done.folder)])}")
        raise typer.Exit(1)


def print_error(text: str) -> None:
    """Print an error message to standard error, unchanged."""
    err.print(text, highlight=False, markup=False, soft_wrap=True)
