"""Read tables as an encoder takes them: CSV files in the form of the layout, and .npz files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.npz import UNREADABLE, read_npz
from revalexo_clip.core.types import AXES, ImuSpec, parse
from revalexo_clip.data.clocks import Piece, on_grid, seconds, split_at_gaps
from revalexo_clip.data.imu import UNITS, Samples, clock_like, header_of, read_column, read_imu
from revalexo_clip.data.recordings.file_format import FileFormat
from revalexo_clip.data.recordings.units import converted
from revalexo_clip.data.resampling import resampled
from revalexo_clip.data.windows import Floats
from revalexo_clip.export.recording_pieces import (
    RecordingPiece,
    RecordingPieces,
    SourceOptions,
    factors,
    listed,
    names_in,
)


def is_layout_csv(source: Path, spec: ImuSpec, options: SourceOptions, files: FileFormat | None) -> bool:
    """Return whether a file is a table as the layout or the training has them: named channels, "," between cells."""
    if source.suffix.lower() != ".csv" or not source.is_file():
        return False
    if options.channels:
        return True
    try:
        columns = header_of(source)
    except DataError:
        return False  # the readers of devices say what is wrong with it
    if files is not None and files.fits(columns, spec.channels):
        return True
    plain = {f"{kind}_{axis}" for kind in UNITS for axis in AXES}
    return any(name in spec.channels or name in plain or parse(name) is not None for name in columns)


def csv_pieces(source: Path, spec: ImuSpec, options: SourceOptions, files: FileFormat | None) -> RecordingPieces:
    """Read a CSV file. See `recording_files.read_pieces`."""
    columns = header_of(source)
    _refuse(options, source, "a CSV file", recording=True)
    options, notes = options.like_training(columns, spec, files)
    read = _csv_pieces(source, columns, spec, options)
    return read._replace(notes=(*notes, *read.notes))


def _csv_pieces(source: Path, columns: tuple[str, ...], spec: ImuSpec, options: SourceOptions) -> RecordingPieces:
    names = names_in(source, columns, spec, options.place, options.channels)
    time = options.time if options.time is not None else _clock_of(source, columns, options.rate)
    if time is not None and options.rate is not None:
        raise ConfigError("--time and --rate exclude each other")
    samples_nC = read_imu(source, names) * _table_factors(source, names, spec, options)
    if time is None:
        assert options.rate is not None
        return _even(source, samples_nC, options.rate, spec)
    if time not in columns:
        raise ConfigError(f"--time {time}: {source} has no such column; columns: {listed(columns)}")
    cells, lines = read_column(source, time)
    try:
        return _clocked(samples_nC, seconds(cells, options.time_unit), spec)
    except ValueError as error:
        where = f"line {lines[row]}: " if (row := getattr(error, "row", 0)) else ""
        raise DataError(f"{source}: column {time}: {where}{_told(error)}") from error


def _clock_of(source: Path, columns: tuple[str, ...], rate: float | None) -> str | None:
    """Return the column of the clock, None if the rate is given instead."""
    found = clock_like(columns)
    if rate is not None or len(found) == 1:
        return None if rate is not None else found[0]
    raise ConfigError(
        f"{source}: {'no column has' if not found else f'{listed(found)} have'} the name of a clock; pass --time "
        "COLUMN, or --rate, its rows per second"
    )


def npz_pieces(source: Path, spec: ImuSpec, options: SourceOptions, files: FileFormat | None) -> RecordingPieces:
    """Read an .npz file. See `recording_files.read_pieces`."""
    _refuse(options, source, "an .npz file", time=True)
    try:
        arrays = read_npz(source)
    except UNREADABLE as error:
        raise DataError(f"{source}: is not a readable .npz file: {error}") from error
    if lacking := [name for name in ("data", "channels") if name not in arrays]:
        raise DataError(
            f"{source}: lacks the array {' and '.join(lacking)}; it must have data [n, C], channels [C], and fs "
            "[Hz] or time [n, s]"
        )
    data_NC, channels = arrays["data"], [str(name) for name in np.atleast_1d(arrays["channels"])]
    if data_NC.ndim != 2 or data_NC.dtype.kind not in "iuf" or data_NC.shape[1] != len(channels):
        raise DataError(
            f"{source}: data is {data_NC.dtype} {list(data_NC.shape)}, and channels has {len(channels)} names"
        )
    alike, notes = options.like_training(channels, spec, files)
    options = alike._replace(rate=options.rate, time=None)  # the file has its own rate or times
    read = _npz_pieces(source, arrays, channels, spec, options)
    return read._replace(notes=(*notes, *read.notes))


def _npz_pieces(
    source: Path, arrays: Mapping[str, np.ndarray], channels: Sequence[str], spec: ImuSpec, options: SourceOptions
) -> RecordingPieces:
    data_NC = arrays["data"]
    names = names_in(source, channels, spec, options.place, options.channels)
    rows = _rows_of_recording(source, arrays, options.recording)
    samples_nC = data_NC[rows][:, [channels.index(name) for name in names]].astype(np.float32)
    if not np.isfinite(samples_nC).all():
        raise DataError(f"{source}: data has values that are not finite numbers")
    samples_nC *= _table_factors(source, names, spec, options)
    if "time" in arrays and options.rate is None:
        time_n = arrays["time"][rows]
        if time_n.shape != samples_nC.shape[:1] or time_n.dtype.kind not in "iuf" or not np.isfinite(time_n).all():
            raise DataError(f"{source}: time must be {len(samples_nC)} finite numbers [s], one for each row of data")
        try:
            return _clocked(samples_nC, time_n.astype(np.float64), spec)
        except ValueError as error:
            raise DataError(f"{source}: time: {_told(error)}") from error
    fs = arrays["fs"] if options.rate is None and "fs" in arrays else np.array(options.rate or 0.0)
    if fs.size != 1 or fs.dtype.kind not in "iuf" or not 0 < float(fs.item()) < np.inf:
        raise DataError(f"{source}: has neither time [n, s] nor a rate fs [Hz]; pass --rate")
    return _even(source, samples_nC, float(fs.item()), spec)


def _rows_of_recording(source: Path, arrays: Mapping[str, np.ndarray], number: int | None) -> slice:
    """Return the rows of the recording that is asked for; all if the file has no `offsets`."""
    offsets = arrays.get("offsets", np.array([0, len(arrays["data"])]))
    count = len(offsets) - 1 if offsets.ndim == 1 and offsets.dtype.kind in "iu" else 0
    if count < 1 or offsets[0] != 0 or offsets[-1] != len(arrays["data"]) or (np.diff(offsets) < 0).any():
        raise DataError(f"{source}: offsets must ascend from 0 to {len(arrays['data'])}, the length of data")
    if number is None and count > 1:
        raise ConfigError(f"{source}: has {count} recordings; pass --recording, from 0 to {count - 1}")
    number = number or 0
    if not 0 <= number < count:
        raise ConfigError(f"--recording {number}: {source} has recordings 0 to {count - 1}")
    return slice(int(offsets[number]), int(offsets[number + 1]))


def _even(source: Path, samples_nC: Samples, rate: float, spec: ImuSpec) -> RecordingPieces:
    try:
        return RecordingPieces((RecordingPiece(0.0, resampled(samples_nC, rate, spec.rate)),))
    except ValueError as error:
        raise DataError(f"{source}: {error}") from error


def _clocked(samples_nC: Samples, time_n: Floats, spec: ImuSpec) -> RecordingPieces:
    """Divide rows at gaps, and resample each piece from its first row on. Raises `ValueError`."""
    pieces = split_at_gaps(samples_nC, time_n, on_bad_time="split")
    rows = [on_grid(Piece(one.samples_nC, one.time_n - one.time_n[0]), spec.rate)[0] for one in pieces]
    found = tuple(RecordingPiece(float(one.time_n[0]), rows_MC) for one, rows_MC in zip(pieces, rows, strict=True))
    lost = sum(float(after.time_n[0] - before.time_n[-1]) for before, after in pairwise(pieces))
    return RecordingPieces(found, (f"{lost:.3f} s in gaps without rows are left out",) if lost else ())


def _told(error: ValueError) -> str:
    """Return a message about a clock without the settings of datasets, which do not apply here."""
    return str(error).partition("; on_bad_time")[0].replace("set time_unit", "pass --time-unit")


def _table_factors(source: Path, names: Sequence[str], spec: ImuSpec, options: SourceOptions) -> Samples:
    """Return what values of a table are multiplied by, [C]. Units go by the encoder's names of renamed columns."""
    try:
        usual, factor_C = converted(spec.channels if options.channels else names, options.units or {})
    except ConfigError as error:
        raise ConfigError(str(error).replace("data.units", "--units")) from error
    return np.asarray(factor_C * factors(source, usual, spec), dtype=np.float32)


def _refuse(options: SourceOptions, source: Path, what: str, *, time: bool = False, recording: bool = False) -> None:
    given = {
        "--axes": options.axes is not None,
        "--time": time and options.time is not None,
        "--recording": recording and options.recording is not None,
    }
    if wrong := [name for name, used in given.items() if used]:
        raise ConfigError(f"{' and '.join(wrong)} cannot be used with {what} ({source})")
