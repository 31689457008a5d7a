"""Summary of a comparison of variants: scores at each share of the labels, and differences to the first variant."""

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
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES, NOT_IN_TRAINING, measure
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.metrics.paired_differences import check_same_windows, compare_classifiers
from revalexo_clip.metrics.per_horizon import not_in_training, outputs_at

_TAKEN = ("checkpoint", "sha256", "epoch", "seen", "never_trained")
"""Fields that are copied from a variant's own `metrics.json`."""
_WITHOUT_RESULTS: JsonObject = {"interval_unit": None, "interval_reason": "no variant has a result"}


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
    """Return the content of `comparison.json` for all `variants`, finished or not; see docs/metrics.md.

    `labels` is the number of training windows at each share of the labels. Raises `DataError`, naming the file, if
    predictions cannot be read or have other windows than those before.
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
    bootstrap = TimeBootstrap(units_of(first)) if first else None
    kinds = list(dict.fromkeys(variant.kind for variant in variants))
    return {
        "windows": len(first) if first else 0,
        "clips": len(tested),
        "subjects": [*subjects],
        **(bootstrap.units.as_metrics() if bootstrap else _WITHOUT_RESULTS),
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
    found: Mapping[str, tuple[Outcome, Predictions]], reference: str, bootstrap: TimeBootstrap | None
) -> JsonObject:
    """Return the results of the finished variants, and their differences to the first if that is finished."""
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


def _figures(outcome: Outcome, predictions: Predictions, bootstrap: TimeBootstrap) -> JsonObject:
    """Return the checkpoint, and its scores at each horizon in each of the `SETS`."""
    metrics = _read(outcome.metrics)
    named = metrics["never_trained"]
    never_trained = list(map(str, named)) if isinstance(named, list) else None
    horizons: list[JsonValue] = [
        {
            "horizon": horizon,
            **{
                among: {
                    **measure(rows, bootstrap, CLASSIFICATION_SCORES),
                    NOT_IN_TRAINING: not_in_training(rows, predictions.activities, never_trained),
                }
                for among, rows in outputs_at(predictions, k, bootstrap.unit_N).items()
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
