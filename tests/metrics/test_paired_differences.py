"""Differences and their paired intervals, compared with a plain bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from pydantic import JsonValue
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score
from support.made_windows import made_windows
from support.units import bootstrap_of

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import Bools, EvaluatedWindows, Ints
from revalexo_clip.metrics.galleries import ALL_GALLERIES, measure_retrieval, rank_galleries
from revalexo_clip.metrics.paired_differences import COMPARED, Outcome, differences, significance
from revalexo_clip.metrics.probe import PROBES
from revalexo_clip.metrics.probe_results import probe_windows

Figure = Callable[[Ints], float]
"""Of the windows of some rows."""


def child(found: JsonObject, *path: str | int) -> JsonObject:
    value: JsonValue = found
    for name in path:
        value = cast("dict[str | int, JsonValue]", value)[name]
    return cast("JsonObject", value)


def measured(noise: float) -> tuple[EvaluatedWindows, Outcome]:
    """Simulated windows whose video embeddings are at a given distance from those of IMU, and their results."""
    windows = made_windows(subjects=2)
    rng = torch.Generator().manual_seed(1)
    video_ND = windows.imu_ND + noise * torch.randn(windows.imu_ND.shape, generator=rng)
    features = {name: x_NF + noise * torch.randn(x_NF.shape, generator=rng) for name, x_NF in windows.features.items()}
    moved = EvaluatedWindows(
        **{**vars(windows), "video_ND": torch.nn.functional.normalize(video_ND, dim=1), "features": features}
    )
    predictions = probe_windows(moved, None, TimeBootstrap(units_of(moved), resamples=2)).predictions
    return moved, Outcome(rank_galleries(moved), predictions)


WINDOWS, ONE = measured(0.4)
OTHER_WINDOWS, OTHER = measured(1.0)
CLIP_N = WINDOWS.clip_N.numpy()
BOOTSTRAP = TimeBootstrap(units_of(WINDOWS), resamples=40)


@pytest.fixture(scope="module")
def found() -> JsonObject:
    return differences(ONE, OTHER, WINDOWS, BOOTSTRAP)


def plain_difference(one: Figure, other: Figure, row_M: Ints) -> tuple[float, tuple[float, float]]:
    """Return the difference of two metrics, and its 95% interval, with the same resamples of clips for both."""
    clip_M = CLIP_N[row_M]
    drawn = [np.repeat(row_M, weight_J.astype(int)[clip_M]) for weight_J in BOOTSTRAP.weight_RU]
    difference_R = [one(rows) - other(rows) for rows in drawn]
    clips, subjects = len(np.unique(clip_M)), 2
    tail = stats.norm.cdf(np.sqrt(clips / (clips - subjects)) * stats.t.ppf(0.025, clips - subjects))
    low, high = np.quantile(difference_R, [tail, 1 - tail])
    return one(row_M) - other(row_M), (float(low), float(high))


RETRIEVAL: dict[str, Callable[[Ints], float]] = {
    "r_at_1": lambda rank_M: float(np.mean(rank_M <= 1)),
    "r_at_5": lambda rank_M: float(np.mean(rank_M <= 5)),
    "r_at_10": lambda rank_M: float(np.mean(rank_M <= 10)),
    "mrr": lambda rank_M: float(np.mean(1 / rank_M)),
    "median_rank": lambda rank_M: float(np.median(rank_M)),
}


def plain_ranks(query_ND: torch.Tensor, gallery_ND: torch.Tensor, same_NN: Bools) -> Ints:
    similarity_NN = query_ND.double().numpy() @ gallery_ND.double().numpy().T
    return np.asarray(((similarity_NN > similarity_NN.diagonal()[:, None]) & same_NN).sum(axis=1) + 1)


def same_gallery(gallery: str) -> Bools:
    """Return [N, N] bool: which windows are compared with which."""
    subject_N, label_N = WINDOWS.of_subject(), WINDOWS.label_NK[:, 0].numpy()
    same_NN = np.ones((len(WINDOWS), len(WINDOWS)), dtype=bool)
    if "subject" in gallery:
        same_NN &= subject_N[:, None] == subject_N
    if "activity" in gallery:
        same_NN &= label_N[:, None] == label_N
    if "clip" in gallery:
        same_NN &= CLIP_N[:, None] == CLIP_N
    return same_NN


@pytest.mark.parametrize("gallery", ALL_GALLERIES)
@pytest.mark.parametrize("name", list(RETRIEVAL))
def test_differences_in_retrieval_are_those_of_a_plain_paired_bootstrap(
    found: JsonObject, gallery: str, name: str
) -> None:
    everyone, figure = np.arange(len(WINDOWS)), RETRIEVAL[name]
    for direction, query, answer in (("imu_to_video", "imu_ND", "video_ND"), ("video_to_imu", "video_ND", "imu_ND")):
        one_N, other_N = (
            plain_ranks(getattr(windows, query), getattr(windows, answer), same_gallery(gallery))
            for windows in (WINDOWS, OTHER_WINDOWS)
        )

        def of_one(rows: Ints, rank_N: Ints = one_N) -> float:
            return figure(rank_N[rows])

        def of_other(rows: Ints, rank_N: Ints = other_N) -> float:
            return figure(rank_N[rows])

        value, ends = plain_difference(of_one, of_other, everyone)
        of_direction = child(found, gallery, direction)
        assert of_direction[name] == pytest.approx(value)
        expected = None if ends == (0.0, 0.0) else pytest.approx(ends)  # the ten first of eight windows are all of them
        assert child(of_direction, "interval")[name] == expected


SCORES: dict[str, Callable[[Ints, Ints], float]] = {
    "accuracy": accuracy_score,
    "macro_f1": lambda true_M, found_M: float(f1_score(true_M, found_M, average="macro", zero_division=0)),
    "weighted_f1": lambda true_M, found_M: float(f1_score(true_M, found_M, average="weighted", zero_division=0)),
}


@pytest.mark.long
@pytest.mark.parametrize("name", list(SCORES))
def test_differences_of_probes_are_those_of_a_plain_paired_bootstrap(found: JsonObject, name: str) -> None:
    score, k = SCORES[name], 1
    label_N, transition_N = WINDOWS.label_NK[:, k].numpy(), WINDOWS.transition_NK[:, k].numpy()
    one_N, other_N = (outcome.predictions["knn/both"][:, k] for outcome in (ONE, OTHER))
    at_horizon = child(found, "probe", "knn", "both", k)
    assert at_horizon["horizon"] == WINDOWS.horizons[k]
    for among, row_M in (("all", np.arange(len(WINDOWS))), ("transition", np.flatnonzero(transition_N))):
        value, ends = plain_difference(
            lambda rows: score(label_N[rows], one_N[rows]), lambda rows: score(label_N[rows], other_N[rows]), row_M
        )
        figures = child(at_horizon, among)
        assert figures["windows"] == len(row_M)
        assert figures[name] == pytest.approx(value)
        assert child(figures, "interval")[name] == pytest.approx(ends)


def test_differences_have_the_names_of_what_they_are_of(found: JsonObject) -> None:
    figures = measure_retrieval(WINDOWS, ONE.galleries, BOOTSTRAP)
    assert {*found} == {*figures, "probe"}
    for kind in ("subjects", "activities"):
        for part, own in child(found, kind).items():
            assert isinstance(own, dict)
            assert {*own} == {*child(figures, kind, part)} - {"chance", "gallery_size"}
    assert {*child(found, "probe")} == {*PROBES}
    assert {*child(found, "probe", "linear")} == {*COMPARED}


def test_a_part_s_differences_are_those_of_its_own_windows(found: JsonObject) -> None:
    rows = np.flatnonzero(WINDOWS.of_subject() == 1)
    one_N, other_N = (
        plain_ranks(windows.imu_ND, windows.video_ND, same_gallery("subject")) for windows in (WINDOWS, OTHER_WINDOWS)
    )
    own = child(found, "subjects", WINDOWS.subjects[1], "within_subject", "imu_to_video")
    assert own["mrr"] == pytest.approx(np.mean(1 / one_N[rows]) - np.mean(1 / other_N[rows]))


def test_paired_intervals_find_differences_that_separate_intervals_miss() -> None:
    """The same clips are hard for both; one is slightly better in all clips."""
    rng = np.random.default_rng(0)
    clip_N = np.repeat(np.arange(12), 6)
    bootstrap = bootstrap_of(["a"] * 12)
    hard_N = rng.normal(0, 1, 12)[clip_N]
    one_N1, other_N1 = (hard_N + shift + rng.normal(0, 0.1, 72) for shift in (0.2, 0.0))
    one_R, other_R = (bootstrap.means(value_N[:, None], clip_N)[:, 0] for value_N in (one_N1, other_N1))
    one, other, paired = (bootstrap.interval(figure_R, clip_N) for figure_R in (one_R, other_R, one_R - other_R))
    assert one is not None
    assert other is not None
    assert paired is not None
    assert one[0] < other[1]
    assert paired[0] > 0


def test_a_checkpoint_is_the_same_as_its_copy() -> None:
    found = differences(ONE, ONE, WINDOWS, BOOTSTRAP)
    for figures in (
        child(found, "retrieval", "video_to_imu"),
        child(found, "retrieval_within_subject_and_activity", "imu_to_video"),
        child(found, "probe", "linear", "imu", 0, "steady"),
    ):
        names = set(figures) - {"interval", "p_value", "between_subjects", "significant", "windows"}
        assert {figures[name] for name in names} == {0.0}
        assert set(child(figures, "interval").values()) == {None}
        assert child(figures, "significant") == dict.fromkeys(names, "same")


def test_equal_figures_of_other_windows_are_not_the_same() -> None:
    """Each classifies one window wrongly that the other classifies correctly."""
    label_NK, predicted = WINDOWS.label_NK.numpy(), dict(ONE.predictions)
    wrong = []
    for row in (0, 8):
        predicted_NK = label_NK.copy()
        predicted_NK[row] = 1 - predicted_NK[row]
        wrong.append(Outcome(ONE.galleries, predicted | {"linear/imu": predicted_NK}))
    figures = child(differences(wrong[0], wrong[1], WINDOWS, BOOTSTRAP), "probe", "linear", "imu", 0, "all")
    assert figures["accuracy"] == 0
    assert child(figures, "significant") == dict.fromkeys(SCORES)


@pytest.mark.long
def test_what_only_one_could_be_tested_on_is_not_compared() -> None:
    """The probe has no training labels at one horizon."""
    predicted_NK = OTHER.predictions["linear/video"].copy()
    predicted_NK[:, 1] = UNLABELLED
    untested = Outcome(OTHER.galleries, {**OTHER.predictions, "linear/video": predicted_NK})
    now, ahead = (child(differences(ONE, untested, WINDOWS, BOOTSTRAP), "probe", "linear", "video", k) for k in (0, 1))
    assert child(now, "all")["windows"] == len(WINDOWS)
    assert child(ahead, "all")["windows"] == 0
    assert child(ahead, "all")["accuracy"] is None
    assert child(ahead, "all", "significant") == dict.fromkeys(SCORES)


def test_without_probes_there_is_no_difference_of_them() -> None:
    assert differences(ONE, Outcome(OTHER.galleries, {}), WINDOWS, BOOTSTRAP)["probe"] is None


@pytest.mark.parametrize(
    ("name", "interval", "says"),
    [
        ("mrr", [0.01, 0.2], "better"),
        ("mrr", [-0.2, -0.01], "worse"),
        ("mrr", [0.0, 0.2], None),
        ("mrr", [-0.1, 0.2], None),
        ("mrr", None, None),
        ("median_rank", [0.5, 2.0], "worse"),
        ("median_rank", [-2.0, -0.5], "better"),
    ],
)
def test_a_difference_is_significant_if_its_interval_excludes_zero(
    name: str, interval: JsonValue, says: str | None
) -> None:
    assert significance(name, interval, same=False) == says
