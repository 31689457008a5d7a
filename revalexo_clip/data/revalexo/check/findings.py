"""The result of checking a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field

from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.check.shared import CheckedRecordings


@dataclass(frozen=True)
class Findings:
    """All problems of a dataset, and its size."""

    problems: tuple[Problem, ...]
    """Sorted by kind, then by file."""
    clips: int
    seconds: float
    """Total duration of all clips with a valid description [s]."""
    subjects: tuple[str, ...]
    subjects_without_video: tuple[str, ...]
    """Subjects that have only IMU recordings."""
    recordings: CheckedRecordings = field(default_factory=CheckedRecordings)
    counted: str = "clip"
    """What `clips` are called."""
