"""Read a recording's file as an encoder takes it: a device's recording, a CSV file, or an .npz file.

Each becomes pieces without gaps, at the encoder's rate, in its channels and units. Those of a device's recording are
the rows that `rxclip import-recording` would write at that rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.recordings.file_format import FileFormat
from revalexo_clip.data.windows import Floats
from revalexo_clip.devices.axes import AxesError
from revalexo_clip.devices.base import DeviceRecording, ImuStream
from revalexo_clip.devices.faults import fault_notes
from revalexo_clip.devices.formats import read_recording
from revalexo_clip.devices.plan import cuts, start_after, turned_stream
from revalexo_clip.devices.spans import common_spans
from revalexo_clip.devices.write import rows_of
from revalexo_clip.export.recording_pieces import RecordingPiece, RecordingPieces, SourceOptions, factors, names_in
from revalexo_clip.export.recording_tables import csv_pieces, is_layout_csv, npz_pieces


def read_pieces(
    source: Path, spec: ImuSpec, options: SourceOptions, files: FileFormat | None = None
) -> RecordingPieces:
    """Read a recording in the channels, units and rate of `spec`. `files` is the format of the training files.

    Times of a device's recording are seconds from its first video frame, or its first sample without video; those of a
    CSV file are of its clock. Raises `DataError`, naming the file, and `ConfigError` if an option is wrong.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    if options.format_name is None and source.suffix.lower() == ".npz":
        return npz_pieces(source, spec, options, files)
    if options.format_name is None and is_layout_csv(source, spec, options, files):
        return csv_pieces(source, spec, options, files)
    for_tables = (options.rate, options.time, options.units or None, options.recording, options.channels or None)
    if any(given is not None for given in for_tables):
        raise ConfigError(
            "--rate, --time, --units, --recording and --channels are for .npz files and for CSV files with channels "
            f"such as acc_Head_x, and {source} is neither"
        )
    return _device_pieces(source, spec, options)


def check_stride(stride: float) -> None:
    """Raise `ConfigError` if windows cannot be placed every `stride` seconds."""
    if not 0 < stride < math.inf:  # also false for NaN
        raise ConfigError(f"--stride must be above 0 s, not {stride:g}")


def over_pieces(
    source: Path, read: RecordingPieces, spec: ImuSpec, compute: Callable[[Samples], tuple[Floats, Tensor]]
) -> tuple[Floats, npt.NDArray[np.float32], tuple[str, ...]]:
    """Compute something of the windows of all pieces that are long enough for one.

    `compute` returns the starts of the windows of a piece [N, s] from its first row, and their results [N, ...].
    Returns the starts on the recording's clock, the results of all pieces, and notes on what was left out. Raises
    `DataError`, naming the file, if no piece is long enough, or its samples are refused.
    """
    long = [piece for piece in read.pieces if len(piece.rows_MC) >= spec.samples]
    notes = [*read.notes]
    if short := len(read.pieces) - len(long):
        notes.append(f"{counted(short, 'piece')} shorter than a window ({spec.window:g} s) left out")
    if not long:
        longest = max((len(piece.rows_MC) for piece in read.pieces), default=0) / spec.rate
        raise DataError(f"{source}: is too short: {longest:.3g} s without a gap; a window lasts {spec.window:g} s")
    starts, results = [], []
    for piece in long:
        try:
            start_N, result_N = compute(piece.rows_MC)
        except ValueError as error:
            raise DataError(f"{source}: {error}") from error
        starts.append(piece.start + start_N)
        results.append(result_N)
    return np.concatenate(starts), torch.cat(results).float().numpy(), tuple(notes)


def _device_pieces(source: Path, spec: ImuSpec, options: SourceOptions) -> RecordingPieces:
    recording = read_recording(source, options.place, options.format_name)
    available = [name for stream in recording.imu for name in stream.channels]
    names = names_in(source, available, spec, options.place)
    streams = [stream for stream in recording.imu if set(names) & set(stream.channels)]
    for stream in streams:
        if not np.isfinite(stream.values_NC).all():
            raise DataError(f"{source}: {stream.channels[0]} has samples that are not finite numbers")
    if options.axes is not None:
        streams = [_turned(source, stream, options.axes) for stream in streams]
    recording = replace(recording, imu=tuple(streams))
    units = {name: unit for stream in streams for name, unit in zip(stream.channels, stream.units, strict=True)}
    factor_C = factors(source, [units[name] for name in names], spec)
    spans = common_spans(recording)
    pieces = [_piece(recording, span, names, spec.rate) for span in spans]
    own = (note for stream in streams for note in stream.notes)
    notes = (*recording.notes, *own, *fault_notes(recording), *cuts(recording, spans))
    return RecordingPieces(tuple(RecordingPiece(one.start, one.rows_MC * factor_C) for one in pieces), notes)


def _turned(source: Path, stream: ImuStream, axes: str) -> ImuStream:
    if not stream.axes:
        raise DataError(f"{source}: --axes cannot turn {stream.channels[0]}: nothing says how its axes lie now")
    try:
        return turned_stream(stream, axes)
    except AxesError as error:
        raise ConfigError(f"--axes: {error}") from error


def _piece(recording: DeviceRecording, span: tuple[float, float], names: Sequence[str], rate: float) -> RecordingPiece:
    """Return the rows that an import would write of a span [s], at `rate` [Hz]."""
    begin, end = span
    start = start_after(recording, begin, rate, begin)
    time_M = np.arange(max(math.floor(round((end - start) * rate, 6)), 1)) / rate
    rows_MC = np.concatenate([rows_of(stream, start, time_M, rate) for stream in recording.imu], axis=1)
    available = [name for stream in recording.imu for name in stream.channels]
    return RecordingPiece(start, rows_MC[:, [available.index(name) for name in names]].astype(np.float32))
