from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics import embedding_geometry as module
from revalexo_clip.metrics.embedding_geometry import effective_rank, geometry, uniformity


def unit(count: int, dim: int, seed: int) -> Tensor:
    x_ND = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x_ND, dim=1)


def test_geometry_is_that_of_a_plain_computation() -> None:
    imu_ND, video_ND = unit(40, 6, seed=1), unit(40, 6, seed=2)
    found = geometry(imu_ND, video_ND)
    imu, video = imu_ND.double().numpy(), video_ND.double().numpy()
    assert found["alignment"] == pytest.approx(np.mean([np.sum((a - b) ** 2) for a, b in zip(imu, video, strict=True)]))
    pairs = [np.exp(-2 * np.sum((imu[i] - imu[j]) ** 2)) for i in range(40) for j in range(40) if i != j]
    assert cast("JsonObject", found["uniformity"])["imu"] == pytest.approx(np.log(np.mean(pairs)))
    assert found["modality_gap"] == pytest.approx(np.linalg.norm(imu.mean(axis=0) - video.mean(axis=0)))
    strength = np.linalg.svd(video, compute_uv=False)
    share = strength / strength.sum()
    rank = np.exp(-np.sum(share * np.log(share)))
    assert cast("JsonObject", found["effective_rank"])["video"] == pytest.approx(rank)
    assert found["dimensions"] == 6


def test_embeddings_that_are_all_alike_have_collapsed() -> None:
    same_ND = unit(1, 37, seed=1).expand(50, 37)
    found = geometry(same_ND, same_ND)
    assert found["alignment"] == found["modality_gap"] == 0
    assert cast("JsonObject", found["uniformity"])["imu"] == pytest.approx(0, abs=1e-6)
    assert cast("JsonObject", found["effective_rank"])["imu"] == pytest.approx(1, abs=1e-3)


def test_directions_of_equal_strength_are_counted() -> None:
    assert effective_rank(torch.eye(8, dtype=torch.float64).repeat(3, 1)) == pytest.approx(8)


def test_one_window_has_no_pairs() -> None:
    assert uniformity(unit(1, 4, seed=1).double()) is None


def test_many_windows_are_compared_in_blocks_and_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND = unit(101, 4, seed=1).double()
    assert uniformity(x_ND, block=7) == pytest.approx(uniformity(x_ND))
    some = uniformity(x_ND[::4])
    monkeypatch.setattr(module, "MOST", 26)
    assert uniformity(x_ND) == pytest.approx(some)
