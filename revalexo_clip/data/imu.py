"""IMU recordings in CSV files: channel selection and samples.

Files are parsed by the standard library: one clip (720 rows, 42 channels) takes about 15 ms, once, whereas one window
of video takes 60 ms or more every time. Faster CSV readers use a thread pool, which can hang in a forked loader worker.
"""

from __future__ import annotations

import csv
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.csv_form import SEPARATORS, why_no_column, why_no_number, why_uneven

Samples = npt.NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)
Rows = list[tuple[int, list[str]]]
"""Line number (of the row's last line) and cells of each row of a CSV file."""

CACHE_BYTES = 512 * 2**20
"""Size of the cache of parsed recordings in each process [bytes]. The training clips of RevalExo take 250 MiB. If it is
full, the least recently used recordings are dropped."""

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

UNITS = {"acc": "m/s^2", "gyro": "rad/s"}
"""Unit of a channel, by the first part of its name."""


_CLOCK_NAME = re.compile(r"(^|[^a-z])(time|timestamps?|t|ts|clock|utc|epoch|secs?|seconds|ms|us|ns)([^a-z]|$)")
_OTHER_NAME = re.compile(r"index|frame|count|sample|acc|gyr|mag")


def unit_of(channel: str) -> str:
    """Return the unit of a channel, `unknown` if RevalExo's layout does not define it."""
    return UNITS.get(channel.split("_", 1)[0], "unknown")


@cache
def clock_like(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns whose names are those of clocks."""
    names = ((column, column.strip().lower()) for column in columns)
    return tuple(column for column, name in names if _CLOCK_NAME.search(name) and not _OTHER_NAME.search(name))


def matching_columns(columns: Sequence[str], pattern: str) -> list[str]:
    """Return the columns that a channel pattern matches, in file order.

    Columns whose names are those of clocks are not sensor channels: only their full name matches them. The same holds
    for names with separators, such as the header of a file whose columns are separated by ";".
    """
    if pattern in columns:
        return [column for column in columns if column == pattern]
    clocks = clock_like(tuple(columns))
    matching = (column for column in columns if fnmatchcase(column, pattern) and column not in clocks)
    return [column for column in matching if not any(mark in column for mark in SEPARATORS)]


def select_channels(columns: Sequence[str], patterns: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the columns that match, each once, in pattern order and, within a pattern, file order.

    Raises `DataError` if a pattern matches no column, or if a selected name occurs more than once in the file.
    """
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matching = matching_columns(columns, pattern)
        if not matching:
            raise DataError(
                f"{path}: no column matches the channel pattern '{pattern}'; columns: {', '.join(columns)}"
                + (" (clocks need their full name)" if any(fnmatchcase(column, pattern) for column in columns) else "")
                + why_no_column(path)
            )
        chosen.update(dict.fromkeys(matching))
    repeated = [column for column in chosen if columns.count(column) > 1]
    if repeated:
        raise DataError(f"{path}: more than one column is named {repeated[0]}")
    return tuple(chosen)


def common_channels(paths: Iterable[Path], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the ordered channels, which must be the same for all recordings. Reads one line of each.

    Raises `DataError` if two recordings have different channels.
    """
    return agreed_channels(((path, header_of(path)) for path in paths), patterns)


def agreed_channels(headers: Iterable[tuple[Path, tuple[str, ...]]], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the same as `common_channels`, for recordings whose columns are known."""
    first: tuple[Path, tuple[str, ...], tuple[str, ...]] | None = None
    for path, columns in headers:
        if first is not None and columns == first[1]:
            continue
        channels = select_channels(columns, patterns, path)
        if first is None:
            first = path, columns, channels
        elif channels != first[2]:
            raise DataError(f"{path}: {channel_difference(channels, first[2])} {first[0]}")
    assert first is not None
    return first[2]


def read_imu(path: Path, channels: Sequence[str]) -> Samples:
    """Read the samples of the named columns, [n, C] float32.

    Raises `DataError`, naming file, column and row, if a cell is not a finite number or if a row is not as long as the
    header.
    """
    columns, rows = _even_rows(path, channels)
    return _numbers(path, columns, channels, rows, np.float32)


def read_timed_imu(path: Path, channels: Sequence[str], time: str) -> tuple[Samples, npt.NDArray[np.float64]]:
    """Read samples [n, C] float32, as `read_imu` does, and the times in another column, [n] float64.

    Sensors often write seconds since 1970, for which float32 is not precise enough.
    """
    columns, rows = _even_rows(path, [*channels, time])
    samples_nC = _numbers(path, columns, channels, rows, np.float32)
    return samples_nC, _numbers(path, columns, [time], rows, np.float64)[:, 0]


def read_column(path: Path, column: str) -> tuple[list[str], list[int]]:
    """Return the cells of a column, and the line that each is in. Raises `DataError` as `read_imu` does."""
    columns, rows = _even_rows(path, [column])
    place = columns.index(column)
    return [row[place] for _, row in rows], [line for line, _ in rows]


def _even_rows(path: Path, channels: Sequence[str]) -> tuple[list[str], Rows]:
    """Read the columns and rows of a recording, and check that it has the named columns and rows of equal length."""
    columns, rows = read_rows(path)
    missing = [channel for channel in channels if channel not in columns]
    if missing:
        raise DataError(f"{path}: no column {missing[0]}; columns: {', '.join(columns)}{why_no_column(path)}")
    if not rows:
        raise DataError(f"{path}: has a header but no samples")
    for line, row in rows:
        if len(row) != len(columns):
            why = why_uneven(row, len(columns))
            raise DataError(f"{path}: line {line} has {len(row)} cells, the header has {len(columns)}{why}")
    return columns, rows


def read_rows(path: Path) -> tuple[list[str], Rows]:
    """Read the columns and rows of a CSV file, without blank rows. Raises `DataError` if it is not a CSV text file."""
    with _readable(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        columns = [name.strip() for name in next(reader, [])]
        return columns, [(reader.line_num, row) for row in reader if row]


def _numbers(
    path: Path, columns: list[str], channels: Sequence[str], rows: Rows, dtype: type[Real]
) -> npt.NDArray[Real]:
    places = [columns.index(channel) for channel in channels]
    cells_of = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
    samples_nC = np.empty((len(rows), len(channels)), dtype=dtype)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are reported below
        for number, (line, row) in enumerate(rows):
            try:
                samples_nC[number] = [float(cell) for cell in cells_of(row)]
            except ValueError:
                place = next(place for place in places if not _is_number(row[place]))
                why = why_no_number(row[place], [row[place] for _, row in rows])
                raise DataError(
                    f"{path}: line {line} (row {number + 1}), column {columns[place]}: '{row[place]}' is not a number"
                    f"{why}"
                ) from None
    wrong = np.argwhere(~np.isfinite(samples_nC))
    if len(wrong):
        number, channel = wrong[0]
        line, row = rows[number]
        raise DataError(
            f"{path}: line {line} (row {number + 1}), column {channels[channel]}: "
            f"'{row[places[channel]]}' is not a finite number ({len(wrong)} such values)"
        )
    return samples_nC


def numeric_columns(path: Path) -> tuple[str, ...]:
    """Return the columns that can be packed: the layout's channels, and all other columns of finite numbers.

    Names that occur more than once are left out.
    """
    columns = header_of(path)
    try:
        _, rows = _even_rows(path, ())
    except DataError:  # it is raised again when the channels are read
        rows = []
    return tuple(
        column
        for place, column in enumerate(columns)
        if columns.count(column) == 1 and (column.split("_", 1)[0] in UNITS or (rows and _are_numbers(place, rows)))
    )


def _are_numbers(place: int, rows: Rows) -> bool:
    """Return whether all cells of a column are finite numbers that float32 can hold."""
    try:
        return all(abs(float(row[place])) <= LARGEST_FLOAT32 for _, row in rows)
    except ValueError:
        return False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def header_of(path: Path) -> tuple[str, ...]:
    """Read the names of a recording's columns. Raises `DataError` if it cannot be read."""
    with _readable(path), path.open(newline="", encoding="utf-8-sig") as file:
        return tuple(name.strip() for name in next(csv.reader([file.readline()]), []))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is not a CSV text file: {error}") from error


def channel_difference(channels: tuple[str, ...], expected: tuple[str, ...]) -> str:
    """Describe how channels differ from those of another recording. The caller appends its name."""
    lacking = [channel for channel in expected if channel not in channels]
    extra = [channel for channel in channels if channel not in expected]
    if lacking:
        return f"lacks {len(lacking)} channels ({', '.join(lacking[:3])}) of"
    if extra:
        return f"has {len(extra)} channels ({', '.join(extra[:3])}) that are not in"
    place = next(place for place, pair in enumerate(zip(channels, expected, strict=True)) if pair[0] != pair[1])
    return f"has {channels[place]} as channel {place}, but it is {expected[place]} in"


class ImuCache:
    """Cache of the parsed recordings of one process; drops the least recently used. A pickled copy is empty."""

    def __init__(self, channels: tuple[str, ...], limit: int = CACHE_BYTES) -> None:
        self.channels = channels
        self.limit = limit
        self.held = 0
        self._samples: OrderedDict[Path, Samples] = OrderedDict()

    def __reduce__(self) -> tuple[type[ImuCache], tuple[object, ...]]:
        return ImuCache, (self.channels, self.limit)

    def _load(self, path: Path) -> Samples:
        return read_imu(path, self.channels)

    def read(self, path: Path) -> Samples:
        """Return [n, C] float32, as from `read_imu`."""
        samples_nC = self._samples.get(path)
        if samples_nC is None:
            samples_nC = self._load(path)
            self._samples[path] = samples_nC
            self.held += samples_nC.nbytes
        self._samples.move_to_end(path)
        while self.held > self.limit and len(self._samples) > 1:
            self.held -= self._samples.popitem(last=False)[1].nbytes
        return samples_nC
