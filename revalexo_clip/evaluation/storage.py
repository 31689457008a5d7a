"""Write the arrays of an evaluation to HDF5: `predictions.h5` of a classifier, `embeddings.h5` of a dual encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import atomically
from revalexo_clip.core.npz import DENSEST
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints, Predictions

_SHAPES = {
    "logits": "NKA",
    "label": "NK",
    "transition": "NK",
    "clip": "N",
    "start": "N",
    "recording": "N",
    "time": "N",
}
"""Arrays in `predictions.h5`. The field of `Predictions` has the shape in its name."""

_NAMES = ("clip_subjects", "clip_names", "activities")


def write_predictions(path: Path, predictions: Predictions, identity: Mapping[str, str]) -> None:
    """Write predictions for N windows of J clips, at K horizons among A activities. Arrays have checksums.

        logits [N, K, A]   label [N, K] (-1 for none)   transition [N, K]
        clip [N]   start [N] (s, in the clip)   recording [N]   time [N] (s, in the recording)
        clip_names, clip_subjects [J]   activities [A]   horizons [K] (s)

    `identity` becomes the file's attributes and names the checkpoint. Raises `WriteError` if the file cannot be
    written.
    """
    with atomically(path) as temporary, h5py.File(temporary, "w") as file:
        for name, shape in _SHAPES.items():
            file.create_dataset(name, data=getattr(predictions, f"{name}_{shape}"), fletcher32=True)
        file["horizons"] = np.array(predictions.horizons)
        for name in _NAMES:
            file.create_dataset(name, data=list(getattr(predictions, name)), dtype=h5py.string_dtype())
        file.attrs.update(identity)


def read_predictions(path: Path) -> Predictions:
    """Read `predictions.h5`. Raises `DataError`, which names the file, if it is missing, corrupt or another file."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            predictions = Predictions(
                logits_NKA=np.asarray(_stored(file, "logits")[()], dtype=np.float32),
                label_NK=np.asarray(_stored(file, "label")[()], dtype=np.int64),
                transition_NK=np.asarray(_stored(file, "transition")[()], dtype=np.bool_),
                clip_N=np.asarray(_stored(file, "clip")[()], dtype=np.int64),
                start_N=np.asarray(_stored(file, "start")[()], dtype=np.float64),
                recording_N=np.asarray(_stored(file, "recording")[()], dtype=np.int64),
                time_N=np.asarray(_stored(file, "time")[()], dtype=np.float64),
                clip_subjects=_texts(_stored(file, "clip_subjects")),
                clip_names=_texts(_stored(file, "clip_names")),
                activities=_texts(_stored(file, "activities")),
                horizons=tuple(np.asarray(_stored(file, "horizons")[()], dtype=np.float64).tolist()),
            )
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(f"{path}: corrupt, or not a predictions file: {error}") from error
    if problem := _find_problem(predictions):
        raise DataError(f"{path}: corrupt, or not a predictions file: {problem}")
    return predictions


def _stored(file: h5py.File, name: str) -> h5py.Dataset:
    """Return an array that lies in the file itself and does not claim more than the file can hold."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise LookupError(f"{name!r} is missing, or lies in another file")
    stored = file[name]
    if not isinstance(stored, h5py.Dataset) or stored.is_virtual or stored.external is not None:
        raise TypeError(f"{name!r} is not an array of this file")
    if stored.size and stored.size * stored.dtype.itemsize > DENSEST * stored.id.get_storage_size():
        raise ValueError(f"{name!r} claims more bytes than the file has")
    return stored


def _texts(stored: h5py.Dataset) -> tuple[str, ...]:
    return tuple(str(text) for text in stored.asstr()[()])


def _find_problem(predictions: Predictions) -> str | None:
    """Describe the first array that does not fit the others; None if all do."""
    sizes = {"N": len(predictions), "K": len(predictions.horizons), "A": len(predictions.activities)}
    for name, letters in _SHAPES.items():
        found, shape = getattr(predictions, f"{name}_{letters}").shape, tuple(sizes[letter] for letter in letters)
        if found != shape:
            return f"{name} has shape {found}, expected {shape}"
    if len(predictions.clip_names) != len(predictions.clip_subjects):
        return "clip_names and clip_subjects differ in length"
    for name, index, least, end in (
        ("clip", predictions.clip_N, 0, len(predictions.clip_names)),
        ("label", predictions.label_NK, UNLABELLED, len(predictions.activities)),
    ):
        if ((index < least) | (index >= end)).any():
            return f"{name} holds values outside {least} to {end - 1}"
    if (predictions.recording_N < 0).any():
        return "recording holds negative values"
    for name, value in (
        ("start", predictions.start_N),
        ("time", predictions.time_N),
        ("logits", predictions.logits_NKA),
    ):
        if not np.isfinite(value).all():
            return f"{name} is not finite" if name != "logits" else "logits are not finite"
    return None


def write_embeddings(
    path: Path, windows: EvaluatedWindows, predictions: Mapping[str, Ints], checkpoint: Mapping[str, str]
) -> None:
    """Write N windows: their origin, labels, embeddings, features, and the predictions of the probes.

        clip [N], start [N] (s, in the clip), recording [N], time [N] (s, in the recording)
        label [N, K], transition [N, K]
        embedding/imu, embedding/video [N, D]      features/imu, features/video [N, D] (video unless IMU alone)
        probe/linear/..., probe/knn/... [N, K]
        clip_names, clip_subjects [J]   activities [A]   horizons [K] (s)

    `checkpoint` becomes the file's attributes and names the checkpoint. Raises `WriteError` if the file cannot be
    written.
    """
    arrays = {
        "clip": windows.clip_N.numpy(),
        "start": windows.start_N.numpy(),
        "recording": windows.recording_N.numpy(),
        "time": windows.time_N.numpy(),
        "label": windows.label_NK.numpy(),
        "transition": windows.transition_NK.numpy(),
        "embedding/imu": windows.imu_ND.numpy(),
        "features/imu": windows.features["imu"].numpy(),
        "horizons": np.array(windows.horizons),
        **{f"probe/{name}": predicted_NK for name, predicted_NK in predictions.items()},
    }
    if windows.has_video:
        arrays |= {"embedding/video": windows.video_ND.numpy(), "features/video": windows.features["video"].numpy()}
    names = {
        "clip_names": windows.clip_names,
        "clip_subjects": windows.clip_subjects,
        "activities": windows.activities,
    }
    with atomically(path) as temporary, h5py.File(temporary, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        for name, texts in names.items():
            file.create_dataset(name, data=list(texts), dtype=h5py.string_dtype())
        file.attrs.update(checkpoint)
