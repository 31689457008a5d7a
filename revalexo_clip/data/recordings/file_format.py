"""How the files of a dataset name and measure the channels of its windows."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from revalexo_clip.core.component import Config
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.recordings.units import Unit, declared


class FileFormat(Config):
    """Columns, units and clock of recordings, so that others of the same kind can be read without naming them again."""

    channels: dict[str, str]
    """Column of each channel."""
    units: dict[str, Unit] = Field(default={})
    """Units of the columns, by channel or prefix, if they are not m/s^2 and rad/s."""
    rate: float | None = None
    """Sampling rate of files without a clock [Hz]."""
    time: str | None = None
    """Clock column."""
    time_unit: TimeUnit = "s"
    """Unit of the clock."""

    def fits(self, columns: Sequence[str], channels: Sequence[str]) -> bool:
        """Return whether a file with these columns has all `channels` under the names of this format."""
        return all(self.channels.get(name) in columns for name in channels)

    def units_of(self, channels: Sequence[str]) -> dict[str, Unit]:
        """Return the units that concern some of these channels."""
        return {key: unit for key, unit in self.units.items() if any(declared(name, {key: unit}) for name in channels)}


def parse_channels(texts: Sequence[str]) -> dict[str, str]:
    """Read columns of channels as the command line takes them, such as `acc_Head_x=ax,acc_Head_y=ay`.

    Raises `ConfigError`.
    """
    found: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, mark, column = (piece.strip() for piece in part.partition("="))
        if not (name and mark and column):
            raise ConfigError(f"--channels: '{part}' is not the name of a channel, '=' and a column")
        if name in found or column in found.values():
            raise ConfigError(f"--channels: {name if name in found else column} is named twice")
        found[name] = column
    return found
