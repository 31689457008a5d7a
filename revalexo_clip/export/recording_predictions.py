"""Predict the activities of a recording's file, and write them as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from revalexo_clip.core.files import atomically, check_new
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.recordings.units import Unit
from revalexo_clip.data.windows import TIME_DECIMALS, Floats
from revalexo_clip.export.classifier import ExportedClassifier
from revalexo_clip.export.classifier_description import ClassifierDescription
from revalexo_clip.export.classifier_folder import find_classifier
from revalexo_clip.export.predictions import Predictions, predictions_of
from revalexo_clip.export.recording_files import check_stride, over_pieces, read_pieces
from revalexo_clip.export.recording_pieces import SourceOptions
from revalexo_clip.reports.html.predictions import Timeline, write_timeline

WINDOW_START, WINDOW_END, HORIZON, TIME = "window_start_s", "window_end_s", "horizon_s", "predicted_time_s"
LABEL = "label"
PROBABILITY = "probability of "
"""Columns of the CSV file; the last is followed by the name of an activity."""
_TABLE, _PAGE = (".csv",), (".html",)


class RecordingPredictions(NamedTuple):
    """Activities of the sliding windows of a recording."""

    predictions: Predictions
    """Activities at each horizon. Times are on the recording's clock [s]."""
    labels: tuple[str, ...]
    """Activities, in the order of the probabilities."""
    horizons: tuple[float, ...]
    """Times after the end of a window [s]."""
    window: float
    """Length of a window [s]."""
    stride: float
    """Time from one window to the next [s]."""
    about: tuple[str, ...]
    """Sentences on the classifier."""
    notes: tuple[str, ...] = ()
    """Sentences on what was left out."""


def predict_recording(
    source: str | Path,
    classifier: str | Path | ExportedClassifier,
    *,
    stride: float = 0.5,
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
    experiment_file: str | Path | None = None,
) -> RecordingPredictions:
    """Predict the activities of a recording's file window by window, at the classifier's rate, channels and units.

    - `source`: a device's recording, a CSV file, or an .npz file, as for `embed_recording`.
    - `classifier`: a classifier, its folder, or a finetuning run or checkpoint.
    - `stride`: time from one window to the next [s]; the first starts with each piece between gaps.
    - `place` to `channels`: see `SourceOptions`.
    - `batch`: number of windows that are classified at a time.
    - `experiment_file`: file that defines components that the classifier uses.

    Raises `DataError`, naming the file, if it cannot be read, and `ConfigError` if an option is wrong.
    """
    source = Path(source)
    options = SourceOptions(place, axes, format_name, rate, time, time_unit, units, recording, channels)
    found = classifier if isinstance(classifier, ExportedClassifier) else find_classifier(classifier, experiment_file)
    check_stride(stride)
    spec = found.spec

    def over(rows_MC: Samples) -> tuple[Floats, Tensor]:
        return found.over_windows(rows_MC, found, rate=spec.rate, time=None, stride=stride, batch=batch)

    read = read_pieces(source, spec, options, found.description.files)
    start_N, probability_NKA, notes = over_pieces(source, read, spec, over)
    predictions = predictions_of(start_N + spec.window, probability_NKA, found.labels)
    about = _about(found.description)
    return RecordingPredictions(predictions, found.labels, found.horizons, spec.window, stride, about, notes)


def _about(description: ClassifierDescription) -> tuple[str, ...]:
    origin = description.origin
    trained = "unknown subjects" if origin.subjects is None else ", ".join(origin.subjects.get("train", ()))
    return (f"Classifier of experiment {origin.experiment} ({origin.checkpoint}), trained on {trained}.",)


def check_output(path: Path, page: Path | None = None) -> None:
    """Raise `ConfigError` if predictions, or their page, cannot be written to a file, before they are computed."""
    check_new(path, _TABLE)
    if page is not None:
        check_new(page, _PAGE)


def write_predictions(found: RecordingPredictions, path: str | Path) -> None:
    """Write predictions to a new CSV file: a row for each window and horizon.

    Times are on the recording's clock [s]. `predicted_time_s` is the time that the activity is predicted for: the end
    of the window plus the horizon. Raises `ConfigError` if the file exists, and `WriteError`.
    """
    path = Path(path)
    check_output(path)
    end_N, label_NK, probability_NKA = found.predictions
    with atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        head = [WINDOW_START, WINDOW_END, HORIZON, TIME, LABEL, *(f"{PROBABILITY}{name}" for name in found.labels)]
        table.writerow(head)
        for end, label_K, probability_KA in zip(end_N.tolist(), label_NK, probability_NKA, strict=True):
            for horizon, label, probability_A in zip(found.horizons, label_K, probability_KA, strict=True):
                times = (end - found.window, end, horizon, end + horizon)
                table.writerow(
                    [*(round(one, TIME_DECIMALS) for one in times), label, *(f"{one:.6f}" for one in probability_A)]
                )


def write_timeline_of(found: RecordingPredictions, path: str | Path, name: str) -> None:
    """Write predictions of the recording `name` as a page with a timeline, to a new HTML file that needs no other.

    Raises `ConfigError` if the file exists, and `WriteError`.
    """
    path = Path(path)
    check_new(path, _PAGE)
    probability_NKA = found.predictions.probability_NKA
    timeline = Timeline(
        name,
        found.predictions.end_N,
        probability_NKA.argmax(axis=2),
        probability_NKA.max(axis=2).astype(np.float64),
        found.labels,
        found.horizons,
        found.window,
        found.stride,
        [_sentence(note) for note in (*found.about, *found.notes)],
    )
    write_timeline(path, timeline)


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:].removesuffix('.')}."
