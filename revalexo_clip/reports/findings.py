"""."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data import WindowDataset
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Predictions
from revalexo_clip.metrics.galleries import Gallery


@dataclass(frozen=True)
class Findings:
    """An evaluation: what was measured, and what it was measured on."""

    name: str
    """Of the experiment."""
    metrics: JsonObject
    """As in `metrics.json`."""
    windows: EvaluatedWindows
    galleries: Mapping[str, Gallery]
    """Those of `metrics`, by name."""
    dataset: WindowDataset
    """Where the windows can be read again."""
    log: Path
    """`metrics.csv` of the training; it need not be there."""


@dataclass(frozen=True)
class ClassifierFindings:
    """The test of an activity classifier: what was measured, and what it was measured on."""

    name: str
    """Of the experiment."""
    metrics: JsonObject
    """What `measure_classification` gives, with `checkpoint`, `sha256`, `epoch`, and `seen` (see `admission.leakage_warning`)."""
    predictions: Predictions
    log: Path
    """`metrics.csv` of the training; it need not be there."""
    subjects: Mapping[str, Sequence[str]]
    """By what was done with them: `train`, `val`, `test`, and `pretrain` where the encoder was pretrained."""
