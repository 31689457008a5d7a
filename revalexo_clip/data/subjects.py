"""Whose recordings are in which split. A subject is named as the data name it, or by the number at the name's end."""

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
    """Recordings on disk, each of one subject, and no subject in two splits."""

    root: Path
    """Where they lie; a relative path starts at the working directory."""
    train_subjects: tuple[str, ...]
    """Subjects that are trained on."""
    val_subjects: tuple[str, ...]
    """Subjects that checkpoints are chosen on."""
    test_subjects: tuple[str, ...] = ()
    """Subjects that are only ever evaluated."""

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
        """The subjects of a split, as they were named."""
        return {"train": self.train_subjects, "val": self.val_subjects, "test": self.test_subjects}[split]

    def split(self, train: tuple[str, ...], val: tuple[str, ...], test: tuple[str, ...]) -> Self:
        """See `Recordings.split`."""
        named = {"train_subjects": train, "val_subjects": val, "test_subjects": test}
        return type(self).model_validate({name: getattr(self, name) for name in type(self).model_fields} | named)

    def _some_subjects(self, split: Split) -> tuple[str, ...]:
        """The subjects of a split. Raises `DataError` where it has none."""
        subjects = self.subjects(split)
        if not subjects:
            raise DataError(f"no subject is named for this split: set `data.{split}_subjects`")
        return subjects


def select_subjects(wanted: Sequence[str], known: Sequence[str], root: Path) -> list[str]:
    """Each wanted subject's name as its file has it. '08' selects Subject08."""
    selected = []
    for subject in wanted:
        matching = [name for name in known if name == subject] or [name for name in known if alike(name, subject)]
        if len(matching) != 1:
            problem = f"could be {' or '.join(matching)}" if matching else "is not in the dataset"
            raise DataError(f"{root}: subject '{subject}' {problem}; subjects there: {', '.join(known)}")
        selected.append(matching[0])
    return selected


def alike(one: str, other: str) -> bool:
    """Whether two names may mean one subject: they are equal, or one is the number that the other ends with."""
    return one == other or (one.isdigit() and one == _number(other)) or (other.isdigit() and other == _number(one))


def _number(name: str) -> str:
    return name[len(name.rstrip("0123456789")) :]
