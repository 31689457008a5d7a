"""Variants of an experiment: new weights, a frozen pretrained encoder, or a pretrained encoder that is trained.

Everything else is the same: data, windows, batches, augmentation, and the initial weights of the heads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from revalexo_clip.config.finetuning import FinetuneExperiment, Freezing
from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError

VARIANTS = {
    "scratch": "the encoder starts with new weights, and all of it is trained",
    "frozen": "the pretrained encoder is frozen, and only the heads are trained",
    "full": "the pretrained encoder is trained together with the heads",
}
"""Descriptions by name."""


@dataclass(frozen=True)
class Variant:
    """One training of a comparison."""

    kind: str
    """One of `VARIANTS`."""
    fraction: float
    """Share of the labels that is used."""

    @property
    def name(self) -> str:
        """Name of its run folder: `<kind>-<percent>`."""
        return f"{self.kind}-{100 * self.fraction:g}"

    def apply_to(self, experiment: FinetuneExperiment) -> FinetuneExperiment:
        """Return the experiment as this variant. `full` keeps its `freezing`, except if that is for the whole run."""
        thawed = Freezing() if experiment.freezing.epochs == "all" else experiment.freezing
        freezing = {"scratch": Freezing(), "frozen": Freezing(epochs="all"), "full": thawed}[self.kind]
        fields = {name: getattr(experiment, name) for name in type(experiment).model_fields}
        return type(experiment).model_validate(
            fields | {"from_scratch": self.kind == "scratch", "freezing": freezing, "label_fraction": self.fraction}
        )


def make_variants(kinds: Sequence[str], fractions: Sequence[float]) -> tuple[Variant, ...]:
    """Return all variants, ordered by their share of the labels. The others are compared with the first kind.

    Raises `ConfigError` if names are unknown or repeated or fewer than two, or if shares are invalid or repeated.
    """
    for kind in kinds:
        if kind not in VARIANTS:
            raise ConfigError(f"--compare {kind}: no such variant{nearest(kind, VARIANTS)}")
    if twice := [kind for kind, count in Counter(kinds).items() if count > 1]:
        raise ConfigError(f"--compare: {twice[0]} is named twice")
    if len(kinds) < 2:
        raise ConfigError(f"--compare {','.join(kinds)}: name at least two variants, e.g. {','.join(VARIANTS)}")
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise ConfigError(f"--labels {fraction:g}: a share of the labels must be above 0 and at most 1")
    variants = tuple(Variant(kind, fraction) for fraction in sorted(fractions) for kind in kinds)
    if len({variant.name for variant in variants}) < len(variants):
        raise ConfigError(f"--labels {','.join(f'{one:g}' for one in fractions)}: a share is given twice")
    return variants


def check_comparable(experiment: FinetuneExperiment) -> None:
    """Raise `ConfigError` if variants of an experiment cannot be compared."""
    if experiment.folds is not None:
        raise ConfigError(
            "folds: variants are compared on one split; --set folds=none --set data.test_subjects=NAME,..."
        )
    if experiment.encoder is None:
        raise ConfigError(
            "encoder: variants start from a pretrained encoder, and this experiment names none; set `encoder`"
        )
    if not experiment.data.subjects("test"):
        raise ConfigError(
            "data: variants are compared on test subjects, and there are none; --set data.test_subjects=NAME,..."
        )
