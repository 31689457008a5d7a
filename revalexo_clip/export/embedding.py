"""Embed a recording's file with an exported encoder, and write the embeddings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import atomically, check_new
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.recordings.units import Unit
from revalexo_clip.data.windows import Floats
from revalexo_clip.export.encoder import PretrainedImuEncoder
from revalexo_clip.export.loading import load_encoder
from revalexo_clip.export.recording_files import check_stride, over_pieces, read_pieces
from revalexo_clip.export.recording_pieces import RecordingPieces, SourceOptions

SUFFIXES = (".npz", ".parquet")
_EXTRA = "pip install pyarrow, or choose a name that ends in .npz"


class RecordingEmbeddings(NamedTuple):
    """One vector for each of the N sliding windows of a recording."""

    start_N: Floats
    """Start of each window on the recording's clock [s]."""
    vector_ND: npt.NDArray[np.float32]
    """[N, D], unit vectors in the space shared with video, or features."""
    window: float
    """Length of a window [s]."""
    notes: tuple[str, ...] = ()
    """Sentences on what was left out."""


def embed_recording(
    source: str | Path,
    encoder: str | Path | PretrainedImuEncoder,
    *,
    stride: float = 0.5,
    features: bool = False,
    place: str | None = None,
    axes: str | None = None,
    format_name: str | None = None,
    rate: float | None = None,
    time: str | None = None,
    time_unit: TimeUnit = "s",
    units: Mapping[str, Unit] | None = None,
    recording: int | None = None,
    channels: Mapping[str, str] | None = None,
    batch: int = 64,
) -> RecordingEmbeddings:
    """Embed the file of a recording window by window, at the encoder's rate, channels and units.

    - `source`: a device's recording (see `devices.formats.FORMATS`), a CSV file, or an .npz file with `data` [n, C],
      `channels` [C], and `fs` [Hz] or `time` [n, s]. Windows of a device's recording are those of the dataset that
      `import_recording` makes of it, if that has the encoder's rate.
    - `encoder`: an encoder, or its folder.
    - `stride`: time from one window to the next [s]; the first starts with each piece between gaps.
    - `features`: compute features for downstream tasks instead of embeddings.
    - `place` to `channels`: see `SourceOptions`.
    - `batch`: number of windows that are encoded at a time.

    Raises `DataError`, naming the file, if it cannot be embedded, and `ConfigError` if an option is wrong.
    """
    source = Path(source)
    options = SourceOptions(place, axes, format_name, rate, time, time_unit, units, recording, channels)
    if not isinstance(encoder, PretrainedImuEncoder):
        encoder = imu_encoder(encoder)
    check_stride(stride)
    if not features and encoder.head is None and encoder.token_head is None:
        raise ConfigError("this encoder has features only, no embeddings: pass --features")
    read = read_pieces(source, encoder.spec, options, encoder.description.files)
    return _embedded(source, read, encoder, stride, features, batch)


def imu_encoder(folder: str | Path) -> PretrainedImuEncoder:
    """Load the IMU encoder of a folder. Raises `ConfigError` if it is one of video."""
    encoder = load_encoder(folder)
    if not isinstance(encoder, PretrainedImuEncoder):
        raise ConfigError(f"{folder}: is an encoder of video; embedding a recording takes one of IMU")
    return encoder


def _embedded(  # noqa: PLR0917 (what embeddings follow from)
    source: Path, read: RecordingPieces, encoder: PretrainedImuEncoder, stride: float, features: bool, batch: int
) -> RecordingEmbeddings:
    spec = encoder.spec
    compute = encoder.features if features else encoder.embed

    def over(rows_MC: Samples) -> tuple[Floats, Tensor]:
        return encoder.over_windows(rows_MC, compute, rate=spec.rate, time=None, stride=stride, batch=batch)

    start_N, vector_ND, notes = over_pieces(source, read, spec, over)
    return RecordingEmbeddings(start_N, vector_ND, spec.window, notes)


def check_output(path: Path) -> None:
    """Raise `ConfigError` if embeddings cannot be written to a file, before they are computed."""
    check_new(path, SUFFIXES)
    if path.suffix == ".parquet":
        try:
            importlib.import_module("pyarrow")
        except ImportError as error:
            raise ConfigError(f"--out {path}: Parquet files need pyarrow: {_EXTRA}") from error


def write_embeddings(found: RecordingEmbeddings, path: str | Path) -> None:
    """Write embeddings to a new file, by its suffix.

    `.npz` has the arrays `start` and `end` [N, s] and `embedding` [N, D]; `.parquet` has the same columns, `embedding`
    with lists of D numbers. Raises `ConfigError` if the file exists or Parquet is not possible, and `WriteError`.
    """
    path = Path(path)
    check_output(path)
    end_N = found.start_N + found.window
    with atomically(path) as temporary:
        if path.suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, start=found.start_N, end=end_N, embedding=found.vector_ND)
            return
        arrow = importlib.import_module("pyarrow")
        flat = arrow.array(np.ascontiguousarray(found.vector_ND).ravel())
        lists = arrow.FixedSizeListArray.from_arrays(flat, found.vector_ND.shape[1])
        table = arrow.table({"start": found.start_N, "end": end_N, "embedding": lists})
        importlib.import_module("pyarrow.parquet").write_table(table, temporary)
