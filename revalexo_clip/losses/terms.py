"""A sum of weighted losses, each with its own name and temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import BaseModel, Field, NonNegativeFloat, field_validator
from torch import Tensor, nn

from revalexo_clip.core.component import Config
from revalexo_clip.losses.base import Loss, LossModule, Vector
from revalexo_clip.losses.overlap import Overlap

TermName = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]*$")]
"""Name of a term in `--set` and in the names of metrics."""


class Term(Config):
    """A loss and its weight in a `Sum`: `Term(InfoNCE(), weight=0.5)`."""

    loss: Loss
    """The loss of the term."""
    weight: NonNegativeFloat = 1.0
    """Factor of the loss; at 0, the term is logged and not trained."""

    def __init__(self, loss: Loss | None = None, weight: float = 1.0, **unknown: object) -> None:
        """Take the loss as the first argument too. Validation reports missing and unknown fields."""
        given = {} if loss is None else {"loss": loss}
        BaseModel.__init__(self, weight=weight, **given, **unknown)


class Sum(Loss):
    """Add weighted losses: `Sum(terms={"aligned": Term(InfoNCE(on="tokens")), "pooled": Term(InfoNCE())})`."""

    terms: Annotated[dict[TermName, Term], Field(min_length=1)]
    """Terms by name. Each has its own temperature and is logged by its name. `--set loss.terms.NAME.weight=0.5` changes
    a weight, `--set loss.terms.NAME=none` removes a term."""

    @field_validator("terms", mode="before")
    @classmethod
    def _remove(cls, value: object) -> object:
        return {name: term for name, term in value.items() if term is not None} if isinstance(value, Mapping) else value

    @field_validator("terms")
    @classmethod
    def _can_be_named(cls, terms: dict[str, Term]) -> dict[str, Term]:
        reserved = [name for name in terms if hasattr(nn.ModuleDict(), name)]
        if reserved:
            raise ValueError(f"'{reserved[0]}' cannot be the name of a term, because torch uses it; choose another")
        return terms

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return SumLoss({name: (term.weight, term.loss.build()) for name, term in self.terms.items()})


class SumLoss(LossModule):
    """See `Sum`. A training step computes the terms one by one, see `weighted_shares`."""

    def __init__(self, terms: Mapping[str, tuple[float, LossModule]]) -> None:
        super().__init__()
        self.weights = {name: weight for name, (weight, _) in terms.items()}
        self.losses = nn.ModuleDict({name: loss for name, (_, loss) in terms.items()})

    def terms(self) -> Mapping[str, tuple[float, LossModule]]:
        """See `LossModule.terms`. The terms of a sum within the sum are named `outer/inner`."""
        found: dict[str, tuple[float, LossModule]] = {}
        for name, loss in self.losses.items():
            assert isinstance(loss, LossModule)
            for inner, (weight, term) in loss.terms().items():
                found[f"{name}/{inner}".rstrip("/")] = (self.weights[name] * weight, term)
        return found

    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """Compute the sum of terms that all read the same vectors. Raises `ValueError` if they do not."""
        terms = self.terms().values()
        if len({term.reads for _, term in terms}) > 1:
            raise ValueError("the terms of this sum compare different vectors; call them one by one, see `terms`")
        return torch.stack([weight * term(imu_ND, video_ND, overlap) for weight, term in terms]).sum()

    @property
    def temperature(self) -> Tensor:
        """The mean of the temperatures of the terms."""
        return torch.stack([term.temperature for _, term in self.terms().values()]).mean()

    def chance(self, overlap: Overlap) -> Tensor | None:
        """See `LossModule.chance`."""
        return weighted_sum(self, {name: term.chance(overlap) for name, (_, term) in self.terms().items()})


def kinds_read(loss: LossModule) -> tuple[Vector, ...]:
    """Return the kinds of vectors that the terms of a loss read, each once."""
    return tuple(dict.fromkeys(kind for _, term in loss.terms().values() for kind in term.reads))


def has_validation_loss(loss: LossModule) -> bool:
    """Return whether any term of a loss is computed on validation windows and has a weight above 0."""
    return any(weight and term.validated for weight, term in loss.terms().values())


def shares(
    loss: LossModule, vectors: Mapping[Vector, Tensor], overlap: Overlap | None, rows: slice
) -> dict[str, Tensor]:
    """Compute the share of each term, not weighted, [] each. `vectors` are [N, D] of each kind that the terms read."""
    found = {}
    for name, (_, term) in loss.terms().items():
        one, other = (vectors[kind] for kind in term.reads)
        found[name] = term.share(one, other, overlap, rows)
    return found


def chances(loss: LossModule, vectors: Mapping[Vector, Tensor], overlap: Overlap) -> dict[str, Tensor | None]:
    """Return the loss of chance of each term, see `LossModule.chance_of`; `vectors` are those of `shares`."""
    found = {}
    for name, (_, term) in loss.terms().items():
        one, other = (vectors[kind] for kind in term.reads)
        found[name] = term.chance_of(one, other, overlap)
    return found


def weighted_sum(loss: LossModule, values: Mapping[str, Tensor | None]) -> Tensor | None:
    """Add the values of the terms that are there, by their weights; None if a value of weight above 0 is None."""
    weighted = []
    for name, value in values.items():
        weight, _ = loss.terms()[name]
        if value is not None:
            weighted.append(weight * value)
        elif weight:
            return None
    return torch.stack(weighted).sum() if weighted else None
