"""Retrieval in three galleries: all windows; those of the same subject; those of the same subject and activity.

The first can be answered by telling people and places apart, the second by telling activities apart. Only the third
asks whether it is this moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from revalexo_clip.component import JsonObject
from revalexo_clip.measures.bootstrap import ClipBootstrap
from revalexo_clip.measures.windows import Bools, EvaluatedWindows, Floats, Ints
from revalexo_clip.retrieval import Moments, Ranks, partner_ranks_within, score

WHOLE, SUBJECT, ACTIVITY = "retrieval", "retrieval_within_subject", "retrieval_within_subject_and_activity"
"""Names of the galleries in `metrics.json`."""
_DIRECTIONS = ("imu_to_video", "video_to_imu")


@dataclass(frozen=True)
class Gallery:
    """Ranks of M windows, each in its own group of a gallery."""

    rows: Ints
    """[M] which windows they are."""
    clip_M: Ints
    ranks: Ranks

    def measure(self, asked_N: Bools, bootstrap: ClipBootstrap) -> JsonObject | None:
        """The measures over the windows that are asked about, with intervals; None where none of them is here."""
        places = np.flatnonzero(asked_N[self.rows])
        if len(places) == 0:
            return None
        found = score(self.ranks, torch.from_numpy(places)).as_metrics()
        clip_M = self.clip_M[places]
        for direction, ranks_M in zip(_DIRECTIONS, (self.ranks.imu_to_video_N, self.ranks.video_to_imu_N), strict=True):
            of_direction = found[direction]
            assert isinstance(of_direction, dict)
            of_direction["interval"] = _intervals(ranks_M.numpy()[places], clip_M, bootstrap)
        return found


def rank_galleries(windows: EvaluatedWindows, tolerance: float = 0.0) -> dict[str, Gallery]:
    """The galleries by name; the third is missing where no window has an activity at the first horizon.

    `tolerance` [s] lets windows of a clip that start less than this apart count as one answer. Activities are those at
    the first horizon; windows without one have no place in the third gallery.
    """
    subject_N, label_N = windows.of_subject(), windows.label_NK[:, 0].numpy()
    everyone, labelled = np.arange(len(windows)), np.flatnonzero(label_N >= 0)
    grouped = {WHOLE: (everyone, np.zeros_like(subject_N)), SUBJECT: (everyone, subject_N)}
    if len(labelled):
        grouped[ACTIVITY] = (labelled, (subject_N * len(windows.activities) + label_N)[labelled])
    return {name: _rank(windows, rows, group_M, tolerance) for name, (rows, group_M) in grouped.items()}


def _rank(windows: EvaluatedWindows, rows: Ints, group_M: Ints, tolerance: float) -> Gallery:
    of = torch.from_numpy(rows)
    moments = Moments(windows.clip_N[of], windows.start_N[of], tolerance) if tolerance else None
    ranks = partner_ranks_within(windows.imu_ND[of], windows.video_ND[of], torch.from_numpy(group_M), moments=moments)
    return Gallery(rows, windows.clip_N.numpy()[rows], ranks)


def measure_retrieval(
    windows: EvaluatedWindows, galleries: Mapping[str, Gallery], bootstrap: ClipBootstrap
) -> JsonObject:
    """Retrieval in each gallery, and the same figures for the windows of each subject and of each activity."""
    subject_N, label_N = windows.of_subject(), windows.label_NK[:, 0].numpy()
    everyone = np.ones(len(windows), dtype=bool)
    measured: JsonObject = {
        name: galleries[name].measure(everyone, bootstrap) if name in galleries else None
        for name in (WHOLE, SUBJECT, ACTIVITY)
    }
    return measured | {
        "subjects": {
            subject: _part(windows, galleries, subject_N == number, bootstrap)
            for number, subject in enumerate(windows.subjects)
        },
        "activities": {
            activity: _part(windows, galleries, label_N == number, bootstrap)
            for number, activity in enumerate(windows.activities)
            if (label_N == number).any()
        },
    }


def _intervals(rank_M: Ints, clip_M: Ints, bootstrap: ClipBootstrap) -> JsonObject:
    value_M4: Floats = np.stack([*(rank_M <= k for k in (1, 5, 10)), 1 / rank_M], axis=1).astype(np.float64)
    resampled = [*bootstrap.means(value_M4, clip_M).T, bootstrap.medians(rank_M.astype(np.float64), clip_M)]
    intervals = [bootstrap.interval(figure_R, clip_M) for figure_R in resampled]
    names = ("r_at_1", "r_at_5", "r_at_10", "mrr", "median_rank")
    return {name: interval and list(interval) for name, interval in zip(names, intervals, strict=True)}


def _part(
    windows: EvaluatedWindows,
    galleries: Mapping[str, Gallery],
    asked_N: Bools,
    bootstrap: ClipBootstrap,
) -> JsonObject:
    """Of one subject or activity: the whole gallery's figures, and under `within_...` those of the others."""
    whole = galleries[WHOLE].measure(asked_N, bootstrap)
    assert whole is not None
    return {
        "windows": int(asked_N.sum()),
        "clips": len(np.unique(windows.clip_N.numpy()[asked_N])),
        **whole,
        **{
            name.removeprefix("retrieval_"): galleries[name].measure(asked_N, bootstrap) if name in galleries else None
            for name in (SUBJECT, ACTIVITY)
        },
    }
