"""Folds: training and test are repeated, each time on other people, so that everybody is new to some activity classifier."""

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
    """Names its run folder."""
    train: tuple[str, ...]
    """Subjects to train on."""
    val: tuple[str, ...]
    """Subjects to choose the checkpoint on."""
    test: tuple[str, ...]
    """Subjects that have no part in either."""


class Folds(Component, ABC):
    """How subjects are divided, once for each fold."""

    pretrain: PretrainExperiment | None = None
    """A pretraining that each fold begins with, on its own training and validation subjects; null where every fold
    begins with the same encoder, which must not have seen anybody who is tested, or with a new one."""

    @abstractmethod
    def split(self, data: Recordings) -> Iterable[Fold]:
        """The folds, in order. Raises `ConfigError` where the subjects of the data do not allow them."""

    def make_folds(self, data: Recordings) -> tuple[Fold, ...]:
        """The folds, each with a name of its own that can be a folder's. Raises `ConfigError` where there are none."""
        folds = tuple(self.split(data))
        names = [fold.name for fold in folds]
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
                raise ConfigError(f"folds: '{name}' cannot name the folder of a fold: letters, digits and ._- can")
            if names.count(name) > 1:
                raise ConfigError(f"folds: {names.count(name)} of them are named {name}")
        if not folds:
            raise ConfigError(f"folds: {type(self).__name__} makes none of these data")
        return folds


class LeaveOneSubjectOut(Folds):
    """As many folds as `data` names subjects, in whichever split: each of them is tested once, by itself."""

    validation: PositiveInt = 1
    """How many of the others checkpoints are chosen on: those named next after the one left out, the first ones again
    after the last."""

    def split(self, data: Recordings) -> Iterator[Fold]:
        """A fold for each subject, named after it."""
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
    """Those of some names, in their own order. Raises `ConfigError` where there is none of a name."""
    known = [fold.name for fold in folds]
    for name in names:
        if name not in known:
            raise ConfigError(f"--fold {name}: no such fold{nearest(name, known)}")
    return tuple(fold for fold in folds if fold.name in names)
