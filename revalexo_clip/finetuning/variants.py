"""Ways of beginning with an encoder, to be compared: what each does to an experiment, and what it leaves alone.

Everything else is the same: data, windows, batches, augmentation, the weights that heads begin with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from revalexo_clip.config.finetuning import FinetuneExperiment, Freezing
from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError

VARIANTS = {
    "scratch": "the encoder begins with new weights, and all of it is trained",
    "frozen": "the pretrained encoder stays as it is, and only heads are trained",
    "full": "the pretrained encoder is trained on, together with the heads",
}
"""By name, what they are."""


@dataclass(frozen=True)
class Variant:
    """One training of a comparison."""

    kind: str
    """One of `VARIANTS`."""
    fraction: float
    """Share of the labels that it is given."""

    @property
    def name(self) -> str:
        """`<variant>-<percent>`, which names its run folder."""
        return f"{self.kind}-{100 * self.fraction:g}"

    def apply_to(self, experiment: FinetuneExperiment) -> FinetuneExperiment:
        """An experiment in this way; `full` keeps the experiment's own freezing, unless that is for the whole run."""
        thawed = Freezing() if experiment.freezing.epochs == "all" else experiment.freezing
        freezing = {"scratch": Freezing(), "frozen": Freezing(epochs="all"), "full": thawed}[self.kind]
        fields = {name: getattr(experiment, name) for name in type(experiment).model_fields}
        return type(experiment).model_validate(
            fields | {"from_scratch": self.kind == "scratch", "freezing": freezing, "label_fraction": self.fraction}
        )


def make_variants(kinds: Sequence[str], fractions: Sequence[float]) -> tuple[Variant, ...]:
    """All variants at the smallest share of the labels, then at the next one. Others are compared with the first variant.

    Raises `ConfigError` for names that are unknown or repeated, fewer than two, and shares that are none.
    """
    for kind in kinds:
        if kind not in VARIANTS:
            raise ConfigError(f"--compare {kind}: no such variant{nearest(kind, VARIANTS)}")
    if twice := [kind for kind, count in Counter(kinds).items() if count > 1]:
        raise ConfigError(f"--compare: {twice[0]} is named twice")
    if len(kinds) < 2:
        raise ConfigError(f"--compare {','.join(kinds)}: an variant is compared with others, e.g. {','.join(VARIANTS)}")
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise ConfigError(f"--labels {fraction:g}: a share of the labels is above 0 and at most 1")
    variants = tuple(Variant(kind, fraction) for fraction in sorted(fractions) for kind in kinds)
    if len({variant.name for variant in variants}) < len(variants):
        raise ConfigError(f"--labels {','.join(f'{one:g}' for one in fractions)}: a share is there twice")
    return variants


def check_comparable(experiment: FinetuneExperiment) -> None:
    """Raise `ConfigError` where an experiment cannot be trained in several ways and be tested."""
    if experiment.folds is not None:
        raise ConfigError(
            "folds: variants are compared on one split, --set folds=none --set data.test_subjects=NAME,..."
        )
    if experiment.encoder is None:
        raise ConfigError(
            "encoder: variants begin with a pretrained one, and this experiment names none; set `encoder`"
        )
    if not experiment.data.subjects("test"):
        raise ConfigError(
            "variants are compared on test subjects, and there are none: --set data.test_subjects=NAME,..."
        )
