"""Checking labelled recordings in other layouts than RevalExo's, for `rxclip check-data`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.axes import Totals, merged, totals_of
from revalexo_clip.data.imu import UNITS, matching_columns
from revalexo_clip.data.recordings.npz import NpzRecordings
from revalexo_clip.data.recordings.tables import RECORDINGS, SEGMENTS, TabledRecordings, Timing
from revalexo_clip.data.recordings.units import Unit, converted, declared
from revalexo_clip.data.revalexo.check.findings import Findings
from revalexo_clip.data.revalexo.check.problem import Problem
from revalexo_clip.data.revalexo.check.recording import check_recording
from revalexo_clip.data.revalexo.check.signals import check_signals
from revalexo_clip.data.sensor_motion import unlike_sensors
from revalexo_clip.data.sensor_names import near_misses, suggested


def is_recordings(root: Path) -> bool:
    """Return whether a path is that of labelled recordings: an .npz file, or a folder with `recordings.csv`."""
    return root.suffix == ".npz" or (root / RECORDINGS).exists()


def check_recordings(
    root: Path,
    *,
    channels: Sequence[str] | Mapping[str, str] = (),
    rate: float = 60.0,
    time: str | None = None,
    time_unit: TimeUnit = "s",
    units: Mapping[str, Unit] | None = None,
    on_progress: OnProgress | None = None,
) -> Findings:
    """Read every recording once, and return all problems.

    `channels` are patterns of columns (default: all named `acc_...` and `gyro_...`), or the column of each channel.
    `rate` is that of the CSV files, or of windows if there is a clock [Hz]; see `ImuRecordings` for the other settings.
    """
    checker = _Checker(channels, units or {}, rate, time, time_unit)
    try:
        if root.suffix == ".npz":
            return checker.npz(NpzRecordings(root), on_progress or no_progress)
        timing = Timing(None if time else rate, time, time_unit)
        return checker.tables(TabledRecordings(root, timing), on_progress or no_progress)
    except DataError as error:
        file, _, message = str(error).partition(": ")
        return Findings((Problem("recording_table", Path(file), message),), 0, 0.0, (), ())


class _Checker:
    """Collects the problems of recordings."""

    def __init__(
        self,
        channels: Sequence[str] | Mapping[str, str],
        units: Mapping[str, Unit],
        rate: float,
        time: str | None,
        time_unit: TimeUnit,
    ) -> None:
        self.names: Mapping[str, str] = {}
        """Channels of the columns that are named otherwise."""
        if isinstance(channels, Mapping):
            self.names = {column: name for name, column in channels.items()}
            channels = tuple(channels.values())
        self.patterns = channels
        self.units = units
        self.rate, self.time, self.time_unit = rate, time, time_unit
        self.problems: list[Problem] = []
        self.totals: dict[str, list[Totals]] = {}
        self.file_of: dict[str, Path] = {}
        self.seconds = 0.0

    def tables(self, recorded: TabledRecordings, report: OnProgress) -> Findings:
        """Check CSV files."""
        for number, (subject, name) in enumerate(zip(recorded.subjects, recorded.names, strict=True)):
            report(number, len(recorded.files))
            path, clip = recorded.path(number), f"{subject}/{name}"
            try:
                columns = recorded.columns(number)
            except DataError as error:
                self._add("missing_file", path, str(error).removeprefix(f"{path}: "), clip)
                continue
            patterns = self._patterns(path, columns, clip)
            if not patterns:
                continue
            clock = None if self.time is None else recorded.timing.clock(self.rate)
            found = check_recording(
                path, patterns, self.rate, math.inf, clock=clock, names=self.names, factors=self._factors
            )
            # Without video, a clock may start anywhere, and nothing is cut.
            findings = [finding for finding in found.findings if finding[0] != "late_imu"]
            self._add_all(findings, path, clip, self._named(found.channels or ()))
            self._count(subject, path, found.totals, found.length or 0.0)
            if found.channels is not None and found.length is not None:
                self._read(recorded, number, found.channels, clip)
        return self._findings(recorded.subjects, report)

    def npz(self, recorded: NpzRecordings, report: OnProgress) -> Findings:
        """Check an .npz file."""
        patterns = self._patterns(recorded.file, recorded.channels, None)
        columns = [name for pattern in patterns for name in matching_columns(recorded.channels, pattern)]
        chosen = self._named(columns)
        for number, (subject, name) in enumerate(zip(recorded.subjects, recorded.names, strict=True)):
            report(number, len(recorded.files))
            if not chosen:
                continue
            clip = f"{subject}/{name}"
            try:
                rows_nC = recorded.read(number, columns, recorded.rate).rows_nC * self._factors(chosen)
            except DataError as error:
                self._add("not_finite", recorded.file, str(error).removeprefix(f"{recorded.file}: "), clip)
                continue
            if len(rows_nC):
                self._add_all(check_signals(rows_nC, chosen, recorded.rate), recorded.file, clip, chosen)
            by_channel = dict(zip(chosen, rows_nC.T.astype(np.float64), strict=True))
            time_n = np.arange(len(rows_nC)) / recorded.rate
            self._count(subject, recorded.file, totals_of(by_channel, time_n, ()), len(rows_nC) / recorded.rate)
        return self._findings(recorded.subjects, report)

    def _patterns(self, path: Path, columns: tuple[str, ...], clip: str | None) -> Sequence[str]:
        """Return what chooses the columns; notes columns that training would refuse or leave out."""
        if self.patterns:
            return self.patterns
        missed = near_misses(columns)
        if missed:
            message = f"{', '.join(missed)} look like sensors, but are not named so: data.channels={suggested(columns)}"
            self._add("near_miss", path, message, clip)
        found = [f"{kind}_*" for kind in UNITS if matching_columns(columns, f"{kind}_*")]
        return found or ([] if missed else [f"{kind}_*" for kind in UNITS])

    def _named(self, columns: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.names.get(column, column) for column in columns)

    def _factors(self, channels: Sequence[str]) -> np.ndarray:
        used = {name: unit for name, unit in self.units.items() if any(declared(one, {name: unit}) for one in channels)}
        return converted(channels, used)[1]

    def _read(self, recorded: TabledRecordings, number: int, channels: Sequence[str], clip: str) -> None:
        """Read a recording as training does, which also compares its segments with its length."""
        path, known = recorded.path(number), {(problem.file, problem.clip) for problem in self.problems}
        try:
            recorded.read(number, channels, self.rate)
        except DataError as error:
            file = recorded.root / SEGMENTS
            at = file if str(error).startswith(f"{file}: ") else path
            if at == file or not any(problem == (path, clip) for problem in known):
                self._add("recording_table", at, str(error).removeprefix(f"{at}: "), clip)
        except ValueError as error:
            self._add("recording_table", path, str(error), clip)

    def _add_all(self, findings: Sequence[tuple[str, str]], path: Path, clip: str, channels: Sequence[str]) -> None:
        for kind, message in findings:
            sensor = message.partition(":")[0]
            own = [channel for channel in channels if channel.startswith(f"{sensor}_")]
            if kind in ("acc_units", "gyro_units") and not any(declared(channel, self.units) for channel in own):
                self._add("undeclared_units", path, f"{message} (declare the unit in data.units)", clip)
            else:
                self._add(kind, path, message, clip)

    def _add(self, kind: str, path: Path, message: str, clip: str | None) -> None:
        self.problems.append(Problem(kind, path, message, clip))

    def _count(self, subject: str, path: Path, totals: Totals, seconds: float) -> None:
        self.totals.setdefault(subject, []).append(totals)
        self.file_of.setdefault(subject, path)
        self.seconds += seconds

    def _axes(self) -> Iterator[Problem]:
        subjects = {subject: merged(totals) for subject, totals in self.totals.items()}
        for kind, subject, message in unlike_sensors(subjects):
            yield Problem(kind, self.file_of[subject], f"{subject}: {message}")

    def _findings(self, subjects: Sequence[str], report: OnProgress) -> Findings:
        report(len(subjects), len(subjects))
        problems = sorted([*self.problems, *self._axes()], key=lambda problem: problem.order)
        names = tuple(sorted(set(subjects)))
        return Findings(tuple(problems), len(subjects), self.seconds, names, (), counted="recording")
