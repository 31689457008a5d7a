"""Folds of a cross-validation: training and test are repeated, each time with other subjects."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import PositiveInt

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component, nearest
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import Recordings


@dataclass(frozen=True)
class Fold:
    """One training and its test."""

    name: str
    """Name of its run folder."""
    train: tuple[str, ...]
    """Training subjects."""
    val: tuple[str, ...]
    """Validation subjects, which select the checkpoint."""
    test: tuple[str, ...]
    """Test subjects."""


class Folds(Component, ABC):
    """How subjects are divided into training, validation and test subjects, once for each fold."""

    pretrain: PretrainExperiment | None = None
    """Pretraining that comes first in each fold, on its training and validation subjects. null: every fold starts from
    a new encoder, or from the same `encoder`, which must not have been trained on test subjects."""

    @abstractmethod
    def split(self, data: Recordings) -> Iterable[Fold]:
        """Return the folds, in order. Raises `ConfigError` if the subjects of the data do not allow them."""

    def make_folds(self, data: Recordings) -> tuple[Fold, ...]:
        """Return the folds. Raises `ConfigError` if there are none, or if their names are not unique folder names."""
        folds = tuple(self.split(data))
        names = [fold.name for fold in folds]
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
                raise ConfigError(f"folds: '{name}' cannot be the name of a folder; use letters, digits and . _ -")
            if names.count(name) > 1:
                raise ConfigError(f"folds: {names.count(name)} folds are named {name}")
        if not folds:
            raise ConfigError(f"folds: {type(self).__name__} makes no folds of these data")
        return folds


class LeaveOneSubjectOut(Folds):
    """One fold for each subject that `data` names, in any split. The subject is the only test subject of its fold."""

    validation: PositiveInt = 1
    """Number of validation subjects: those named after the test subject, continuing with the first ones after the
    last."""

    def split(self, data: Recordings) -> Iterator[Fold]:
        """Yield a fold for each subject, named after it."""
        subjects = (*data.subjects("train"), *data.subjects("val"), *data.subjects("test"))
        if len(subjects) < self.validation + 2:
            raise ConfigError(
                f"folds: {len(subjects)} subjects are too few to leave one out, validate on {self.validation} and "
                "train on others; name them all in data.train_subjects"
            )
        for place, name in enumerate(subjects):
            others = subjects[place + 1 :] + subjects[:place]
            yield Fold(name, train=others[self.validation :], val=others[: self.validation], test=(name,))


def choose(folds: Sequence[Fold], names: Sequence[str]) -> tuple[Fold, ...]:
    """Return the folds with some names, in the order of `folds`. Raises `ConfigError` if there is no such fold."""
    known = [fold.name for fold in folds]
    for name in names:
        if name not in known:
            raise ConfigError(f"--fold {name}: no such fold{nearest(name, known)}")
    return tuple(fold for fold in folds if fold.name in names)
