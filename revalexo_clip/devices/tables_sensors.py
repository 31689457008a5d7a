"""The sensors in tables: which columns are which channels, on which clock, in which unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import AXES, parse
from revalexo_clip.devices.base import Floats
from revalexo_clip.devices.tables_base import Table
from revalexo_clip.devices.tables_clock import Bools, Clock, ascending_rows, gap_notes, read_clock
from revalexo_clip.devices.tables_columns import ACC_UNITS, kind_of_file, named
from revalexo_clip.devices.tables_options import TableOptions


class Source(NamedTuple):
    """Where a channel comes from."""

    table: Table
    column: str
    sign: int
    unit: str | None
    """Unit in the name of the column; None if it has none."""
    gravity: bool
    """False if the column's name says that gravity was removed."""


Triad = tuple[str, str]
"""`acc` or `gyro`, and the place on the body."""


@dataclass(frozen=True)
class Sensor:
    """Three axes of an accelerometer or gyroscope, as recorded."""

    kind: str
    segment: str
    time_N: Floats
    """Ascending times on the clock of the table [s]."""
    values_N3: Floats
    """In the recorded unit."""
    unit: str | None
    """Unit in the names of the columns; None if they have none."""
    gravity: bool
    """False if the names say that gravity was removed."""
    table: Table
    clock: Clock
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    """Sentences on rows that were left out."""

    @property
    def name(self) -> str:
        """Name of the sensor: the beginning of its channels' names."""
        return f"{self.kind}_{self.segment}"


def has_sensors(table: Table) -> bool:
    """Return whether the names of a table's columns, or of the table, say that it has a sensor."""
    return bool(_found_by_name([table], None))


def sensors_of(tables: Sequence[Table], options: TableOptions) -> list[Sensor]:
    """Return the sensors of tables. Raises `DataError` if columns, places or clocks have to be named by the user."""
    chosen = _mapped(tables, options.columns) if options.columns else _by_name(tables, options.place)
    triads: dict[Triad, dict[str, Source]] = {}
    for channel, source in chosen.items():
        found = parse(channel)
        assert found is not None
        triads.setdefault((found.kind, found.segment), {})[found.axis] = source
    clocks: dict[str, Clock] = {}
    sensors = []
    for (kind, segment), axes in triads.items():
        _check_whole(kind, segment, axes)
        table = axes["x"].table
        if table.where not in clocks:
            clocks[table.where] = read_clock(table, options)
        sensors.append(_sensor(kind, segment, [axes[axis] for axis in AXES], clocks[table.where], options.rate))
    return sensors


def _check_whole(kind: str, segment: str, axes: Mapping[str, Source]) -> None:
    table = next(iter(axes.values())).table
    missing = [axis for axis in AXES if axis not in axes]
    if missing:
        have = ", ".join(f"{kind}_{segment}_{axis} = '{axes[axis].column}'" for axis in axes)
        raise DataError(
            f"{table.where}: there is no column for {kind}_{segment}_{missing[0]} ({have}); name it with "
            f"--map {kind}_{segment}_{missing[0]}=COLUMN; its columns are {table.listed()}"
        )
    others = {source.table.where for source in axes.values()}
    if len(others) > 1:
        raise DataError(f"{kind}_{segment}: its axes are in several tables, {' and '.join(sorted(others))}")


def _mapped(tables: Sequence[Table], columns: Mapping[str, str]) -> dict[str, Source]:
    """Return the source of each channel that the user has mapped."""
    return {channel: _source(tables, channel, column) for channel, column in columns.items()}


def _source(tables: Sequence[Table], channel: str, text: str) -> Source:
    for sign, wanted in ((1, text), (-1, text[1:] if text.startswith("-") else "")):
        file, colon, rest = wanted.partition(":")
        inside = [table for table in tables if colon and file in (table.name, table.path.name, table.sheet)]
        places = [(table, rest) for table in inside if rest in table.columns]
        places = places or [(table, wanted) for table in tables if wanted in table.columns]
        if len(places) > 1:
            files = ", ".join(f"{table.name}:{column}" for table, column in places)
            raise DataError(f"{channel}: several tables have a column '{wanted}'; write one of {files}")
        if places:
            table, column = places[0]
            name = named(column)
            gravity = (name.gravity if name else True) and kind_of_file(table.sheet or table.path.stem)[1]
            return Source(table, column, sign, name.unit if name else None, gravity)
    listed = "; ".join(f"{table.name} has {table.listed()}" for table in tables)
    raise DataError(f"{tables[0].where}: {channel} is mapped to a column '{text}' that does not exist; {listed}")


def _found_by_name(tables: Sequence[Table], segment: str | None) -> dict[tuple[str, str, str, bool], list[Source]]:
    """Return the columns that are named like axes of sensors, by kind, place, axis and whether gravity is included."""
    found: dict[tuple[str, str, str, bool], list[Source]] = {}
    for table in tables:
        file_kind, file_gravity = kind_of_file(table.sheet or table.path.stem)
        for column in table.columns:
            name = named(column)
            if name is None:
                continue
            kind = name.kind or (file_kind if not name.place else None)
            if kind is None and name.unit in ACC_UNITS.values() and not name.place:
                kind = "acc"
            if kind is None:
                continue
            gravity = name.gravity and (file_gravity or name.kind is not None)
            source = Source(table, column, 1, name.unit, gravity)
            found.setdefault((kind, name.place or segment or "", name.axis, gravity), []).append(source)
    return found


def _by_name(tables: Sequence[Table], segment: str | None) -> dict[str, Source]:
    """Return the source of each channel that columns are named after."""
    found = {key: sources for key, sources in _found_by_name(tables, segment).items() if key[0] in ("acc", "gyro")}
    if not found:
        listed = "; ".join(f"{table.name} has {table.listed()}" for table in tables)
        raise DataError(
            f"{tables[0].where}: no column is named like an accelerometer or gyroscope; say which are with "
            f"--map acc_Head_x=COLUMN and so on; {listed}"
        )
    chosen: dict[str, Source] = {}
    for (kind, place, axis, gravity), sources in found.items():
        if not gravity and (kind, place, axis, True) in found:
            continue  # the same accelerometer, with gravity, is there too
        if len(sources) > 1:
            columns = " and ".join(f"'{source.table.name}:{source.column}'" for source in sources)
            sensor = f"{kind}_{place}" if place else kind
            raise DataError(
                f"{sources[0].table.where}: {columns} are both the {axis} axis of {sensor}; "
                f"choose with --map {kind}_{place or 'Head'}_{axis}=COLUMN and so on for all channels"
            )
        if not place:
            table, column, _, _, _ = sources[0]
            raise DataError(
                f"{table.where}: where on the body was the sensor of column '{column}'? Say it with --place, e.g. "
                f"--place Head; its columns are {table.listed()}"
            )
        chosen[f"{kind}_{place}_{axis}"] = sources[0]
    return chosen


def _sensor(kind: str, segment: str, axes: Sequence[Source], clock: Clock, rate: float | None) -> Sensor:
    """Read the rows of a sensor in which all of its axes have values."""
    table = axes[0].table
    values_N3 = np.stack([source.sign * table.numbers(source.column) for source in axes], axis=1)
    time_N, usable_N, notes = ascending_rows(table, clock, rate)
    full_N = np.asarray(np.isfinite(values_N3).all(axis=1))
    empty = int((~full_N).sum())
    kept_N: Bools = usable_N & full_N
    if kept_N.sum() < 2:
        raise DataError(
            f"{table.where}: columns {', '.join(repr(source.column) for source in axes)} have values in "
            f"{int(kept_N.sum())} of {len(table)} rows with a usable time"
        )
    if empty:
        notes.append(f"{table.name}: {empty} of {len(table)} rows have no value of {kind}_{segment} and were left out")
    notes += gap_notes(table.name, time_N[kept_N])
    units = {source.unit for source in axes}
    if len(units) > 1:
        raise DataError(f"{table.where}: the axes of {kind}_{segment} are in different units: {units}")
    return Sensor(
        kind,
        segment,
        time_N[kept_N],
        values_N3[kept_N],
        axes[0].unit,
        all(source.gravity for source in axes),
        table,
        clock,
        tuple(("-" if source.sign < 0 else "") + source.column for source in axes),
        tuple(notes),
    )
