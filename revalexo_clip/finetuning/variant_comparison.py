"""Comparison of variants: train and test an activity classifier in each variant, with the same data in the same order.

It shows if pretraining helped, and with how many labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import write_json
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import LabelledWindows
from revalexo_clip.finetuning.build import build_finetune_setup, labelled_rows
from revalexo_clip.finetuning.part import Part
from revalexo_clip.finetuning.run_group import GroupResult, RunGroup, run_group
from revalexo_clip.finetuning.variant_summary import Outcome, summarize
from revalexo_clip.finetuning.variants import check_comparable, make_variants
from revalexo_clip.jobs import Cluster
from revalexo_clip.reports.html.variants import write_variant_report
from revalexo_clip.runs.options import RunOptions, optional_path


def compare_variants(
    experiment: FinetuneExperiment,
    kinds: Sequence[str],
    fractions: Sequence[float] = (),
    source: Path | str | None = None,
    console: Console | None = None,
    *,
    jobs: int | None = None,
    cluster: Cluster | None = None,
    resume: Path | str | None = None,
    overrides: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> GroupResult:
    """Train and test an activity classifier in each of some `VARIANTS`, and compare the others with the first one.

    Each variant is trained with each of `fractions`, shares of the labels; by default the experiment's own
    `label_fraction`. Writes `comparison.json` and `report.html`. The other arguments and what is raised are as for
    `cross_validate`.
    """
    options = RunOptions(optional_path(resume), overrides, allow_seen_subjects)
    group = VariantGroup(experiment, kinds, fractions)
    return run_group(group, optional_path(source), console, options, jobs=jobs, cluster=cluster)


class VariantGroup(RunGroup):
    """Variants of an experiment. Raises `ConfigError` if the experiment or the variants cannot be compared."""

    inside = "variants"
    experiment: FinetuneExperiment

    def __init__(self, experiment: FinetuneExperiment, kinds: Sequence[str], fractions: Sequence[float] = ()) -> None:
        super().__init__(experiment)
        self.variants = make_variants(kinds, fractions or (experiment.label_fraction,))
        check_comparable(experiment)
        self._training_windows: Mapping[float, int] = {}

    @property
    def parts(self) -> list[Part]:
        """See `RunGroup.parts`."""
        return [Part(variant.name, variant.apply_to(self.experiment)) for variant in self.variants]

    @property
    def title(self) -> str:
        """See `RunGroup.title`: `6 trainings (3 variants; 1%, 10% of the labels)`."""
        kinds = {variant.kind for variant in self.variants}
        shares = dict.fromkeys(f"{100 * variant.fraction:g}%" for variant in self.variants)
        trainings, variants = counted(len(self.variants), "training"), counted(len(kinds), "variant")
        return f"{trainings} ({variants}; {', '.join(shares)} of the labels)"

    def check(self, *, allow_seen_subjects: bool) -> None:
        """See `RunGroup.check`."""
        pretrained = next(variant for variant in self.variants if variant.kind != "scratch")  # there are two kinds
        setup = build_finetune_setup(pretrained.apply_to(self.experiment), allow_seen_subjects=allow_seen_subjects)
        fractions = dict.fromkeys(variant.fraction for variant in self.variants)
        seed = self.experiment.seed
        self._training_windows = {fraction: labelled_windows(setup.train, fraction, seed) for fraction in fractions}

    def summarize(self, run: Path, failures: Mapping[str, str]) -> JsonObject:
        """Write `comparison.json` and `report.html` of all variants that are done, and return the comparison."""
        folders = {one: self.folder(run, one.name) for one in self.variants if one.name not in failures}
        done = {
            variant: Outcome(folder.predictions, folder.metrics)
            for variant, folder in folders.items()
            if folder.predictions.is_file()
        }
        about: JsonObject = {"experiment": self.experiment.name, "encoder": str(self.experiment.encoder)}
        comparison = about | summarize(done, self.variants, self._training_windows, failures)
        write_json(run / "comparison.json", comparison)
        write_variant_report(run / "report.html", comparison)
        return comparison


def labelled_windows(train: LabelledWindows, fraction: float, seed: int) -> int:
    """Count the training windows whose label is used: at the first horizon, in the first epoch."""
    rows = labelled_rows(train, fraction, seed)
    return int(np.count_nonzero(train.labels(0)[:, 0] != UNLABELLED)) if rows is None else len(rows)
