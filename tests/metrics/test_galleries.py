"""Galleries of clips that share seconds: a moment counts once, and the same-clip gallery asks for it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from support.made_windows import (
    knowing_the_clip,
    knowing_the_moment,
    made_pieces,
    made_windows,
)

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.galleries import (
    ACTIVITY,
    ALL_GALLERIES,
    CLIP,
    DIRECTIONS,
    WHOLE,
    distinct_rows,
    measure_retrieval,
    rank_galleries,
)


def measured(windows: EvaluatedWindows, tolerance: float = 0.0) -> JsonObject:
    bootstrap = TimeBootstrap(units_of(windows), resamples=500)
    return measure_retrieval(windows, rank_galleries(windows, tolerance), bootstrap)


def figure(found: JsonObject, gallery: str, direction: str, name: str) -> float:
    of_gallery = cast("JsonObject", found[gallery])
    return cast("float", cast("JsonObject", of_gallery[direction])[name])


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_a_perfect_model_is_perfect_in_every_gallery(distinct: bool, tolerance: float) -> None:
    windows = knowing_the_moment(made_pieces(clips=8, distinct=distinct))
    found = measured(windows, tolerance)
    for gallery in ALL_GALLERIES:
        for direction in DIRECTIONS:
            assert figure(found, gallery, direction, "r_at_1") == 1.0
            assert figure(found, gallery, direction, "mrr") == 1.0


def test_of_windows_of_one_moment_one_is_in_the_galleries() -> None:
    twice, once = made_pieces(clips=8, distinct=False), made_pieces(clips=8)
    assert len(twice) == 8 * 21
    assert len(once) == 8 * 16 + 5  # neighbours share five starts
    found = measured(knowing_the_moment(twice))
    assert cast("JsonObject", found[WHOLE])["gallery_size"] == len(once)
    times = twice.time_N[distinct_rows(twice)].tolist()
    assert sorted(times) == sorted(once.time_N.tolist())


def test_the_copy_with_an_activity_is_kept() -> None:
    windows = made_pieces(clips=2, distinct=False)
    label_NK = windows.label_NK.clone()
    label_NK[windows.clip_N == 0] = -1
    kept = distinct_rows(replace(windows, label_NK=label_NK))
    assert windows.clip_N[kept].bincount().tolist() == [16, 21]


def test_equal_times_of_different_recordings_are_different_moments() -> None:
    windows = made_windows(subjects=2)
    assert distinct_rows(windows).tolist() == list(range(len(windows)))


def test_knowledge_of_the_clip_is_chance_in_the_same_clip_alone() -> None:
    found = measured(knowing_the_clip(made_pieces(subjects=2, recordings=4)))
    for direction in DIRECTIONS:
        for gallery, above in ((WHOLE, True), (ACTIVITY, True), (CLIP, False)):
            value = figure(found, gallery, direction, "mrr")
            chance = figure(found, gallery, "chance", "mrr")
            assert (value > 1.5 * chance) == above
        low, high = cast("list[float]", cast("JsonObject", figure(found, CLIP, direction, "interval"))["mrr"])
        assert low <= figure(found, CLIP, "chance", "mrr") <= high


@pytest.mark.parametrize("seed", range(3))
def test_the_same_clip_gallery_ranks_windows_of_one_clip(seed: int) -> None:
    windows = made_windows(subjects=2)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))
    fields = ("imu_ND", "video_ND", "label_NK", "transition_NK", "clip_N", "start_N", "recording_N", "time_N")
    shuffled = replace(windows, **{name: getattr(windows, name)[order] for name in fields})
    similarity_NN = shuffled.imu_ND.double().numpy() @ shuffled.video_ND.double().numpy().T
    clip_N = shuffled.clip_N.numpy()
    better_NN = (similarity_NN > similarity_NN.diagonal()[:, None]) & (clip_N[:, None] == clip_N)
    gallery = rank_galleries(shuffled)[CLIP]
    assert gallery.found_at("imu_to_video").tolist() == (better_NN.sum(axis=1) + 1)[gallery.rows].tolist()
    assert set(gallery.ranks.gallery_N.tolist()) == {8}


def test_every_subject_and_activity_has_results_in_every_gallery() -> None:
    found = measured(knowing_the_moment(made_pieces(subjects=2, recordings=2)))
    for kind in ("subjects", "activities"):
        for part in cast("dict[str, JsonObject]", found[kind]).values():
            assert {"within_subject", "within_subject_and_activity", "within_clip"} < set(part)
            assert figure(part, "within_clip", "imu_to_video", "r_at_1") == 1.0


def test_tolerance_goes_by_time_and_not_by_clip() -> None:
    """The last window of a clip and the first of the next one that are 0.5 s apart are one answer."""
    windows = made_pieces(clips=2)
    first = rank_galleries(windows, tolerance=0.6)[WHOLE]
    counts = first.ranks.answers_N.numpy()
    assert counts[np.argsort(windows.time_N.numpy())].tolist() == [2, *[3] * (len(windows) - 2), 2]


def test_intervals_between_subjects_need_six_of_them() -> None:
    for subjects in (5, 6):
        windows = knowing_the_moment(made_pieces(subjects=subjects, clips=3), noise=1.0)
        found = cast("JsonObject", cast("JsonObject", measured(windows)[CLIP])["imu_to_video"])
        assert (found["between_subjects"] is None) == (subjects < 6)
