"""Sensors of tables as streams in m/s^2 and rad/s: their units are found, or asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import ImuStream, channels_of
from revalexo_clip.devices.tables_options import UNITS, TableOptions
from revalexo_clip.devices.tables_sensors import Sensor
from revalexo_clip.devices.tables_units import (
    FACTORS,
    NO_GRAVITY,
    FoundUnit,
    acc_unit,
    gyro_unit,
    implausible_unit,
    without_gravity,
)


def streams_of(
    sensors: Sequence[Sensor], options: TableOptions, zeros: Mapping[str, float]
) -> tuple[list[ImuStream], list[str]]:
    """Return the streams of sensors, and a sentence for the plan on each sensor.

    `zeros` is the time of each table's clock that is zero in the recording [s]. An accelerometer and a gyroscope with
    the same times become one stream. Raises `DataError` if units have to be said by the user, or if some of the
    accelerometers are without gravity and others are not.
    """
    units = _units(sensors, options)
    converted = [_converted(sensor, unit, options) for sensor, unit in zip(sensors, units, strict=True)]
    _check_gravity(converted)
    said = [
        f"{sensor.name}: columns {', '.join(repr(column) for column in sensor.columns)} of {sensor.table.name} "
        f"[{found.unit}]{f' ({found.why})' if found.why else ''}"
        for sensor, found in zip(sensors, units, strict=True)
    ]
    return _joined(converted, zeros), said


def _units(sensors: Sequence[Sensor], options: TableOptions) -> list[FoundUnit]:
    """Return the unit of each sensor. Raises `DataError` that asks for all that are unknown."""
    found = [_unit(sensor, sensors, options) for sensor in sensors]
    unknown = [sensor for sensor, unit in zip(sensors, found, strict=True) if unit is None]
    if unknown:
        listed = "; ".join(f"{sensor.name} from {', '.join(map(repr, sensor.columns))}" for sensor in unknown)
        kinds = sorted({sensor.kind for sensor in unknown})
        asked = " ".join(f"--unit {kind}={'g|m/s^2' if kind == 'acc' else 'deg/s|rad/s'}" for kind in kinds)
        raise DataError(
            f"{unknown[0].table.where}: neither the names of the columns nor the values tell the unit of {listed}; say "
            f"it with {asked}"
        )
    return [unit for unit in found if unit is not None]


def _unit(sensor: Sensor, sensors: Sequence[Sensor], options: TableOptions) -> FoundUnit | None:
    for unit, why in ((options.unit_of(sensor.name), "--unit"), (sensor.unit, "")):
        if unit is None:
            continue
        if FACTORS[unit][0] != sensor.kind:
            allowed = ", ".join(unit for unit in UNITS if FACTORS[unit][0] == sensor.kind)
            raise DataError(f"{sensor.table.where}: {sensor.name} cannot be in {unit}; its unit is one of {allowed}")
        return FoundUnit(unit, why)
    if sensor.kind == "acc":
        return acc_unit(sensor.values_N3) if sensor.gravity else None
    beside = next((one for one in sensors if one.kind == "acc" and one.segment == sensor.segment and one.gravity), None)
    if beside is None or beside.clock.absolute != sensor.clock.absolute:
        return gyro_unit(sensor.values_N3, sensor.time_N, None, None)
    return gyro_unit(sensor.values_N3, sensor.time_N, beside.values_N3, beside.time_N)


def _converted(sensor: Sensor, found: FoundUnit, options: TableOptions) -> Sensor:
    """Return a sensor in m/s^2 or rad/s. Raises `DataError` if its values are not possible in the unit of its name."""
    values_N3 = sensor.values_N3 * FACTORS[found.unit][1]
    notes = list(sensor.notes)
    wrong = implausible_unit(sensor.kind, values_N3) if sensor.gravity else None
    if wrong is not None and options.unit_of(sensor.name) is None:
        raise DataError(
            f"{sensor.table.where}: columns {', '.join(map(repr, sensor.columns))} are said to be in {found.unit}, but "
            f"{wrong}; say the unit with --unit {sensor.kind}=..."
        )
    if wrong is not None:
        notes.append(f"{sensor.name}: in {found.unit} (--unit), {wrong}")
    gravity = sensor.gravity
    if sensor.kind == "acc" and gravity and without_gravity(values_N3):
        median = float(np.median(np.linalg.norm(values_N3, axis=1)))
        notes.append(f"{sensor.name}: {NO_GRAVITY}, by its median of {median:.2f} m/s^2")
        gravity = False
    elif sensor.kind == "acc" and not gravity:
        notes.append(f"{sensor.name}: {NO_GRAVITY}, by its name")
    return replace(sensor, values_N3=values_N3, notes=tuple(notes), gravity=gravity)


def _check_gravity(sensors: Sequence[Sensor]) -> None:
    with_it = [sensor for sensor in sensors if sensor.kind == "acc" and sensor.gravity]
    without = [sensor for sensor in sensors if sensor.kind == "acc" and not sensor.gravity]
    if with_it and without:
        raise DataError(
            f"{without[0].table.where}: the acceleration of {without[0].segment} is without gravity, and that of "
            f"{with_it[0].segment} ({with_it[0].table.name}) has it; import sensors that are alike, chosen with --map"
        )


def _joined(sensors: Sequence[Sensor], zeros: Mapping[str, float]) -> list[ImuStream]:
    groups: list[list[Sensor]] = []
    for segment in dict.fromkeys(sensor.segment for sensor in sensors):
        parts = sorted((sensor for sensor in sensors if sensor.segment == segment), key=lambda sensor: sensor.kind)
        times = [sensor.time_N - zeros[sensor.table.where] for sensor in parts]
        together = len(parts) == 2 and len(times[0]) == len(times[1]) and bool(np.abs(times[0] - times[1]).max() < 1e-6)
        groups += [parts] if together else [[part] for part in parts]
    return [
        ImuStream(
            group[0].segment,
            channels_of(group[0].segment, tuple(sensor.kind for sensor in group)),
            group[0].time_N - zeros[group[0].table.where],
            np.concatenate([sensor.values_N3 for sensor in group], axis=1),
            notes=tuple(dict.fromkeys(note for sensor in group for note in sensor.notes)),
            gravity=all(sensor.gravity for sensor in group if sensor.kind == "acc"),
        )
        for group in groups
    ]
