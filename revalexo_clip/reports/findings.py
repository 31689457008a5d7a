"""What a report needs: measured results, and the windows or predictions they were measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data import LabelledWindows
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Predictions
from revalexo_clip.metrics.galleries import Gallery


@dataclass(frozen=True)
class Findings:
    """Results of an evaluation, and the windows they were measured on."""

    name: str
    """Name of the experiment."""
    metrics: JsonObject
    """Content of `metrics.json`."""
    windows: EvaluatedWindows
    galleries: Mapping[str, Gallery]
    """Galleries of `metrics`, by name."""
    dataset: LabelledWindows
    """Dataset from which the windows can be read again."""
    log: Path
    """`metrics.csv` of the training run; it may be missing."""


@dataclass(frozen=True)
class ClassifierFindings:
    """Test results of an activity classifier, and the predictions they were measured on."""

    name: str
    """Name of the experiment."""
    metrics: JsonObject
    """What `measure_classification` returns, with `checkpoint`, `sha256`, `epoch` and `seen`."""
    predictions: Predictions
    log: Path
    """`metrics.csv` of the training run; it may be missing."""
    subjects: Mapping[str, Sequence[str]]
    """Subjects by use: `train`, `val`, `test`, and `pretrain` if the encoder was pretrained."""
