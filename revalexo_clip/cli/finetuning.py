"""The command that trains activity classifiers, once, in folds or in variants. Heavy imports stay inside, as in `cli`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from revalexo_clip.cli.folds import FoldOptions, finetune_in_folds
from revalexo_clip.cli.options import (
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
from revalexo_clip.cli.variants import VariantOptions, finetune_variants
from revalexo_clip.core.console import err, is_main_process, out, quiet_libraries, say
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from revalexo_clip.config.finetuning import FinetuneExperiment
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
    """Train an activity classifier of activities, from a pretrained encoder or from nothing, and test it; or several of them."""
    quiet_libraries()
    from revalexo_clip.config.finetuning import FinetuneExperiment
    from revalexo_clip.config.loading import load_experiment_of

    said = [*(overrides or []), *([] if devices is None else [f"trainer.devices={devices}"])]
    options = FoldOptions(folds or [], jobs, pretrain, cluster, cluster_settings or [])
    experiment = load_experiment_of(FinetuneExperiment, file, [*options.overrides(), *said])
    variants = _variant_options(compare, labels)
    if experiment.folds is None:
        options.refuse(several=variants is not None)
    if dry_run:
        _try(experiment, variants, resume, said, allow_seen_subjects=allow_seen_subjects)
    elif variants is not None:
        finetune_variants(
            experiment,
            file,
            resume,
            said,
            variants,
            jobs=jobs,
            cluster=options.where(),
            allow_seen_subjects=allow_seen_subjects,
        )
    elif experiment.folds is None:
        _finetune_once(experiment, file, resume, said, allow_seen_subjects=allow_seen_subjects)
    else:
        finetune_in_folds(experiment, file, resume, said, options, allow_seen_subjects=allow_seen_subjects)


def _variant_options(compare: str | None, labels: str | None) -> VariantOptions | None:
    if compare is not None:
        return VariantOptions(compare, labels)
    if labels is not None:
        raise ConfigError("--labels is for the variants of --compare; for one training, --set label_fraction=...")
    return None


def _try(
    experiment: FinetuneExperiment,
    variants: VariantOptions | None,
    resume: Path | None,
    overrides: Sequence[str],
    *,
    allow_seen_subjects: bool,
) -> None:
    """A dry run: of folds and of variants, of what the first one begins with."""
    from revalexo_clip.config.pretraining import PretrainExperiment
    from revalexo_clip.finetuning.cross_validation import FOLDS, first_of
    from revalexo_clip.finetuning.run import dry_run_finetuning
    from revalexo_clip.finetuning.run_group import describe_progress
    from revalexo_clip.finetuning.variant_comparison import VARIANTS_FOLDER
    from revalexo_clip.pretraining.run import dry_run

    resumes_from = None
    if variants is not None or experiment.folds is not None:
        inside, option = (FOLDS, "--fold") if variants is None else (VARIANTS_FOLDER, "")
        resumes_from, resume = describe_progress(experiment, resume, overrides, inside, option), None
    first = first_of(experiment if variants is None else variants.first_of(experiment))
    if isinstance(first, PretrainExperiment):
        found = dry_run(first)
    else:
        found = dry_run_finetuning(first, resume=resume, overrides=overrides, allow_seen_subjects=allow_seen_subjects)
    print_dry_run(experiment.name, replace(found, resumes_from=resumes_from or found.resumes_from))


def print_dry_run(name: str, found: DryRun) -> None:
    """Once, however many processes there are."""
    from revalexo_clip.reports.terminal.tables import dry_run_table

    if is_main_process():
        out.print(dry_run_table(name, found.parameters, found.shapes, found.facts()))
        if found.resumes_from is not None:
            say(found.resumes_from)


def _finetune_once(
    experiment: FinetuneExperiment,
    file: str,
    resume: Path | None,
    overrides: Sequence[str],
    *,
    allow_seen_subjects: bool,
) -> None:
    from revalexo_clip.finetuning import run as command
    from revalexo_clip.reports.terminal.classifier import classifier_report

    finetuned = command.finetune(
        experiment,
        Path(file.partition(":")[0]),
        err,
        resume=resume,
        overrides=overrides,
        allow_seen_subjects=allow_seen_subjects,
    )
    if not is_main_process():
        return
    if finetuned.recognition is not None:
        for part in classifier_report(finetuned.recognition.metrics):
            out.print(part)
    say(f"done   {finetuned.folder}")
    if finetuned.recognition is not None:
        say(f"       {finetuned.recognition.path.with_name('report.html')}")
