"""A comparison of variants as in `comparison.json`, from simulated predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.evaluation.storage import write_predictions
from revalexo_clip.finetuning.variant_summary import Outcome, summarize
from revalexo_clip.finetuning.variants import Variant, make_variants
from revalexo_clip.metrics.evaluated import Predictions
from support.made_predictions import made_predictions

KINDS = ("scratch", "frozen", "full")
LABELS = {0.1: 40, 1.0: 400}
"""Number of training windows by share of the labels."""
SKILLS = {
    "scratch-10": (0.55, 0.55),
    "frozen-10": (0.45, 0.65),
    "full-10": (0.95, 0.95),
    "scratch-100": (0.9, 0.9),
    "frozen-100": (0.4, 0.4),
    "full-100": (0.9, 0.9),
}
"""In every other window, and in those between."""


def predictions_of(variant: Variant, clips: int = 7) -> Predictions:
    """Return predictions of the same windows by each variant."""
    one, other = (
        made_predictions(skill=skill, skill_in_transition=skill - 0.2, clips=clips) for skill in SKILLS[variant.name]
    )
    logits_NKA = one.logits_NKA.copy()
    logits_NKA[1::2] = other.logits_NKA[1::2]
    return replace(one, logits_NKA=logits_NKA)


def write_outcome(
    folder: Path,
    predictions: Predictions,
    seen: Mapping[str, list[str]] | None = None,
    never_trained: Sequence[str] = (),
) -> Outcome:
    """Return the files of a variant's test."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(folder / "predictions.h5", folder / "metrics.json")
    write_predictions(outcome.predictions, predictions, {})
    metrics = {
        "checkpoint": "best.ckpt",
        "sha256": "0",
        "epoch": 3,
        "seen": seen or {"train": [], "val": []},
        "never_trained": [*never_trained],
    }
    outcome.metrics.write_text(json.dumps(metrics))
    return outcome


def made_comparison(
    folder: Path,
    *,
    missing: Mapping[str, str] | None = None,
    clips: int = 7,
    seen: Mapping[str, list[str]] | None = None,
    never_trained: Sequence[str] = (),
) -> JsonObject:
    """Three variants at two shares of the labels; `missing` have failed."""
    failures = missing or {}
    variants = make_variants(KINDS, list(LABELS))
    done = {
        variant: write_outcome(
            folder / variant.name,
            predictions_of(variant, clips),
            None if variant.kind == "scratch" else seen,
            never_trained,
        )
        for variant in variants
        if variant.name not in failures
    }
    about: JsonObject = {"experiment": "<b>activity classifier", "encoder": "runs/demo"}
    return about | summarize(done, variants, LABELS, failures)
