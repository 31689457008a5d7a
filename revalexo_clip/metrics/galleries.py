"""Retrieval in three galleries: all windows; those of the same subject; those of the same subject and activity.

In the first it may be enough to distinguish subjects and places, in the second to distinguish activities. In the third
only the moment itself distinguishes the partner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import ClipBootstrap
from revalexo_clip.metrics.evaluated import Bools, EvaluatedWindows, Floats, Ints
from revalexo_clip.metrics.retrieval import Moments, Ranks, partner_ranks_within, score

WHOLE, SUBJECT, ACTIVITY = "retrieval", "retrieval_within_subject", "retrieval_within_subject_and_activity"
"""Names of the galleries in `metrics.json`."""
Direction = Literal["imu_to_video", "video_to_imu"]
DIRECTIONS: tuple[Direction, ...] = ("imu_to_video", "video_to_imu")
FIGURES = ("r_at_1", "r_at_5", "r_at_10", "mrr", "median_rank")

Measure = Callable[[str, Bools], JsonObject | None]
"""Measures the selected windows, [N], in the named gallery; None if none of them is in it."""


@dataclass(frozen=True)
class Gallery:
    """Ranks of M windows, each within its own group of the gallery."""

    rows: Ints
    """[M] indices of the windows."""
    clip_M: Ints
    ranks: Ranks

    def found_at(self, direction: Direction) -> Ints:
        """Return the rank of each window's partner, [M]."""
        return (self.ranks.imu_to_video_N if direction == "imu_to_video" else self.ranks.video_to_imu_N).numpy()

    def measure(self, selected_N: Bools, bootstrap: ClipBootstrap) -> JsonObject | None:
        """Return the metrics of the selected windows with intervals; None if none of them is in this gallery."""
        places = np.flatnonzero(selected_N[self.rows])
        if len(places) == 0:
            return None
        found = score(self.ranks, torch.from_numpy(places)).as_metrics()
        clip_M = self.clip_M[places]
        for direction in DIRECTIONS:
            of_direction = found[direction]
            assert isinstance(of_direction, dict)
            figure_R5 = resampled(self.found_at(direction)[places], clip_M, bootstrap)
            of_direction["interval"] = bootstrap.intervals(FIGURES, figure_R5, clip_M)
        return found


def rank_galleries(windows: EvaluatedWindows, tolerance: float = 0.0) -> dict[str, Gallery]:
    """Rank partners in each gallery; the third is missing if no window has an activity at the first horizon.

    Windows of a clip that start less than `tolerance` [s] apart count as one answer. Activities are those at the first
    horizon; windows without an activity are not in the third gallery.
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
    """Compute retrieval metrics in each gallery, over all windows, by subject and by activity."""

    def measure(name: str, selected_N: Bools) -> JsonObject | None:
        return galleries[name].measure(selected_N, bootstrap) if name in galleries else None

    return of_all_and_of_parts(windows, measure)


def of_all_and_of_parts(windows: EvaluatedWindows, measure: Measure) -> JsonObject:
    """Measure all windows in each gallery, and the windows of each of the `subjects` and `activities`."""
    subject_N, label_N = windows.of_subject(), windows.label_NK[:, 0].numpy()
    everyone = np.ones(len(windows), dtype=bool)
    measured: JsonObject = {name: measure(name, everyone) for name in (WHOLE, SUBJECT, ACTIVITY)}
    return measured | {
        "subjects": {
            subject: _part(windows, subject_N == number, measure) for number, subject in enumerate(windows.subjects)
        },
        "activities": {
            activity: _part(windows, label_N == number, measure)
            for number, activity in enumerate(windows.activities)
            if (label_N == number).any()
        },
    }


def _part(windows: EvaluatedWindows, selected_N: Bools, measure: Measure) -> JsonObject:
    """Measure one subject or activity: in the whole gallery, and under `within_...` in the others."""
    whole = measure(WHOLE, selected_N)
    assert whole is not None
    return {
        "windows": int(selected_N.sum()),
        "clips": len(np.unique(windows.clip_N.numpy()[selected_N])),
        **whole,
        **{name.removeprefix("retrieval_"): measure(name, selected_N) for name in (SUBJECT, ACTIVITY)},
    }


def values(rank_M: Ints) -> Floats:
    """Return the terms of the `FIGURES`, [M, 5]: means of the first four, and the median of the last."""
    return np.stack([*(rank_M <= k for k in (1, 5, 10)), 1 / rank_M, rank_M], axis=1).astype(np.float64)


def resampled(rank_M: Ints, clip_M: Ints, bootstrap: ClipBootstrap) -> Floats:
    """Compute the `FIGURES` of each resample, [R, 5]."""
    value_M5 = values(rank_M)
    means_R4, median_R = bootstrap.means(value_M5[:, :4], clip_M), bootstrap.medians(value_M5[:, 4], clip_M)
    return np.column_stack([means_R4, median_R])
