"""`rxclip check-data`: everything that is wrong with a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import RevalExo
from revalexo_clip.data.revalexo.check import Findings, Problem, check_dataset
from revalexo_clip.reports.terminal.tables import counted

CHANNELS: tuple[str, ...] = RevalExo.model_fields["channels"].default
IMU_RATE: float = RevalExo.model_fields["imu_rate"].default


@dataclass(frozen=True)
class DataCheck:
    """A dataset that was read from beginning to end."""

    root: Path
    findings: Findings

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong, by kind and file."""
        return self.findings.problems

    def count(self, severity: str) -> int:
        """How many of the problems are of a severity."""
        return sum(problem.severity == severity for problem in self.problems)

    def summary(self) -> str:
        """One line: how much there is, and how much of it is wrong."""
        found = self.findings
        size = (
            f"{counted(found.clips, 'clip')}, {found.seconds / 3600:.2f} h, {counted(len(found.subjects), 'subject')}"
        )
        if found.subjects_without_video:
            size += f" ({len(found.subjects_without_video)} without video)"
        if not self.problems:
            return f"{self.root}: {size}: nothing wrong"
        files = len({problem.file for problem in self.problems})
        wrong = f"{counted(self.count('error'), 'error')} and {counted(self.count('warning'), 'warning')}"
        return f"{self.root}: {size}: {wrong} in {counted(files, 'file')}"

    def to_json(self) -> JsonObject:
        """What `--json` prints. Names stay; new ones may come."""
        found = self.findings
        return {
            "root": str(self.root),
            "clips": found.clips,
            "hours": found.seconds / 3600,
            "subjects": list(found.subjects),
            "subjects_without_video": list(found.subjects_without_video),
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "problems": [
                {
                    "severity": problem.severity,
                    "kind": problem.kind,
                    "file": str(problem.file),
                    "clip": problem.clip,
                    "message": problem.message,
                }
                for problem in self.problems
            ],
        }


def check_data(
    root: Path,
    *,
    channels: Sequence[str] = CHANNELS,
    imu_rate: float = IMU_RATE,
    processes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> DataCheck:
    """Read every file of a dataset once. What is wrong with it is in the result.

    `channels` are glob patterns, `imu_rate` is in Hz; `processes` defaults to the number of cores. Raises
    `ConfigError` where there is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: there is no such dataset folder")
    if imu_rate <= 0:
        raise ConfigError(f"--imu-rate: {imu_rate:g} Hz is no sampling rate")
    findings = check_dataset(root, channels=channels, imu_rate=imu_rate, processes=processes, on_progress=on_progress)
    return DataCheck(root, findings)
