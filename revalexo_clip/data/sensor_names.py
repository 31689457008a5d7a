"""Columns that look like accelerometers or gyroscopes and are not named `acc_...` or `gyro_...`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.csv_form import SEPARATORS

_AXIS = r"[xyz](?![a-z])"
_SENSORS = {
    "acc": re.compile(
        rf"(^a[^a-z]*{_AXIS})|(acc(?!ura)[a-z]*[^a-z]+([a-z]+[^a-z]+)*{_AXIS})|(acc(l|el|eleration|elerometer)?{_AXIS})"
    ),
    "gyro": re.compile(
        rf"(^[gw][^a-z]*{_AXIS})|"
        rf"((gyr|ang(ular)?[^a-z]*(vel|rate)|rotation[^a-z]*rate)[a-z]*[^a-z]+([a-z]+[^a-z]+)*{_AXIS})|"
        rf"((gyro?(scope)?|rotationrate|angularvelocity|angvel){_AXIS})"
    ),
}

_ON_THE_HEAD = ("head", "camera", "glasses", "helmet", "cap", "gopro", "neon", "aria")


def on_the_head(segment: str) -> bool:
    """Return whether the name of a sensor's place says that it turns with a camera that is worn on the head."""
    return any(part in segment.lower() for part in _ON_THE_HEAD)


def _spread(column: str) -> str:
    """Return a name in lower case, with words that begin with a capital apart."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip()).lower()


def near_misses(columns: Sequence[str]) -> dict[str, str]:
    """Return the kind, `acc` or `gyro`, of each column that looks like an axis of such a sensor and is named otherwise.

    Names such as `accl_x`, `Accel Y (g)`, `GyroscopeZ` and `ax` count; `acc_Head_x` and `accuracy` do not.
    """
    found = {}
    for column in columns:
        name = _spread(column)
        kind = next((kind for kind, pattern in _SENSORS.items() if pattern.search(name)), None)
        if kind and not column.startswith(("acc_", "gyro_")) and not any(mark in column for mark in SEPARATORS):
            found[column] = kind
    return found


def suggested(columns: Sequence[str]) -> str:
    """Return a setting of `data.channels` for the columns of `near_misses`, as an example."""
    pairs = []
    for column, kind in near_misses(columns).items():
        axis = re.findall(rf"{_AXIS}", _spread(column))[-1]
        pairs.append(f'"{kind}_{axis}": "{column}"')
    return "{" + ", ".join(pairs) + "}"


def check_names(headers: Sequence[tuple[Path, tuple[str, ...]]]) -> None:
    """Raise `DataError` if columns of files look like sensors and would be left out because of their names."""
    for path, columns in {columns: (path, columns) for path, columns in reversed(headers)}.values():
        missed = near_misses(columns)
        if missed:
            raise DataError(
                f"{path}: {', '.join(missed)} look like sensors, but are not named acc_... or gyro_..., so they would "
                f"be left out. Name the columns to use, for example data.channels={suggested(columns)}"
            )
