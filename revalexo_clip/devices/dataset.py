"""The dataset that a recording is added to: what is in it, and what new recordings have to agree with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import AXES, parse, whole_triads
from revalexo_clip.data.imu import header_of, read_column, read_imu
from revalexo_clip.data.magnitudes import FEWEST, implausible
from revalexo_clip.data.revalexo.layout import (
    DATA_PAIRS,
    IMU_RATE,
    LABEL_MAPPING,
    SubjectFile,
    read_label_mapping,
    read_subject,
    relative_file,
    subject_files,
)

SOURCE = "source"
"""Key in a pair of a subject's file: where the clip comes from, see `ClipSource`."""
TIME = "time"
"""Clock column of the CSV files that are written [s from the first frame of the clip]."""
LATEST = 1e9
"""Later than any recording ends [s]."""
_WRONG_IN_NAMES = set('/\\:*?"<>|')
_LONGEST_NAME = 100
"""Of a subject, in UTF-8 [bytes]. File systems take 255, and temporary files have longer names."""


class ClipSource(BaseModel):
    """Where an imported clip comes from, as the subject's file says it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    device: str
    files: tuple[str, ...]
    """Names of the files, without folders."""
    digest: str
    """Of the content, see `digest_of`."""
    rate: float
    """Of the clip's rows [Hz]."""
    axes: Mapping[str, str] = {}
    """Directions of x, y and z by place on the body, where they are known."""
    gravity: bool = True
    """False if gravity has been removed from the accelerations."""
    span: tuple[float, float] = (0.0, LATEST)
    """Part of the recording that the clip is [s]; clips of earlier versions do not say it."""


@dataclass(frozen=True)
class Dataset:
    """An existing or new dataset, and the subject that a recording is of."""

    root: Path
    subject: str
    path: Path
    """The subject's file, which need not exist."""
    content: dict[str, JsonValue]
    """Content of that file, as it is to be extended."""
    activities: tuple[str, ...]
    """In the order of their numbers."""
    has_mapping: bool
    """Whether there is a file of activities."""
    imported: Mapping[str, ClipSource] = field(default_factory=dict)
    """The imported clips of all subjects, by their names (`Anna/0001`)."""
    channels: tuple[str, ...] = ()
    """Columns of one of its IMU files; empty if it has none."""
    rate: float = IMU_RATE
    """Of its IMU files [Hz]."""
    gravity: Mapping[str, bool] = field(default_factory=dict)
    """Whether accelerations seem to include gravity, by the size of those of one clip of each subject."""

    @property
    def pairs(self) -> dict[str, JsonValue]:
        """The subject's pairs."""
        found = self.content["pairs"]
        assert isinstance(found, dict)
        return found

    def folder(self, kind: str) -> str:
        """Return the subject's folder of videos (`video_folder`) or IMU files (`imu_folder`), relative to the root."""
        found = self.content.get(kind)
        return found if isinstance(found, str) else f"{'videos' if kind == 'video_folder' else 'imu'}/{self.subject}"

    def axes_of(self, segment: str) -> str | None:
        """Return the axes of a sensor in the first imported clip that has it."""
        return next((source.axes[segment] for source in self.imported.values() if segment in source.axes), None)

    def differing_in_gravity(self, gravity: bool) -> str | None:
        """Return the first clip whose accelerations are with gravity and these are not, or the other way.

        Imported clips say it; of other subjects, one clip is measured.
        """
        known = {**{name: source.gravity for name, source in self.imported.items()}, **self.gravity}
        return next((name for name, other in known.items() if other is not gravity), None)

    def next_number(self) -> int:
        """Return the number of the next clip: after all pairs, and all files in their folders."""
        names = set(self.pairs)
        for kind in ("video_folder", "imu_folder"):
            folder = self.root / self.folder(kind)
            names |= {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
        return max((int(name) for name in names if name.isdecimal()), default=0) + 1

    def recordings(self) -> set[str]:
        """Return the names of the subject's recordings."""
        return {str(pair.get("recording")) for pair in self.pairs.values() if isinstance(pair, dict)}


def open_dataset(root: Path, subject: str) -> Dataset:
    """Read what is in a dataset; it need not exist. Raises `DataError`, naming the file, and `ConfigError`."""
    _check_name(subject)
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file; --into must name the folder of a dataset")
    new: dict[str, JsonValue] = {"subject": subject, "pairs": {}}
    path = root / DATA_PAIRS / f"{subject}.json"
    if not (root / DATA_PAIRS).is_dir() or not any((root / DATA_PAIRS).glob("*.json")):
        others = [] if not root.exists() else [one for one in root.iterdir() if not one.name.startswith(".")]
        if others and not (root / LABEL_MAPPING).exists():
            raise ConfigError(f"{root} is not empty and not a dataset (no {DATA_PAIRS}); choose a new folder")
        return Dataset(root, subject, path, new, *_activities(root))
    files = subject_files(root)
    own = files.get(subject, ())
    if own:
        path = path if path in own else own[-1]
        new = json.loads(path.read_bytes())
        for kind in ("video_folder", "imu_folder"):
            if isinstance(folder := new.get(kind), str) and relative_file(folder, "x") is None:
                raise DataError(f"{path}: {kind} is {folder!r}, outside the dataset; nothing is written there")
    elif path.exists():
        raise DataError(f"{path}: describes another subject than {subject}; rename the file")
    described = {one: read_subject(one) for paths in files.values() for one in paths}
    channels, rate = _signals(root, list(described.values()))
    imported = dict(_imported(files))
    rate = next((source.rate for source in imported.values()), rate)
    gravity = {
        f"{name}/{clip}": found
        for name, paths in files.items()
        for one in paths
        for clip, found in _gravity(root, described[one], imported)
    }
    return Dataset(root, subject, path, new, *_activities(root), imported, channels, rate, gravity)


def _check_name(subject: str) -> None:
    wrong = _WRONG_IN_NAMES & set(subject) or not subject.isprintable()
    if not subject or subject != subject.strip() or subject.startswith(".") or wrong:
        raise ConfigError(
            f"--subject {subject!r} cannot be the name of a folder; use letters and digits, such as Anna1"
        )
    if (size := len(subject.encode("utf-8", "surrogateescape"))) > _LONGEST_NAME:
        raise ConfigError(
            f"--subject {subject[:20]}... has {size} bytes, too many for the name of a folder: at most {_LONGEST_NAME}"
        )


def _activities(root: Path) -> tuple[tuple[str, ...], bool]:
    if not (root / LABEL_MAPPING).exists():
        return (), False
    return read_label_mapping(root).activities, True


def _imported(files: Mapping[str, tuple[Path, ...]]) -> Iterator[tuple[str, ClipSource]]:
    for subject, paths in files.items():
        for path in paths:
            pairs = json.loads(path.read_bytes()).get("pairs", {})
            for name, pair in pairs.items():
                try:
                    yield f"{subject}/{name}", ClipSource.model_validate(pair.get(SOURCE))
                except ValidationError:
                    continue  # the clip was not imported, or by another program


def _signals(root: Path, subjects: Sequence[SubjectFile]) -> tuple[tuple[str, ...], float]:
    """Return columns and rate [Hz] of the first IMU file that can be read."""
    for subject in subjects:
        for pair in subject.pairs.values():
            path = root / subject.imu_folder / pair.imu
            try:
                columns = header_of(path)
                return columns, _rate_of(path) if TIME in columns else IMU_RATE
            except (DataError, ValueError):
                continue  # `check-data` is for what is wrong with it
    return (), IMU_RATE


def _gravity(root: Path, subject: SubjectFile, imported: Mapping[str, ClipSource]) -> Iterator[tuple[str, bool]]:
    """Yield the first clip that was not imported and shows whether accelerations include gravity, and whether so."""
    for clip, pair in subject.pairs.items():
        path = root / subject.imu_folder / pair.imu
        if f"{subject.subject}/{clip}" in imported:
            continue
        try:
            channels = [f"acc_{place}_{axis}" for place in whole_triads(header_of(path), "acc") for axis in AXES]
            samples_nC = read_imu(path, channels) if channels else np.empty((0, 0), dtype=np.float32)
        except DataError:
            continue  # `check-data` is for what is wrong with it
        if len(samples_nC) < FEWEST:
            continue
        wrong = {one.kind for one in implausible(dict(zip(channels, samples_nC.T.astype(np.float64), strict=True)))}
        if "acc_units" not in wrong:
            yield clip, "no_gravity" not in wrong
            return


def _rate_of(path: Path) -> float:
    time_N = np.array([float(cell) for cell in read_column(path, TIME)[0]])
    if len(time_N) < 2 or not time_N[-1] > time_N[0]:
        raise ValueError(f"{path} has no rate")
    rate = (len(time_N) - 1) / float(time_N[-1] - time_N[0])
    return round(rate) if abs(round(rate) - rate) < 1e-3 * rate else round(rate, 3)


def missing_channels(dataset: Dataset, channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sensors' channels that the dataset's recordings have, and these do not."""
    return tuple(name for name in dataset.channels if parse(name) is not None and name not in channels)
