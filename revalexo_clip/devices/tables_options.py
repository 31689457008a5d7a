"""What a user says about tables: which columns, units, clock and video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import parse
from revalexo_clip.devices.tables_columns import known_unit

TIME_UNITS = ("s", "ms", "us", "ns", "iso")
UNITS = ("g", "mg", "m/s^2", "deg/s", "mdeg/s", "rad/s", "mrad/s")


@dataclass(frozen=True)
class TableOptions:
    """What a user says about tables beyond what can be found in them. Names of files take the form `FILE:COLUMN`."""

    place: str | None = None
    """Place on the body of sensors whose columns do not name one."""
    videos: tuple[Path, ...] = ()
    """The files of the video, in order of time; empty: the video in the folder, if there is one."""
    times: tuple[str, ...] = ()
    """Clock columns, `COLUMN` or `FILE:COLUMN`."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit by `time`, `acc`, `gyro`, or the beginning of channels' names such as `acc_Head`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column by channel: `{"acc_Head_x": "ax"}`; `-ax` turns it around, `FILE:ax` says which file."""
    rate: float | None = None
    """Sampling rate [Hz] of tables without a clock, or whose clock stands still within packets."""
    video_starts: tuple[str, ...] = ()
    """What the tables' clock reads at the first video frame: a number in the unit of the clock, a date and time,
    `first-row` or `creation-time`; `FILE=...` for one of several tables."""
    offset: float = 0.0
    """How much later the tables' samples were taken than their clock says [s]."""
    labels: Path | None = None
    """File with labels of the recording."""
    label_track: str | None = None
    """Name of the tier, if the file with labels has several."""
    episode: int | None = None
    """Number of the recording in a dataset that has several."""
    imu: str | None = None
    """Which IMU of Project Aria glasses: `left`, `right` or `both`."""

    def said_of_tables(self) -> str | None:
        """Return the name of an option that was given and is for tables only; None if none was."""
        given = {
            "--video": self.videos,
            "--time": self.times,
            "--unit": self.units,
            "--map": self.columns,
            "--table-rate": self.rate is not None,
            "--video-starts": self.video_starts,
            "--offset": self.offset,
            "--episode": self.episode is not None,
        }
        return next((name for name, value in given.items() if value), None)

    def unit_of(self, name: str) -> str | None:
        """Return the unit that was given for a channel, or for `time`: that of the longest name that fits."""
        fitting = [key for key in self.units if name == key or name.startswith(f"{key}_")]
        return self.units[max(fitting, key=len)] if fitting else None


def parse_units(texts: Sequence[str]) -> dict[str, str]:
    """Parse `time=ms`, `acc=g` and the like. Raises `ConfigError` if a unit is unknown."""
    found = {}
    for text in texts:
        name, _, unit = (part.strip() for part in text.partition("="))
        known = unit if name == "time" and unit in TIME_UNITS else known_unit(unit) if name != "time" else None
        if not name or known is None:
            allowed = TIME_UNITS if name == "time" else UNITS
            raise ConfigError(f"--unit {text}: write NAME=UNIT, with a unit of {', '.join(allowed)}")
        if name.partition("_")[0] not in ("time", "acc", "gyro"):
            raise ConfigError(
                f"--unit {text}: the name is time, acc, gyro, or the beginning of channels such as acc_Head"
            )
        found[name] = known
    return found


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Parse `acc_Head_x=ax` and the like. Raises `ConfigError` if the first part is no channel."""
    found: dict[str, str] = {}
    for text in texts:
        channel, equals, column = (part.strip() for part in text.partition("="))
        if not equals or not column or parse(channel) is None:
            raise ConfigError(
                f"--map {text}: write CHANNEL=COLUMN with a channel such as acc_Head_x: acc or gyro, place on the "
                "body, axis"
            )
        if channel in found:
            raise ConfigError(f"--map {text}: {channel} is already mapped to '{found[channel]}'")
        found[channel] = column
    return found
