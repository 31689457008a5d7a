"""What `rxclip check-data` does: check a whole dataset, and report the result as text or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.ego4d.check import check_takes, is_takes
from revalexo_clip.data.recordings.check import check_recordings, is_recordings
from revalexo_clip.data.recordings.units import Unit
from revalexo_clip.data.revalexo.check.dataset import check_dataset
from revalexo_clip.data.revalexo.check.findings import Findings
from revalexo_clip.data.revalexo.check.packed import check_pack, is_pack
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.revalexo.layout import CHANNELS, IMU_RATE

MIN_DURATION = 10.0
"""Shortest clip of the published experiments [s]."""


@dataclass(frozen=True)
class DataCheck:
    """Result of checking a dataset."""

    root: Path
    findings: Findings

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, sorted by kind, then by file."""
        return self.findings.problems

    def count(self, severity: str) -> int:
        """Return the number of problems of a severity."""
        return sum(problem.severity == severity for problem in self.problems)

    def summary(self) -> str:
        """Return the size of the dataset and the number of problems, and what clips share, if they do: a line each."""
        shared = self.findings.recordings.summary()
        return self._counts() if shared is None else f"{self._counts()}\n{shared}"

    def _counts(self) -> str:
        found = self.findings
        size = f"{counted(found.clips, found.counted)}, {found.seconds / 3600:.2f} h, "
        size += counted(len(found.subjects), "subject")
        if found.subjects_without_video:
            size += f" ({len(found.subjects_without_video)} without video)"
        if not self.problems:
            return f"{self.root}: {size}: no problems found"
        files = len({problem.file for problem in self.problems})
        wrong = f"{counted(self.count('error'), 'error')} and {counted(self.count('warning'), 'warning')}"
        return f"{self.root}: {size}: {wrong} in {counted(files, 'file')}"

    def to_json(self) -> JsonObject:
        """Return the output of `--json`. Existing names must not change; new ones may be added."""
        found = self.findings
        return {
            "root": str(self.root),
            "clips": found.clips,
            "hours": found.seconds / 3600,
            "subjects": list(found.subjects),
            "subjects_without_video": list(found.subjects_without_video),
            "recordings": found.recordings.to_json(),
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
    channels: Sequence[str] | Mapping[str, str] | None = None,
    imu_rate: float = IMU_RATE,
    min_duration: float = MIN_DURATION,
    time: str | None = None,
    time_unit: TimeUnit = "s",
    time_zero: Literal["clip", "first_row"] = "clip",
    units: Mapping[str, Unit] | None = None,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> DataCheck:
    """Read every file of a dataset, or everything in a pack, once, and return all problems.

    The dataset is in RevalExo's layout, in that of `Ego4D` or `AlignedVideo` (no other argument applies to these), or
    labelled recordings as `ImuRecordings` reads them, which may have other `units`. `channels` are glob patterns
    (default: those of the kind of dataset), or the column of each channel, for labelled recordings only; `imu_rate` is
    in Hz. Clips that are annotated for at least `min_duration` [s] must have so much IMU and video in common. `time`,
    `time_unit` and `time_zero` are those of the experiment, see `RevalExo`. `processes` defaults to the number of
    cores. Raises `ConfigError` if the folder does not exist, or if an argument is wrong.
    """
    if is_pack(root) and root.exists():
        return DataCheck(root, check_pack(root, on_progress))
    if imu_rate <= 0:
        raise ConfigError(f"--imu-rate: must be positive, not {imu_rate:g} Hz")
    if time is None and (time_unit != "s" or time_zero != "clip"):
        raise ConfigError("--time-unit and --time-zero require --time, the name of the clock column")
    if is_recordings(root):
        findings = check_recordings(
            root,
            channels=channels or (),
            rate=imu_rate,
            time=time,
            time_unit=time_unit,
            units=units,
            on_progress=on_progress,
        )
        return DataCheck(root, findings)
    if isinstance(channels, Mapping):
        raise ConfigError(
            f"--channels NAME=COLUMN: {root} is not a folder with recordings.csv, whose columns have names"
        )
    if is_takes(root):
        return DataCheck(root, check_takes(root, on_progress))
    if units:
        raise ConfigError(f"--units: {root} is not a folder with recordings.csv, whose units could be declared")
    if not root.is_dir():
        raise ConfigError(f"{root}: there is no such dataset folder")
    clock = None if time is None else Clock(imu_rate, time, time_unit, from_first_row=time_zero == "first_row")
    findings = check_dataset(
        root,
        channels=channels or CHANNELS,
        imu_rate=imu_rate,
        min_common=min_duration,
        clock=clock,
        processes=processes,
        on_progress=on_progress,
    )
    return DataCheck(root, findings)
