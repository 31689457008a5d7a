from __future__ import annotations

import numpy as np
import pytest

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics import neighbours
from revalexo_clip.metrics.evaluated import Floats
from revalexo_clip.metrics.neighbours import feature_rank, knn_macro_f1, next_window_mrr

WINDOW = 2.0


def plain_mrr(features_NF: Floats, subjects: list[int], recordings: list[int], times: list[float]) -> float | None:
    """Search each window's next window in a plain way; features are different for all windows."""
    x_NF = (features_NF - features_NF.mean(axis=0)) / features_NF.std(axis=0)
    x_NF /= np.linalg.norm(x_NF, axis=1, keepdims=True)
    found = []
    for i in range(len(times)):
        later = [j for j in range(len(times)) if recordings[j] == recordings[i] and times[j] >= times[i] + WINDOW]
        if not later or times[min(later, key=lambda j: times[j])] >= times[i] + 2 * WINDOW:
            continue
        partner = min(later, key=lambda j: times[j])
        gallery = [
            j
            for j in range(len(times))
            if subjects[j] == subjects[i] and (recordings[j] != recordings[i] or abs(times[j] - times[i]) >= WINDOW)
        ]
        found.append(1 / (1 + sum(x_NF[i] @ x_NF[j] > x_NF[i] @ x_NF[partner] for j in gallery)))
    return float(np.mean(found)) if found else None


def test_the_next_window_is_searched_as_in_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    recordings = [0] * 9 + [1] * 7 + [2] * 8
    times = [*np.arange(9) * 0.5, *np.arange(7) * 1.0, *np.arange(4) * 0.5, *(9 + np.arange(4) * 0.5)]
    subjects = [0 if recording < 2 else 1 for recording in recordings]
    features_NF = rng.normal(size=(len(times), 3)) * [1, 100, 0.01]
    where = np.array(subjects), np.array(recordings), np.array(times)
    found = next_window_mrr(features_NF, *where, WINDOW)
    assert found is not None
    assert found[0] == pytest.approx(plain_mrr(features_NF, subjects, recordings, times))
    order = rng.permutation(len(times))
    subject_N, recording_N, time_N = where
    shuffled = next_window_mrr(features_NF[order], subject_N[order], recording_N[order], time_N[order], WINDOW)
    assert shuffled == pytest.approx(found)


def test_features_that_are_all_alike_find_the_next_window_no_better_than_chance() -> None:
    time_N = np.arange(0, 80, 2, dtype=np.float64)
    zeros_N = np.zeros(40, dtype=np.int64)
    alike, following = np.ones((40, 4)), np.stack([np.cos(time_N / 100), np.sin(time_N / 100)], axis=1)
    mrr, chance = next_window_mrr(alike, zeros_N, zeros_N, time_N, WINDOW) or (0.0, 0.0)
    assert mrr < chance < 0.15
    mrr, chance = next_window_mrr(following, zeros_N, zeros_N, time_N, WINDOW) or (0.0, 0.0)
    assert mrr > 0.5 > chance
    assert feature_rank(alike) == 1.0


def test_without_next_windows_there_is_no_score() -> None:
    zeros_N = np.zeros(2, dtype=np.int64)
    assert next_window_mrr(np.eye(2), zeros_N, zeros_N, np.array([0.0, 9.0]), WINDOW) is None


def test_a_constant_offset_is_no_direction() -> None:
    rng = np.random.default_rng(1)
    features_NF = rng.normal(size=(500, 6))
    assert feature_rank(features_NF + 1000) == pytest.approx(feature_rank(features_NF))
    assert 5.5 < feature_rank(features_NF) <= 6


def test_neighbours_vote_across_subjects_only() -> None:
    rng = np.random.default_rng(2)
    subject_N, label_N = np.repeat([0, 1, 2], 40), np.tile([0, 1], 60)
    of_activity, of_subject = label_N[:, None] + rng.normal(0, 0.01, (120, 1)), subject_N[:, None] * 10.0
    assert knn_macro_f1(of_activity, label_N, subject_N) == pytest.approx(1.0)
    # What tells the windows of a subject apart, the other way round in each subject, does not help.
    turned = np.where(subject_N == 1, 1 - label_N, label_N)[:, None] + 0.0
    mixed = knn_macro_f1(np.concatenate([turned, of_subject], axis=1), label_N, subject_N)
    assert mixed is not None
    assert mixed < 0.7


def test_neighbours_need_labels_of_two_subjects() -> None:
    label_N, subject_N = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert knn_macro_f1(np.eye(4), np.where(subject_N == 1, UNLABELLED, label_N), subject_N) is None
    assert knn_macro_f1(np.eye(4), np.full(4, UNLABELLED), subject_N) is None


def test_of_many_windows_an_evenly_spaced_selection_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    features_NF, time_N, zeros_N = rng.normal(size=(20, 4)), np.arange(0, 40, 2.0), np.zeros(20, dtype=np.int64)
    monkeypatch.setattr(neighbours, "MOST", 1)
    found = next_window_mrr(features_NF, zeros_N, zeros_N, time_N, WINDOW)
    x_NF = (features_NF - features_NF.mean(axis=0)) / features_NF.std(axis=0)
    similarity_N = x_NF @ x_NF[0] / np.linalg.norm(x_NF, axis=1)
    rank = 1 + int((similarity_N[1:] > similarity_N[1]).sum())
    assert found == pytest.approx((1 / rank, np.mean(1 / np.arange(1, 20))))
