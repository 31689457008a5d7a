"""Simulated predictions of an activity classifier, without a model or data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.evaluated import Bools, Floats, Ints, Predictions

LENGTH = 12.0
"""Of a clip [s]."""
WINDOW = 2.0
STRIDE = 0.5
_NEAR = 0.6
"""How far from a change of activity the body is still between two [s]."""


def made_predictions(
    *,
    subjects: int = 2,
    clips: int = 7,
    horizons: Sequence[float] = (0.0, 0.5),
    activities: Sequence[str] = ("standing", "walking", "stairs_up", "stairs_down", "never"),
    skill: float = 0.95,
    skill_in_transition: float = 0.7,
    seed: int = 0,
) -> Predictions:
    """Clips of two to four activities, never the last of them; correctly predicted as often as the skill says.

    Nothing is labelled beyond a clip's end. Skill fades with the horizon, and is not the same for everybody.
    """
    rng = np.random.default_rng(seed)
    start_M = np.arange(0, LENGTH - WINDOW + STRIDE / 2, STRIDE)
    time_MK = start_M[:, None] + WINDOW + np.asarray(horizons)
    found = [_clip(time_MK, len(activities), rng) for _ in range(subjects * clips)]
    label_NK, transition_NK = (np.concatenate(parts) for parts in zip(*found, strict=True))
    clip_N = np.repeat(np.arange(subjects * clips), len(start_M))
    person_N1 = (clip_N // clips)[:, None]
    likely_NK = np.where(transition_NK, skill_in_transition, skill) - 0.03 * person_N1 - 0.08 * np.asarray(horizons)
    taken_NK = (label_NK + rng.choice([-1, 1], label_NK.shape)) % len(activities)
    right_NK = rng.random(label_NK.shape) < likely_NK
    says_NK = np.where(label_NK == UNLABELLED, 0, np.where(right_NK, label_NK, taken_NK))
    logits_NKA = rng.normal(size=(*label_NK.shape, len(activities))) + 9.0 * np.eye(len(activities))[says_NK]
    return Predictions(
        logits_NKA=logits_NKA.astype(np.float32),
        label_NK=label_NK,
        transition_NK=transition_NK,
        clip_N=clip_N,
        start_N=np.tile(start_M, subjects * clips),
        recording_N=clip_N,
        time_N=np.tile(start_M, subjects * clips),
        clip_subjects=tuple(f"Subject[{clip // clips}]" for clip in range(subjects * clips)),
        clip_names=tuple(f"Subject[{clip // clips}]/pair_{clip % clips}" for clip in range(subjects * clips)),
        activities=tuple(activities),
        horizons=tuple(horizons),
    )


def _clip(time_MK: Floats, activities: int, rng: np.random.Generator) -> tuple[Ints, Bools]:
    """Labels and transitions of a clip's windows, at these times in the clip [s]."""
    change_C = np.sort(rng.uniform(1.0, LENGTH - 1.0, size=rng.integers(1, min(activities - 1, 4))))
    done_C = rng.permutation(activities - 1)[: len(change_C) + 1]
    label_MK = done_C[np.searchsorted(change_C, time_MK)]
    near_MK = np.abs(time_MK[:, :, None] - change_C).min(axis=2) < _NEAR
    return np.where(time_MK <= LENGTH, label_MK, UNLABELLED), near_MK
