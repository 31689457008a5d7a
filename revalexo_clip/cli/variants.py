"""What `rxclip finetune --compare` does, and the command of the processes that it starts. Imports as in `cli`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revalexo_clip.cli.options import SeenOption
from revalexo_clip.core.console import err, out, quiet_libraries, say
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from revalexo_clip.config.finetuning import FinetuneExperiment
    from revalexo_clip.jobs import Cluster


@dataclass(frozen=True)
class VariantOptions:
    """Which variants, with how many labels."""

    compare: str
    labels: str | None

    @property
    def kinds(self) -> list[str]:
        """Names of variants."""
        return [name.strip() for name in self.compare.split(",")]

    @property
    def fractions(self) -> list[float]:
        """Shares of the labels; none where that is left to the experiment. Raises `ConfigError`."""
        if self.labels is None:
            return []
        try:
            return [float(text) for text in self.labels.split(",")]
        except ValueError as error:
            raise ConfigError(f"--labels {self.labels}: write shares as numbers, e.g. --labels 0.01,0.1,1") from error

    def first_of(self, experiment: FinetuneExperiment) -> FinetuneExperiment:
        """What is trained first. Raises `ConfigError` where variants cannot be compared."""
        from revalexo_clip.finetuning.variants import check_comparable, make_variants

        check_comparable(experiment)
        return make_variants(self.kinds, self.fractions or [experiment.label_fraction])[0].apply_to(experiment)


def finetune_variants(
    experiment: FinetuneExperiment,
    file: str,
    resume: Path | None,
    overrides: Sequence[str],
    options: VariantOptions,
    *,
    jobs: int | None,
    cluster: Cluster | None,
    allow_seen_subjects: bool,
) -> None:
    """Ends with exit code 1 where an variant failed."""
    from revalexo_clip.finetuning.variant_comparison import compare_variants
    from revalexo_clip.reports.terminal.variants import variant_report

    done = compare_variants(
        experiment,
        options.kinds,
        options.fractions,
        Path(file.partition(":")[0]),
        err,
        jobs=jobs,
        cluster=cluster,
        resume=resume,
        overrides=overrides,
        allow_seen_subjects=allow_seen_subjects,
    )
    for part in variant_report(done.comparison):
        out.print(part)
    say(f"done   {done.folder}\n       {done.report}")
    if not done.failures:
        return
    for name, why in done.failures.items():
        err.print(f"error: {name}: {why}", highlight=False, markup=False, soft_wrap=True)
    said = [part for text in overrides for part in ("--set", text)]
    said += ["--compare", options.compare, *(["--labels", options.labels] if options.labels else [])]
    said += ["--allow-seen-subjects"] if allow_seen_subjects else []
    again = shlex.join(["rxclip", "finetune", file, *said, "--resume", str(done.folder)])
    err.print(f"       again: {again}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)


def variant(  # noqa: PLR0917 (options, which typer passes by name)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of the comparison.")],
    kind: Annotated[str, typer.Argument(metavar="VARIANT", help="The variant.")],
    fraction: Annotated[float, typer.Argument(metavar="SHARE", help="Of the labels.")],
    files: Annotated[
        list[Path] | None, typer.Option("--experiment", help="A file that defines components. Repeatable.")
    ] = None,
    changed: Annotated[list[str] | None, typer.Option(help="A field that was set. Repeatable.")] = None,
    allow_seen_subjects: SeenOption = False,
) -> None:
    """Train and test one variant's activity classifier: what `finetune --compare` starts a process for."""
    quiet_libraries()
    from revalexo_clip.config.loading import import_experiment_file
    from revalexo_clip.finetuning.variant_comparison import run_variant
    from revalexo_clip.finetuning.variants import Variant

    for file in files or []:
        import_experiment_file(file)
    run_variant(
        run,
        Variant(kind, fraction),
        err,
        source=next(iter(files or []), None),
        changed=changed or [],
        allow_seen_subjects=allow_seen_subjects,
    )
