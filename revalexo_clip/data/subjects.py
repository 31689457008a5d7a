"""Splits by subject. A subject is given by its name in the data, or by the number at the end of that name."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Self

from pydantic import model_validator

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Split
from revalexo_clip.data.base import Recordings


class SplitBySubject(Recordings, ABC):
    """Recordings on disk, split by subject; no subject is in two splits."""

    root: Path
    """Dataset root; a relative path starts at the working directory."""
    train_subjects: tuple[str, ...]
    """Training subjects."""
    val_subjects: tuple[str, ...]
    """Validation subjects, used to select checkpoints."""
    test_subjects: tuple[str, ...] = ()
    """Test subjects, used for evaluation only."""

    @model_validator(mode="after")
    def _splits_are_disjoint(self) -> Self:
        named = [
            (subject, split)
            for split in ("train_subjects", "val_subjects", "test_subjects")
            for subject in getattr(self, split)
        ]
        for (one, first), (other, second) in combinations(named, 2):
            if alike(one, other):
                where = f"in both {first} and {second}" if first != second else f"twice in {first}"
                raise ValueError(f"subject {one} is {where}" + (f" (as {other})" if one != other else ""))
        return self

    def subjects(self, split: Split) -> tuple[str, ...]:
        """Return the subjects of a split, as named in the configuration."""
        return {"train": self.train_subjects, "val": self.val_subjects, "test": self.test_subjects}[split]

    def split(self, train: tuple[str, ...], val: tuple[str, ...], test: tuple[str, ...]) -> Self:
        """See `Recordings.split`."""
        named = {"train_subjects": train, "val_subjects": val, "test_subjects": test}
        return type(self).model_validate({name: getattr(self, name) for name in type(self).model_fields} | named)

    def _some_subjects(self, split: Split) -> tuple[str, ...]:
        """Return the subjects of a split. Raises `DataError` if it has none."""
        subjects = self.subjects(split)
        if not subjects:
            raise DataError(f"the {split} split has no subjects: set `data.{split}_subjects`")
        return subjects


def select_subjects(wanted: Sequence[str], known: Sequence[str], root: Path) -> list[str]:
    """Return the full name of each wanted subject; '08' selects Subject08.

    Raises `DataError` if a name matches no subject, or more than one.
    """
    selected = []
    for subject in wanted:
        matching = [name for name in known if name == subject] or [name for name in known if alike(name, subject)]
        if len(matching) != 1:
            problem = f"could be {' or '.join(matching)}" if matching else "is not in the dataset"
            raise DataError(f"{root}: subject '{subject}' {problem}; available subjects: {', '.join(known)}")
        selected.append(matching[0])
    return selected


def alike(one: str, other: str) -> bool:
    """Return whether two names may mean the same subject: they are equal, or one is the number that ends the other."""
    return one == other or (one.isdigit() and one == _number(other)) or (other.isdigit() and other == _number(one))


def _number(name: str) -> str:
    return name[len(name.rstrip("0123456789")) :]
