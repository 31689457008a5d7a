"""The plan of an import: what a recording has, what becomes of it in the dataset, and what is cut."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.text import spelled_twice
from revalexo_clip.data.resampling import LEAST_SHARE
from revalexo_clip.devices import axes as turned
from revalexo_clip.devices.base import DeviceRecording, ImuStream, LabelTrack
from revalexo_clip.devices.dataset import Dataset, missing_channels, open_dataset
from revalexo_clip.devices.faults import fault_notes
from revalexo_clip.devices.spans import SHORTEST, between, common_spans, sensors_of

LOWEST_RATE = 10.0
"""Of IMU files that are written [Hz]."""
_SMALL = 1e-6
"""Times that differ by less are equal [s]."""


class ImportOptions(NamedTuple):
    """How a recording is imported."""

    rate: float | None = None
    """Of the IMU files [Hz]; None is that of the dataset, or 60 Hz if it is new."""
    clip: float | None = None
    """Length of clips [s]; None leaves the recording whole."""
    axes: str | None = None
    """Directions of x, y and z of all sensors, such as `right,forward,up`; None are those of the sensors that the
    dataset has already, or those of the device."""
    labels: LabelTrack | None = None
    """Activities, instead of those of the recording."""
    begin: float = 0.0
    """Only what is after this time is imported [s]."""
    end: float = math.inf
    """Only what is before this time is imported [s]."""


DEFAULTS = ImportOptions()


class ClipPlan(NamedTuple):
    """A clip that is to be written."""

    name: str
    start: float
    """In the recording [s]."""
    end: float
    frames: tuple[int, int] | None
    """First frame, and the first one after the clip; None without video."""
    rows: int
    """Number of IMU rows; row i is taken i / rate [s] after the start, and the last ends before the clip does."""


@dataclass(frozen=True)
class ImportPlan:
    """What `write_import` writes."""

    recording: DeviceRecording
    """With the axes and labels that are written."""
    dataset: Dataset
    rate: float
    """Of the IMU files [Hz]."""
    name: str
    """Of the recording in the dataset."""
    digest: str
    clips: tuple[ClipPlan, ...]
    spans: tuple[tuple[float, float], ...]
    """What all streams have in common, between gaps [s]."""
    notes: tuple[str, ...] = field(default=())
    """Sentences on what is cut, and on what to look at."""


def plan_import(recording: DeviceRecording, root: Path, subject: str, options: ImportOptions = DEFAULTS) -> ImportPlan:
    """Plan how a recording is added to a dataset, which need not exist. Writes nothing.

    Raises `DataError` if the recording is in the dataset already, if its streams have no time in common, or if the
    dataset is damaged; and `ConfigError` if the options are not possible.
    """
    dataset = open_dataset(root, subject)
    for stream in recording.imu:
        if not np.isfinite(stream.values_NC).all():
            raise DataError(f"{recording.source}: {stream.channels[0]} has samples that are not finite numbers")
    digest = digest_of(recording)
    known = [
        name
        for name, source in dataset.imported.items()
        if source.digest == digest and source.span[0] < options.end - _SMALL and options.begin < source.span[1] - _SMALL
    ]
    if known:
        raise DataError(
            f"{recording.source}: this recording is in {root} already, as {_listed(known)}; nothing is written"
        )
    _check_gravity(recording, dataset)
    notes = [*fault_notes(recording)]
    rate = _rate(dataset, options, notes)
    recording = _with_axes(recording, dataset, options.axes, notes)
    if options.labels is not None:
        recording = replace(recording, labels=options.labels)
    if wrong := spelled_twice((*dataset.activities, *(one.label for one in recording.labels.labels))):
        raise DataError(f"{recording.source}: {wrong}")
    for stream in sensors_of(recording):
        if stream.rate < LEAST_SHARE * rate:
            raise DataError(
                f"{recording.source}: {stream.channels[0]} has {stream.rate:.2f} Hz, too little for IMU files of "
                f"{rate:g} Hz: set --rate to {stream.rate / LEAST_SHARE:.0f} or less"
            )
    spans = common_spans(recording)
    notes += cuts(recording, spans)
    if (wanted := between(recording, spans, options.begin, options.end)) != spans:
        spans = wanted
        notes.append(f"only {spans[0][0]:.3f} to {spans[-1][1]:.3f} s are imported, see --from and --to")
    clips = _clips(recording, dataset, spans, rate, options.clip, notes)
    notes += _about_labels(recording, clips)
    channels = tuple(name for stream in recording.imu for name in stream.channels)
    if missing := missing_channels(dataset, channels):
        notes.append(f"other recordings of the dataset have channels that this one lacks: {_listed(missing)}")
    return ImportPlan(recording, dataset, rate, _name(recording, dataset), digest, clips, spans, tuple(notes))


def _rate(dataset: Dataset, options: ImportOptions, notes: list[str]) -> float:
    rate = dataset.rate if options.rate is None else options.rate
    if not LOWEST_RATE <= rate < math.inf:
        raise ConfigError(f"--rate {rate:g}: IMU files need at least {LOWEST_RATE:g} Hz to show how people move")
    if options.clip is not None and not SHORTEST <= options.clip < math.inf:
        raise ConfigError(f"--clip must be at least {SHORTEST:g} s")
    if dataset.channels and rate != dataset.rate:
        notes.append(f"IMU files of the dataset have {dataset.rate:g} Hz, those of this recording get {rate:g} Hz")
    return rate


def has_gravity(recording: DeviceRecording) -> bool:
    """Return whether all accelerations include gravity."""
    return all(stream.gravity for stream in recording.imu)


def _check_gravity(recording: DeviceRecording, dataset: Dataset) -> None:
    own = has_gravity(recording)
    if other := dataset.differing_in_gravity(own):
        states = ("with", "without") if own else ("without", "with")
        seems = "seems to be " if other in dataset.gravity else ""
        raise DataError(
            f"{recording.source}: its acceleration is {states[0]} gravity, and that of {other} in {dataset.root} "
            f"{seems}{states[1]} it; these cannot be mixed: import it into another dataset"
        )


def digest_of(recording: DeviceRecording) -> str:
    """Return a digest of a recording's samples and number of frames, whatever its files and places are called."""
    found = hashlib.sha256()
    for stream in recording.imu:
        found.update(np.round(stream.values_NC * 1e4).astype("<i8").tobytes())
    found.update(f"{len(recording.video.time_T) if recording.video else 0} frames".encode())
    return found.hexdigest()


def _with_axes(recording: DeviceRecording, dataset: Dataset, wanted: str | None, notes: list[str]) -> DeviceRecording:
    streams = []
    for stream in recording.imu:
        known = dataset.axes_of(stream.segment)
        new = wanted or (known if stream.axes else None)
        try:
            if wanted is not None and not stream.axes:
                raise DataError(
                    f"{recording.source}: --axes cannot turn {stream.channels[0]}: nothing says how its axes lie now"
                )
            streams.append(stream if new is None else turned_stream(stream, new))
        except turned.AxesError as error:
            raise ConfigError(f"--axes: {error}") from error
        if wanted is None and known and not stream.axes:
            notes.append(f"{stream.segment}: the dataset's axes are ({known}), those of this recording are not known")
        elif known and streams[-1].axes != known:
            notes.append(f"{stream.segment}: other recordings of the dataset have other axes ({known})")
        elif stream.axes and streams[-1].axes != turned.normalised(stream.axes):
            notes.append(f"{stream.segment}: axes are turned from ({stream.axes}) to ({streams[-1].axes})")
    return replace(recording, imu=tuple(streams))


def turned_stream(stream: ImuStream, axes: str) -> ImuStream:
    """Turn the triads of a stream, whose axes are known, into other axes. Raises `axes.AxesError`."""
    turn_33 = turned.turn(stream.axes, axes)
    values_NC = stream.values_NC.copy()
    for first in range(0, len(stream.channels), 3):
        names = stream.channels[first : first + 3]
        assert [name[-2:] for name in names] == ["_x", "_y", "_z"]
        values_NC[:, first : first + 3] = values_NC[:, first : first + 3] @ turn_33.T
    return replace(stream, values_NC=values_NC, axes=turned.normalised(axes))


def cuts(recording: DeviceRecording, spans: Sequence[tuple[float, float]]) -> list[str]:
    """Say what of each stream is outside the common time."""
    begin, end = spans[0][0], spans[-1][1]
    inside = sum(last - first for first, last in spans)
    streams = [("IMU " + one.segment, float(one.time_N[0]), float(one.time_N[-1])) for one in sensors_of(recording)]
    if recording.video:
        streams.insert(0, ("video", 0.0, recording.video.end))
    notes = []
    for name, first, last in dict.fromkeys(streams):
        cut = [
            f"{seconds:.3f} s {where}"
            for seconds, where in ((begin - first, "at its start"), (last - end, "at its end"))
            if seconds > 0.0005
        ]
        if cut:
            notes.append(f"{name}: {' and '.join(cut)} is not in the other streams, and is cut")
    if end - begin - inside > _SMALL:
        notes.append(f"{end - begin - inside:.3f} s in gaps without samples are cut")
    return notes


def _clips(  # noqa: PLR0917 (what a clip follows from)
    recording: DeviceRecording,
    dataset: Dataset,
    spans: Sequence[tuple[float, float]],
    rate: float,
    length: float | None,
    notes: list[str],
) -> tuple[ClipPlan, ...]:
    found: list[ClipPlan] = []
    number, dropped = dataset.next_number(), 0.0
    for begin, end in spans:
        count = 1 if length is None else max(math.ceil((end - begin) / length - _SMALL), 1)
        edges = [begin + place * (length or 0.0) for place in range(count)] + [end]
        starts = [start_after(recording, edge, rate, begin) for edge in edges[:-1]] + [end]
        for start, stop in pairwise(starts):
            if stop - start < SHORTEST - _SMALL:
                dropped += stop - start
                continue
            frames = None
            if recording.video is not None:
                places = np.searchsorted(recording.video.time_T, np.array([start, stop]) - _SMALL)
                frames = int(places[0]), int(places[1])
            rows = math.floor(round((stop - start) * rate, 6))
            found.append(ClipPlan(f"{number + len(found):04d}", start, stop, frames, rows))
    if not found:
        raise DataError(f"{recording.source}: no clip of {SHORTEST:g} s or more can be cut out of it")
    if dropped > _SMALL:
        notes.append(f"{dropped:.3f} s are left over after the last clip, less than {SHORTEST:g} s, and are cut")
    return tuple(found)


def start_after(recording: DeviceRecording, edge: float, rate: float, begin: float) -> float:
    """Return the first frame at or after a time; without video, the first row [s]."""
    if recording.video is None:
        return begin + math.ceil(round((edge - begin) * rate, 6)) / rate
    time_T = recording.video.time_T
    place = int(np.searchsorted(time_T, edge - _SMALL))
    return float(time_T[place]) if place < len(time_T) else recording.video.end


def _about_labels(recording: DeviceRecording, clips: Sequence[ClipPlan]) -> list[str]:
    labels = recording.labels.labels
    if not labels:
        return []
    notes, outside = (
        [],
        [one for one in labels if not any(one.end > clip.start and one.start < clip.end for clip in clips)],
    )
    if outside:
        notes.append(f"{len(outside)} of {len(labels)} labels lie outside the clips, and are left out")
    last = max(one.end for one in labels)
    if (cut := clips[-1].end - last) > 0.5:
        notes.append(f"labels end {cut:.1f} s before the recording; a clip with labels ends with its last label")
    return notes


def _name(recording: DeviceRecording, dataset: Dataset) -> str:
    """Return a name for the recording that the subject does not have yet."""
    beside = recording.video is None or (recording.source.is_file() and recording.source not in recording.video.files)
    stem = recording.source.stem if beside or recording.video is None else recording.video.files[0].stem
    taken = dataset.recordings()
    names = [stem or "recording", *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _listed(names: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
