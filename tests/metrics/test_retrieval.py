from __future__ import annotations

from itertools import combinations
from random import Random
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from revalexo_clip.metrics.retrieval import (
    Moments,
    Retrieval,
    Scores,
    chance,
    expected_scores,
    partner_ranks,
    partner_ranks_within,
    retrieve,
    retrieve_within,
    score,
)

# Few distinct vectors of small integers: many exact ties, and products without rounding.
vectors = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
pairs = st.lists(st.tuples(vectors, vectors), min_size=1, max_size=20)


def unit(count: int, dim: int, seed: int) -> Tensor:
    x_ND = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x_ND, dim=1)


def similar_pairs(count: int) -> tuple[Tensor, Tensor]:
    """Pairs, some of which retrieve each other."""
    imu_ND = unit(count, 8, seed=1)
    return imu_ND, torch.nn.functional.normalize(imu_ND + unit(count, 8, seed=2), dim=1)


def plain_ranks(query_ND: npt.NDArray[np.float64], gallery_ND: npt.NDArray[np.float64]) -> list[int]:
    ranks = []
    for i, query_D in enumerate(query_ND):
        similarities = [float(np.dot(query_D, other_D)) for other_D in gallery_ND]
        better_or_equal = [j for j, value in enumerate(similarities) if j != i and value >= similarities[i]]
        ranks.append(1 + len(better_or_equal))
    return ranks


def plain_scores(ranks: list[int]) -> Scores:
    count = len(ranks)
    return Scores(
        r_at_1=sum(rank <= 1 for rank in ranks) / count,
        r_at_5=sum(rank <= 5 for rank in ranks) / count,
        r_at_10=sum(rank <= 10 for rank in ranks) / count,
        mrr=sum(1 / rank for rank in ranks) / count,
        median_rank=float(np.median(ranks)),
    )


def assert_equal(scores: Scores, expected: Scores) -> None:
    assert vars(scores) == pytest.approx(vars(expected), rel=1e-12)


@pytest.mark.long
@given(pairs, st.integers(1, 25))
def test_ranks_equal_brute_force_with_many_ties(drawn: list[tuple[list[int], list[int]]], block: int) -> None:
    imu = np.array([imu for imu, _ in drawn], dtype=np.float64)
    video = np.array([video for _, video in drawn], dtype=np.float64)
    ranks = partner_ranks(torch.from_numpy(imu), torch.from_numpy(video), block)
    assert ranks.imu_to_video_N.tolist() == plain_ranks(imu, video)
    assert ranks.video_to_imu_N.tolist() == plain_ranks(video, imu)


@pytest.mark.long
@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_measures_equal_brute_force_in_blocks_of_any_size(block: int) -> None:
    imu_ND = unit(150, 16, seed=1)
    video_ND = torch.nn.functional.normalize(imu_ND + 1.5 * unit(150, 16, seed=2), dim=1)
    measured = retrieve(imu_ND, video_ND, block)
    imu, video = imu_ND.double().numpy(), video_ND.double().numpy()
    assert_equal(measured.imu_to_video, plain_scores(plain_ranks(imu, video)))
    assert_equal(measured.video_to_imu, plain_scores(plain_ranks(video, imu)))
    assert measured.gallery_size == 150
    assert 0 < measured.imu_to_video.r_at_1 < measured.imu_to_video.r_at_10 < 1


@pytest.mark.parametrize("count", [2, 31, 777])
def test_embeddings_that_are_all_alike_find_nothing(count: int) -> None:
    same_ND = unit(1, 37, seed=1).expand(count, 37)
    ranks = partner_ranks(same_ND, same_ND)
    assert ranks.imu_to_video_N.tolist() == ranks.video_to_imu_N.tolist() == [count] * count


@pytest.mark.parametrize("count", [2, 31, 777])
def test_a_gallery_that_is_all_alike_ties_for_every_query(count: int) -> None:
    # The rounding of a product depends on where in the matrix it stands, which would break ties at random.
    ranks = partner_ranks(unit(count, 512, seed=1), unit(1, 512, seed=2).expand(count, 512))
    assert ranks.imu_to_video_N.tolist() == [count] * count


def test_a_copy_of_the_partner_anywhere_in_the_gallery_ties_with_it() -> None:
    imu_ND, video_ND = unit(501, 129, seed=1), unit(501, 129, seed=1)
    video_ND[500] = video_ND[3]
    ranks = partner_ranks(imu_ND, video_ND)
    assert ranks.imu_to_video_N[3] == 2
    assert ranks.imu_to_video_N[4] == 1


def test_one_window_finds_itself_as_chance_would() -> None:
    measured = retrieve(unit(1, 4, seed=1), unit(1, 4, seed=2))
    assert measured.imu_to_video == measured.video_to_imu == measured.chance == Scores(1.0, 1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("gallery_size", [1, 2, 7, 10, 400])
def test_chance_is_what_uniform_ranks_would_score(gallery_size: int) -> None:
    assert_equal(chance(gallery_size), plain_scores(list(range(1, gallery_size + 1))))


def test_some_queries_search_the_whole_gallery() -> None:
    imu_ND, video_ND = similar_pairs(60)
    measured = score(partner_ranks(imu_ND, video_ND), range(0, 60, 3))
    ranks = plain_ranks(imu_ND.double().numpy(), video_ND.double().numpy())
    assert_equal(measured.imu_to_video, plain_scores(ranks[::3]))
    assert measured.gallery_size == 60
    assert measured.chance == chance(60)


def test_each_window_searches_its_own_group_alone() -> None:
    imu_ND, video_ND = similar_pairs(60)
    group_N = torch.tensor([7 if row % 3 else -1 for row in range(60)])
    imu, video = imu_ND.double().numpy(), video_ND.double().numpy()
    to_video, to_imu = [0] * 60, [0] * 60
    for group in (7, -1):
        rows = (group_N == group).nonzero().flatten().numpy()
        for row, one, other in zip(
            rows, plain_ranks(imu[rows], video[rows]), plain_ranks(video[rows], imu[rows]), strict=True
        ):
            to_video[row], to_imu[row] = one, other
    measured = retrieve_within(imu_ND, video_ND, group_N, block=8)
    assert_equal(measured.imu_to_video, plain_scores(to_video))
    assert_equal(measured.video_to_imu, plain_scores(to_imu))
    assert_equal(measured.chance, plain_scores([*range(1, 41)] * 40 + [*range(1, 21)] * 40))  # 40 of 40, 20 of 20
    assert measured.gallery_size == pytest.approx((40 * 40 + 20 * 20) / 60)


def test_a_group_of_one_window_finds_itself_as_chance_would() -> None:
    imu_ND, video_ND = similar_pairs(5)
    assert retrieve_within(imu_ND, video_ND, torch.arange(5)).imu_to_video == Scores(1.0, 1.0, 1.0, 1.0, 1.0)
    assert retrieve_within(imu_ND, video_ND, torch.arange(5)).chance == Scores(1.0, 1.0, 1.0, 1.0, 1.0)


def test_every_window_needs_a_group() -> None:
    with pytest.raises(ValueError, match="3 windows need a group each"):
        retrieve_within(unit(3, 2, seed=1), unit(3, 2, seed=2), torch.zeros(2))


@pytest.mark.long
@given(pairs, st.integers(1, 25), st.sampled_from([0.0, 0.5, 0.6, 1.0, 5.0]), st.randoms())
def test_neighbours_in_time_count_as_the_answer(
    drawn: list[tuple[list[int], list[int]]], block: int, tolerance: float, random: Random
) -> None:
    imu = np.array([imu for imu, _ in drawn], dtype=np.float64)
    video = np.array([video for _, video in drawn], dtype=np.float64)
    moments = [(random.randrange(2), 0.5 * place) for place in range(len(drawn))]
    random.shuffle(moments)
    recording_N, time_N = (torch.tensor(values) for values in zip(*moments, strict=True))
    found = partner_ranks(
        torch.from_numpy(imu), torch.from_numpy(video), block, Moments(recording_N, time_N.double(), tolerance)
    )
    for i, (recording, time) in enumerate(moments):
        answers = [
            j for j, (r, t) in enumerate(moments) if j == i or (r == recording and round(abs(t - time), 6) < tolerance)
        ]
        for query, gallery, ranks in ((imu, video, found.imu_to_video_N), (video, imu, found.video_to_imu_N)):
            similarities = [float(np.dot(query[i], other)) for other in gallery]
            best = max(similarities[j] for j in answers)
            before = [j for j, value in enumerate(similarities) if j not in answers and value >= best]
            assert ranks[i] == 1 + len(before)
        assert found.answers_N[i] == len(answers)


def test_neighbours_in_time_count_within_their_group_alone() -> None:
    imu_ND, video_ND = similar_pairs(8)
    recording_N, time_N = torch.zeros(8, dtype=torch.int64), 0.5 * torch.arange(8).double()
    ranks = partner_ranks_within(
        imu_ND, video_ND, torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]), moments=Moments(recording_N, time_N, tolerance=1.0)
    )
    assert ranks.answers_N.tolist() == [2, 3, 3, 3, 2, 2, 3, 2]
    assert ranks.gallery_N.tolist() == [5, 5, 5, 5, 5, 3, 3, 3]


@pytest.mark.parametrize(("size", "answers"), [(5, 1), (5, 2), (6, 3), (4, 4)])
def test_chance_with_several_answers_is_that_of_all_orders(size: int, answers: int) -> None:
    first = [min(order) + 1 for order in combinations(range(size), answers)]  # places of the answers, all as likely
    assert_equal(expected_scores(torch.tensor([size]), torch.tensor([answers])), plain_scores(first))


def test_names_of_the_metrics_are_the_documented_ones() -> None:
    metrics = retrieve(unit(3, 2, seed=1), unit(3, 2, seed=2)).as_metrics()
    measures = {"r_at_1", "r_at_5", "r_at_10", "mrr", "median_rank"}
    assert set(metrics) == {"imu_to_video", "video_to_imu", "chance", "gallery_size"}
    for direction in ("imu_to_video", "video_to_imu", "chance"):
        assert set(cast("dict[str, float]", metrics[direction])) == measures
    assert metrics["gallery_size"] == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_an_error_that_names_the_row(value: float) -> None:
    video_ND = unit(5, 2, seed=1)
    video_ND[3, 1] = value
    with pytest.raises(ValueError, match="1 video embeddings are not finite, the first is that of row 3"):
        retrieve(unit(5, 2, seed=2), video_ND)


@pytest.mark.parametrize(("imu", "video"), [((0, 4), (0, 4)), ((3, 4), (2, 4)), ((4,), (4,))])
def test_what_is_no_gallery_of_pairs_is_an_error(imu: tuple[int, ...], video: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no gallery of pairs"):
        retrieve(torch.zeros(imu), torch.zeros(video))


def test_results_cannot_be_edited() -> None:
    measured: Retrieval = retrieve(unit(3, 2, seed=1), unit(3, 2, seed=2))
    with pytest.raises(AttributeError):
        measured.gallery_size = 5  # type: ignore[misc]
