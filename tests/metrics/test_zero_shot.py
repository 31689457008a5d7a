"""Zero-shot classification and retrieval by sentences, against plain computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from revalexo_clip.metrics.blocks import time_units
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.zero_shot import chance_of, class_vectors, classify, measure_search, measure_zero_shot
from revalexo_clip.reports.values import measured

COUNT = 120


def bootstrap() -> TimeBootstrap:
    """Twelve recordings of two subjects, ten windows each."""
    recording_N = np.arange(COUNT) // 10
    subjects = [f"S{number % 2}" for number in recording_N]
    return TimeBootstrap(time_units(recording_N, np.arange(COUNT) % 10 / 2, subjects))


def unit(*shape: int) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    return torch.nn.functional.normalize(x, dim=-1)


def test_a_window_has_the_class_whose_mean_sentence_is_most_similar() -> None:
    sentences = {"a": unit(2, 6), "b": unit(3, 6), "c": unit(1, 6)}
    windows_ND = unit(COUNT, 6)
    expected = []
    for window_D in windows_ND:
        found = []
        for vectors_VD in sentences.values():
            mean_D = vectors_VD.mean(0)
            found.append(float(window_D @ mean_D / mean_D.norm()))
        expected.append(int(np.argmax(found)))
    assert classify(windows_ND, class_vectors(sentences)).tolist() == expected


def test_scores_are_those_of_scikit_learn_over_windows_with_a_class() -> None:
    rng = np.random.default_rng(0)
    true_N = rng.integers(-1, 4, COUNT)
    predicted_N = np.where(rng.random(COUNT) < 0.6, np.maximum(true_N, 0), rng.integers(0, 4, COUNT))
    found = measure_zero_shot(predicted_N, true_N, 4, bootstrap())
    known = true_N >= 0
    pair = true_N[known], predicted_N[known]
    assert found["windows"] == known.sum()
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(*pair))
    assert found["balanced_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(*pair))
    assert found["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(*pair, average="macro"))
    balanced = measured(found, "balanced_accuracy")
    assert balanced.value is not None
    assert balanced.interval is not None
    assert balanced.interval[0] < balanced.value < balanced.interval[1]


def test_chance_predicts_every_class_equally_often() -> None:
    true_N = np.array([0, 0, 0, 1, -1, 2, 2])
    guessed = np.random.default_rng(0).integers(0, 4, (4000, len(true_N)))
    known = true_N >= 0
    balanced = [np.mean([(one[true_N == label] == label).mean() for label in range(3)]) for one in guessed]
    found = chance_of(true_N, 4)
    assert found["accuracy"] == pytest.approx((guessed == true_N)[:, known].mean(), abs=0.01)
    assert found["balanced_accuracy"] == pytest.approx(np.mean(balanced), abs=0.01)
    assert chance_of(np.full(3, -1), 4)["accuracy"] is None


def test_the_rank_of_a_query_is_that_of_its_best_answer_among_all_others() -> None:
    query_MD, gallery_GD = unit(COUNT, 5), unit(30, 5)
    rng = np.random.default_rng(1)
    meaning_G = np.append(np.arange(8), rng.integers(0, 8, 22))
    meaning_M = rng.integers(0, 8, COUNT)
    ranks, chances = [], []
    for query_D, meaning in zip(query_MD, meaning_M, strict=True):
        similarity_G = (gallery_GD.double() @ query_D.double()).numpy()
        answers = meaning_G == meaning
        ranks.append(1 + int((similarity_G[~answers] > similarity_G[answers].max()).sum()))
        chances.append(answers.mean())
    boot = bootstrap()
    found = measure_search(query_MD, gallery_GD, meaning_M, meaning_G, unit_M=boot.unit_N, bootstrap=boot)
    assert found["mrr"] == pytest.approx(np.mean(1 / np.array(ranks)))
    assert found["r_at_5"] == pytest.approx(np.mean(np.array(ranks) <= 5))
    assert found["median_rank"] == np.median(ranks)
    assert (found["queries"], found["gallery_size"]) == (COUNT, 30)
    chance = found["chance"]
    assert isinstance(chance, dict)
    assert chance["r_at_1"] == pytest.approx(np.mean(chances))


def test_collapsed_vectors_retrieve_nothing() -> None:
    same = unit(1, 4).repeat(COUNT, 1)
    meaning_M, boot = np.arange(COUNT) % 4, bootstrap()
    found = measure_search(same, same, meaning_M, meaning_M, unit_M=boot.unit_N, bootstrap=boot)
    assert found["r_at_10"] == 0


def test_a_recall_that_a_small_gallery_makes_certain_has_no_interval() -> None:
    meaning_M, boot = np.arange(COUNT) % 10, bootstrap()
    found = measure_search(unit(COUNT, 5), unit(10, 5), meaning_M, np.arange(10), unit_M=boot.unit_N, bootstrap=boot)
    assert found["r_at_10"] == 1
    assert measured(found, "r_at_10").interval is None
    assert measured(found, "r_at_5").interval is not None
