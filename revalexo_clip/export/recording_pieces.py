"""Pieces of a recording as an encoder takes them, and which of its channels and units these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import Channel, ImuSpec, TimeUnit, parse
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.recordings.file_format import FileFormat
from revalexo_clip.data.recordings.units import MEANS, Unit

_SHOWN = 8


class SourceOptions(NamedTuple):
    """What a recording's file does not say itself."""

    place: str | None = None
    """Place in the recording whose sensor the encoder gets, if it is not named as in the encoder's channels."""
    axes: str | None = None
    """Directions to turn the axes of a device's sensors to, such as `right,forward,up`."""
    format_name: str | None = None
    """One of `devices.formats.FORMATS`; found by the content if it is None."""
    rate: float | None = None
    """Of a CSV file without a clock [Hz]."""
    time: str | None = None
    """Clock column of a CSV file; None is the only column that has the name of a clock."""
    time_unit: TimeUnit = "s"
    units: Mapping[str, Unit] | None = None
    """Units of a CSV or .npz file, by channel or prefix, if they are not m/s^2 and rad/s."""
    recording: int | None = None
    """Number of the recording in an .npz file with several, from 0."""
    channels: Mapping[str, str] | None = None
    """Columns of a CSV or .npz file for channels of the encoder, if they are named otherwise."""

    def like_training(
        self, columns: Sequence[str], spec: ImuSpec, files: FileFormat | None
    ) -> tuple[SourceOptions, tuple[str, ...]]:
        """Return options for a file whose columns are named as in the training files, and a sentence that says so.

        Options that are given take precedence. Nothing changes if `channels` or `place` is given, or the file has the
        channels under the encoder's own names.
        """
        own = all(name in columns for name in spec.channels)
        if files is None or own or self.channels or self.place or not files.fits(columns, spec.channels):
            return self, ()
        names = {name: files.channels[name] for name in spec.channels}
        options = self._replace(channels=names, units=self.units or files.units_of(spec.channels))
        said = [f"columns {listed(list(names.values()))}"]
        if options.units:
            said.append("units " + ", ".join(f"{key}={unit}" for key, unit in options.units.items()))
        if self.time is None and self.rate is None and files.time in columns:
            options = options._replace(time=files.time, time_unit=files.time_unit)
            said.append(f"clock {files.time} [{files.time_unit}]")
        elif self.time is None and self.rate is None and files.time is None and files.rate is not None:
            options = options._replace(rate=files.rate)
            said.append(f"rate {files.rate:g} Hz")
        return options, (f"read like the training files: {'; '.join(said)}",)


class RecordingPiece(NamedTuple):
    """A stretch without gaps."""

    start: float
    """Time of the first row on the recording's clock [s]."""
    rows_MC: Samples
    """Rows at the encoder's rate."""


class RecordingPieces(NamedTuple):
    """A recording as an encoder takes it."""

    pieces: tuple[RecordingPiece, ...]
    notes: tuple[str, ...] = ()
    """Sentences on what is cut."""


def names_in(
    source: Path, available: Sequence[str], spec: ImuSpec, place: str | None, columns: Mapping[str, str] | None = None
) -> list[str]:
    """Return the recorded channel for each of the encoder's.

    It may be named after another place, or none, or be that in `columns`. Raises `DataError`, naming what is missing,
    and `ConfigError` if `place` or `columns` is not possible.
    """
    if columns:
        return _mapped(source, available, spec, place, columns)
    own = [parse(name) for name in spec.channels]
    places = {channel.segment for channel in own if channel is not None}
    if place is not None and (len(places) != 1 or None in own):
        raise ConfigError(
            f"--place {place}: this encoder takes {listed(spec.channels)}; --place is for encoders of one sensor"
        )
    wanted = [
        name if place is None or channel is None else Channel(channel.kind, place, channel.axis).name
        for name, channel in zip(spec.channels, own, strict=True)
    ]
    if all(name in available for name in wanted):
        return wanted
    plain = [f"{channel.kind}_{channel.axis}" for channel in own if channel is not None]
    if place is None and len(places) == 1 and len(plain) == len(own) and all(name in available for name in plain):
        return plain  # of a sensor whose place is not said
    missing = [name for name in wanted if name not in available]
    message = f"{source}: lacks {listed(missing)}, which the encoder takes; it has {listed(available)}"
    found = {channel.segment for name in available if (channel := parse(name)) is not None}
    if place is None and len(places) == 1 and None not in own:
        asked = [(channel.kind, channel.axis) for channel in own if channel is not None]
        fits = [one for one in sorted(found) if all(Channel(kind, one, axis).name in available for kind, axis in asked)]
        if fits:
            message += f". To give it the sensor of another place, pass --place {' or '.join(fits)}"
    raise DataError(message)


def _mapped(
    source: Path, available: Sequence[str], spec: ImuSpec, place: str | None, columns: Mapping[str, str]
) -> list[str]:
    if place is not None:
        raise ConfigError("--channels and --place exclude each other")
    if unknown := [name for name in columns if name not in spec.channels]:
        raise ConfigError(f"--channels: the encoder has no channel {listed(unknown)}; it takes {listed(spec.channels)}")
    wanted = [columns.get(name, name) for name in spec.channels]
    if missing := [name for name in wanted if name not in available]:
        raise DataError(f"{source}: has no column {listed(missing)}; it has {listed(available)}")
    return wanted


def factors(source: Path, units: Sequence[str], spec: ImuSpec) -> Samples:
    """Return what values in `units` are multiplied by to be in the encoder's, [C]. Unknown units are not converted.

    Raises `DataError` if a channel measures something else.
    """
    found = []
    for name, unit, wanted in zip(spec.channels, units, spec.units, strict=True):
        given, own = MEANS.get(unit), MEANS.get(wanted)  # type: ignore[call-overload]  # any text may be a unit
        if given is not None and own is not None and given[0] != own[0]:
            raise DataError(f"{source}: {name} is in {unit}, and the encoder takes it in {wanted}")
        found.append(1.0 if given is None or own is None else given[1] / own[1])
    return np.array(found, dtype=np.float32)


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first ones of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
