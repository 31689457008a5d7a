"""Retrieval in four galleries: all windows; same subject; same subject and activity; same clip.

In the first it may be enough to distinguish subjects and places, in the second to distinguish activities, in the third
to distinguish clips. Only in the last is it the moment that distinguishes the partner, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.between_subjects import between_subjects
from revalexo_clip.metrics.bootstrap import SHARE, TimeBootstrap
from revalexo_clip.metrics.evaluated import Bools, EvaluatedWindows, Floats, Ints
from revalexo_clip.metrics.exact_bounds import Range
from revalexo_clip.metrics.retrieval import Moments, Ranks, partner_ranks_within, score

WHOLE, SUBJECT, ACTIVITY = "retrieval", "retrieval_within_subject", "retrieval_within_subject_and_activity"
CLIP = "retrieval_within_clip"
ALL_GALLERIES = (WHOLE, SUBJECT, ACTIVITY, CLIP)
"""Names of the galleries in `metrics.json`."""
Direction = Literal["imu_to_video", "video_to_imu"]
DIRECTIONS: tuple[Direction, ...] = ("imu_to_video", "video_to_imu")
FIGURES = ("r_at_1", "r_at_5", "r_at_10", "mrr", "median_rank")
RANGES: Mapping[str, Range] = {**dict.fromkeys(FIGURES[:4], SHARE), "median_rank": (1.0, np.inf)}

Measure = Callable[[str, Bools], JsonObject | None]
"""Measures the selected windows, [N], in the named gallery; None if none of them is in it."""
_TIME_DECIMALS = 6
"""Decimals to which times [s] are rounded before they are compared."""


@dataclass(frozen=True)
class Gallery:
    """Ranks of M windows, each within its own group of the gallery."""

    rows: Ints
    """[M] indices of the windows."""
    ranks: Ranks

    def found_at(self, direction: Direction) -> Ints:
        """Return the rank of each window's partner, [M]."""
        return (self.ranks.imu_to_video_N if direction == "imu_to_video" else self.ranks.video_to_imu_N).numpy()

    def measure(self, selected_N: Bools, bootstrap: TimeBootstrap) -> JsonObject | None:
        """Return the metrics of the selected windows with intervals; None if none of them is in this gallery."""
        places = np.flatnonzero(selected_N[self.rows])
        if len(places) == 0:
            return None
        found = score(self.ranks, torch.from_numpy(places)).as_metrics()
        unit_M = bootstrap.unit_N[self.rows[places]]
        for direction in DIRECTIONS:
            of_direction = found[direction]
            assert isinstance(of_direction, dict)
            rank_M = self.found_at(direction)[places]
            figure_R5 = resampled(rank_M, unit_M, bootstrap)
            figure_R5[:, certain(int(self.ranks.gallery_N.numpy()[places].max()))] = np.nan
            of_direction["interval"] = bootstrap.intervals(FIGURES, figure_R5, unit_M, RANGES)
            own_S5 = of_each_subject(rank_M, bootstrap.subject_U[unit_M])
            of_direction["between_subjects"] = between_subjects(FIGURES, own_S5, RANGES)
        return found


def rank_galleries(
    windows: EvaluatedWindows, tolerance: float = 0.0, names: Collection[str] = ALL_GALLERIES
) -> dict[str, Gallery]:
    """Rank partners in each named gallery; that of `ACTIVITY` is missing if no window has one at the first horizon.

    Of windows that show the same moment of a recording, because clips share it, one is in the galleries and asked
    about. Windows of a recording that start less than `tolerance` [s] apart count as one answer. Activities are those
    at the first horizon; windows without an activity are not in the gallery of `ACTIVITY`.
    """
    subject_N, label_N = windows.of_subject(), windows.label_NK[:, 0].numpy()
    distinct = distinct_rows(windows)
    labelled = distinct[label_N[distinct] >= 0]
    grouped = {WHOLE: (distinct, np.zeros_like(subject_N)), SUBJECT: (distinct, subject_N)}
    if len(labelled):
        grouped[ACTIVITY] = (labelled, subject_N * len(windows.activities) + label_N)
    grouped[CLIP] = (distinct, windows.clip_N.numpy())
    return {
        name: _rank(windows, rows, group_N[rows], tolerance)
        for name, (rows, group_N) in grouped.items()
        if name in names
    }


def distinct_rows(windows: EvaluatedWindows) -> Ints:
    """Return one window of each moment, in ascending order: if possible one with an activity at the first horizon."""
    time_N = windows.time_N.numpy().round(_TIME_DECIMALS)
    recording_N, unlabelled_N = windows.recording_N.numpy(), windows.label_NK[:, 0].numpy() < 0
    order_N = np.lexsort((np.arange(len(windows)), unlabelled_N, time_N, recording_N))
    same_N = (np.diff(recording_N[order_N]) == 0) & (np.diff(time_N[order_N]) == 0)
    return np.sort(order_N[np.append(True, ~same_N)])


def _rank(windows: EvaluatedWindows, rows: Ints, group_M: Ints, tolerance: float) -> Gallery:
    of = torch.from_numpy(rows)
    moments = Moments(windows.recording_N[of], windows.time_N[of], tolerance) if tolerance else None
    ranks = partner_ranks_within(windows.imu_ND[of], windows.video_ND[of], torch.from_numpy(group_M), moments=moments)
    return Gallery(rows, ranks)


def measure_retrieval(
    windows: EvaluatedWindows, galleries: Mapping[str, Gallery], bootstrap: TimeBootstrap
) -> JsonObject:
    """Compute retrieval metrics in each gallery, over all windows, by subject and by activity."""

    def measure(name: str, selected_N: Bools) -> JsonObject | None:
        return galleries[name].measure(selected_N, bootstrap) if name in galleries else None

    return of_all_and_of_parts(windows, measure)


def count_parts(windows: EvaluatedWindows) -> JsonObject:
    """Return what `measure_retrieval` returns, for a model of IMU alone: no galleries, and the size of each part."""
    sized = of_all_and_of_parts(windows, lambda name, selected_N: {} if name == WHOLE and selected_N.any() else None)
    return {**sized, WHOLE: None}


def of_all_and_of_parts(windows: EvaluatedWindows, measure: Measure) -> JsonObject:
    """Measure all windows in each gallery, and the windows of each of the parts.

    Parts are the windows in which the body is still or moves, those of each subject, and those of each activity.
    """
    everyone = np.ones(len(windows), dtype=bool)
    measured: JsonObject = {name: measure(name, everyone) for name in ALL_GALLERIES}
    moving_N = np.full(len(windows), -1) if windows.moving_N is None else windows.moving_N.numpy().astype(np.int64)
    return measured | {
        "motion": _parts(windows, ("still", "moving"), moving_N, measure),
        "subjects": _parts(windows, windows.subjects, windows.of_subject(), measure),
        "activities": _parts(windows, windows.activities, windows.label_NK[:, 0].numpy(), measure),
    }


def _parts(windows: EvaluatedWindows, names: Sequence[str], part_N: Ints, measure: Measure) -> JsonObject:
    """Measure each part with windows: in the whole gallery, and under `within_...` in the others."""
    found = {name: _part(windows, part_N == number, measure) for number, name in enumerate(names)}
    return {name: part for name, part in found.items() if part is not None}


def _part(windows: EvaluatedWindows, selected_N: Bools, measure: Measure) -> JsonObject | None:
    """Measure some windows, which are compared with all windows of each gallery; None if none of them is in it."""
    whole = measure(WHOLE, selected_N)
    if whole is None:
        return None
    inner = {one.removeprefix("retrieval_"): measure(one, selected_N) for one in ALL_GALLERIES if one != WHOLE}
    clips = len(np.unique(windows.clip_N.numpy()[selected_N]))
    return {"windows": int(selected_N.sum()), "clips": clips, **whole, **inner}


def values(rank_M: Ints) -> Floats:
    """Return the terms of the `FIGURES`, [M, 5]: means of the first four, and the median of the last."""
    return np.stack([*(rank_M <= k for k in (1, 5, 10)), 1 / rank_M, rank_M], axis=1).astype(np.float64)


def certain(gallery: int) -> list[bool]:
    """Return which of the `FIGURES` could not be other than they are, [5]: R@10 of at most ten entries is 100%."""
    return [gallery <= k for k in (1, 5, 10, 1, 1)]


def resampled(rank_M: Ints, unit_M: Ints, bootstrap: TimeBootstrap) -> Floats:
    """Compute the `FIGURES` of each resample, [R, 5]."""
    value_M5 = values(rank_M)
    means_R4, median_R = bootstrap.means(value_M5[:, :4], unit_M), bootstrap.medians(value_M5[:, 4], unit_M)
    return np.column_stack([means_R4, median_R])


def figures(rank_M: Ints) -> Floats:
    """Compute the `FIGURES`, [5]."""
    return np.append(values(rank_M)[:, :4].mean(axis=0), np.median(rank_M))


def of_each_subject(rank_M: Ints, subject_M: Ints) -> Floats:
    """Compute the `FIGURES` of the windows of each subject, [S, 5]."""
    return np.stack([figures(rank_M[subject_M == subject]) for subject in np.unique(subject_M)])
