"""Summarize the results of variants at each share of the labels, and their differences from the first variant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.finetuning.variants import VARIANTS, Variant
from revalexo_clip.metrics.bootstrap import ClipBootstrap, interval_reason
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES, measure
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.metrics.paired_differences import check_same_windows, compare_classifiers
from revalexo_clip.metrics.per_horizon import outputs_at

_TAKEN = ("checkpoint", "sha256", "epoch", "seen")
"""Fields copied from the `metrics.json` of a variant."""


@dataclass(frozen=True)
class Outcome:
    """Files with the test results of a variant."""

    predictions: Path
    metrics: Path


def summarize(
    done: Mapping[Variant, Outcome],
    variants: Sequence[Variant],
    labels: Mapping[float, int],
    failures: Mapping[str, str],
) -> JsonObject:
    """Return the content of `comparison.json`, which docs/metrics.md documents.

    `variants` are all variants, `done` the files of those that are done. `labels` is the number of training windows at
    each share of the labels. Raises `DataError`, naming the file, if predictions cannot be read or are of different
    windows.
    """
    found = {variant: read_predictions(outcome.predictions) for variant, outcome in done.items()}
    first = next(iter(found.values()), None)
    for variant, predictions in found.items():
        assert first is not None
        try:
            check_same_windows(predictions, first)
        except DataError as error:
            raise DataError(f"{done[variant].predictions}: {error}") from error
    tested = np.unique(first.clip_N) if first else ()
    subjects = sorted({first.clip_subjects[clip] for clip in tested}) if first else []
    bootstrap = ClipBootstrap(first.clip_subjects) if first else None
    kinds = list(dict.fromkeys(variant.kind for variant in variants))
    return {
        "windows": len(first) if first else 0,
        "clips": len(tested),
        "subjects": [*subjects],
        "interval_reason": interval_reason(len(tested), len(subjects)),
        "horizons": [*first.horizons] if first else [],
        "variants": {kind: VARIANTS[kind] for kind in kinds},
        "baseline": kinds[0],
        "labels": [
            {
                "fraction": fraction,
                "training_windows": count,
                **_at_fraction(
                    {
                        variant.kind: (done[variant], found[variant])
                        for variant in found
                        if variant.fraction == fraction
                    },
                    kinds[0],
                    bootstrap,
                ),
            }
            for fraction, count in labels.items()
        ],
        "unfinished": {variant.name: failures.get(variant.name) for variant in variants if variant not in found},
    }


def _at_fraction(
    found: Mapping[str, tuple[Outcome, Predictions]], reference: str, bootstrap: ClipBootstrap | None
) -> JsonObject:
    """Return the scores of the variants that are done, and their differences from `reference` if that is done."""
    if bootstrap is None:
        return {"variants": {}, "differences": {}}
    others = {kind: predictions for kind, (_, predictions) in found.items() if kind != reference}
    against = found.get(reference)
    return {
        "variants": {kind: _figures(outcome, predictions, bootstrap) for kind, (outcome, predictions) in found.items()},
        "differences": {}
        if against is None
        else {kind: compare_classifiers(other, against[1], bootstrap) for kind, other in others.items()},
    }


def _figures(outcome: Outcome, predictions: Predictions, bootstrap: ClipBootstrap) -> JsonObject:
    """Return the checkpoint of a variant, and its scores at each horizon, in each of the `SETS`."""
    metrics = _read(outcome.metrics)
    horizons: list[JsonValue] = [
        {
            "horizon": horizon,
            **{
                among: measure(rows, bootstrap, CLASSIFICATION_SCORES)
                for among, rows in outputs_at(predictions, k).items()
            },
        }
        for k, horizon in enumerate(predictions.horizons)
    ]
    return {**{name: metrics[name] for name in _TAKEN}, "horizons": horizons}


def _read(path: Path) -> JsonObject:
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(metrics, dict) or not set(_TAKEN) <= set(metrics):
        raise DataError(f"{path}: not the results of an activity classifier")
    return metrics
