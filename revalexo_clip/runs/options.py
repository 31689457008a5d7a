"""Settings of a run that are not part of its experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunOptions:
    """How an experiment is run. The verbs and the commands pass these settings on together."""

    resume: Path | None = None
    """Run folder to resume, `resume.NEWEST` for the newest run of the experiment; None for a new run."""
    overrides: Sequence[str] = ()
    """`path=value` texts that were applied to the experiment. A resumed run may differ in these fields only."""
    allow_seen_subjects: bool = False
    """Allow test subjects that were used in training."""


def optional_path(path: Path | str | None) -> Path | None:
    """Return a path that a caller may have given as text."""
    return None if path is None else Path(path)
