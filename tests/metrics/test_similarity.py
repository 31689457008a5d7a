"""Counts from float32 are those of float64, also if float32 is not exact enough."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revalexo_clip.metrics import similarity as module
from revalexo_clip.metrics.similarity import count_as_similar, float32_slack


def vectors(count: int, dim: int, seed: int) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(count: int, dim: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(vectors(count, dim, seed), dim=1)


def plain_counts(query_ND: Tensor, gallery_ND: Tensor, least_query_N: Tensor, least_gallery_N: Tensor) -> list[Tensor]:
    similarity_NN = query_ND @ gallery_ND.T
    return [(similarity_NN >= least_query_N[:, None]).sum(dim=1), (similarity_NN >= least_gallery_N).sum(dim=0)]


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-4, 1e-7, 0.0])
@pytest.mark.parametrize("block", [1, 8, 1000])
def test_counts_are_those_of_float64_however_close_similarities_lie(spread: float, block: int) -> None:
    one_D, other_D = unit(1, 33, seed=0), unit(1, 33, seed=1)
    query_ND = torch.nn.functional.normalize(one_D + spread * vectors(90, 33, seed=2), dim=1)
    gallery_ND = torch.nn.functional.normalize(other_D + spread * vectors(90, 33, seed=3), dim=1)
    # Asked for is what lies half-way between two similarities, so that the rounding of float64 is of no matter.
    ordered_NN = (query_ND @ gallery_ND.T).sort(dim=1).values
    least_query_N = ordered_NN[:, 39:41].mean(dim=1) - 1e-13
    least_gallery_N = (query_ND @ gallery_ND.T).sort(dim=0).values[39:41].mean(dim=0) - 1e-13
    asked = (query_ND, gallery_ND, least_query_N, least_gallery_N)
    for found_N, expected_N in zip(count_as_similar(*asked, block), plain_counts(*asked), strict=True):
        assert found_N.tolist() == expected_N.tolist()
    if spread == 1e-7:  # which float32 alone does not find
        alone = plain_counts(*(of.float() for of in asked))
        assert alone[0].tolist() != plain_counts(*asked)[0].tolist()


def test_few_doubts_are_computed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    query_ND, gallery_ND = unit(400, 64, seed=4), unit(400, 64, seed=5)
    least_query_N, least_gallery_N = ((query_ND * gallery_ND).sum(dim=1) + off for off in (1e-10, -1e-10))
    asked = (query_ND, gallery_ND, least_query_N, least_gallery_N)
    expected = plain_counts(*asked)
    monkeypatch.setattr(module._Tile, "count", None)  # not the whole tile again
    for found_N, expected_N in zip(count_as_similar(*asked, 400), expected, strict=True):
        assert found_N.tolist() == expected_N.tolist()


@pytest.mark.parametrize("length", [1.0, 5.0, 1e30, 1e200])
def test_vectors_of_any_length_are_counted(length: float) -> None:
    query_ND, gallery_ND = length * unit(60, 16, seed=6), unit(60, 16, seed=7)
    asked = (query_ND, gallery_ND, *((query_ND * gallery_ND).sum(dim=1) * (1 - 1e-9),) * 2)
    for found_N, expected_N in zip(count_as_similar(*asked, 16), plain_counts(*asked), strict=True):
        assert found_N.tolist() == expected_N.tolist()


@pytest.mark.parametrize("dim", [2, 33, 512])
def test_float32_errs_by_no_more_than_is_said(dim: int) -> None:
    query_ND, gallery_ND = unit(300, dim, seed=8), 3 * unit(300, dim, seed=9)
    error = ((query_ND.float() @ gallery_ND.float().T).double() - query_ND @ gallery_ND.T).abs().max().item()
    assert 0 < error <= float32_slack(query_ND, gallery_ND)


def test_where_float32_is_less_than_float32_it_is_not_used() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        assert float32_slack(unit(2, 2, seed=0), unit(2, 2, seed=1)) == float("inf")
    finally:
        torch.set_float32_matmul_precision("highest")
