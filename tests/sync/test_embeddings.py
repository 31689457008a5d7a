"""The lag by a trained pair of encoders: on made vectors, and with a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from support.small_process import call

from revalexo_clip.sync.embeddings import align
from revalexo_clip.sync.series import Floats

STEP = 0.1


def vectors(count: int, late: int, *, noise: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Vectors of windows that change slowly; row i of the IMU is what the video shows `late` starts later."""
    draws = np.random.default_rng(seed)
    walk_GD = gaussian_filter1d(draws.standard_normal((count + 100, 16)), 5, axis=0)
    walk_GD /= walk_GD.std()
    imu_GD, video_GD = walk_GD[50 : 50 + count], walk_GD[50 - late : 50 - late + count]
    pair = [vectors_GD + noise * draws.standard_normal(vectors_GD.shape) + 3.0 for vectors_GD in (imu_GD, video_GD)]
    return pair[0], pair[1]


@pytest.mark.parametrize("late", [-5, 0, 3])
def test_the_lag_is_that_of_the_most_similar_windows(late: int) -> None:
    found = align(*vectors(600, late, noise=0.5), window=2.0, most_lag=2.0)
    assert found is not None
    assert found.lag.value == pytest.approx(late * STEP, abs=0.03)
    assert abs(found.lag.value - late * STEP) <= found.lag.within
    assert found.p < 0.01
    assert found.agreeing > 0.98


def test_similarities_are_those_of_plain_loops() -> None:
    imu_GD, video_GD = vectors(60, 2, noise=0.5)
    imu_GD[7], video_GD[30] = np.nan, np.nan
    found = align(imu_GD, video_GD, window=2.0, most_lag=1.0)
    assert found is not None
    imu_GD, video_GD = (one - np.nanmean(one, axis=0) for one in (imu_GD, video_GD))
    for lag, similarity in zip(found.lag_S, found.similarity_S, strict=True):
        shift = round(lag / STEP)
        pairs = [(place - shift, place) for place in range(60) if 0 <= place - shift < 60]
        plain = [float(imu_GD[one] @ video_GD[other]) for one, other in pairs]
        assert similarity == pytest.approx(np.nanmean(plain))


@pytest.mark.parametrize("seed", range(3))
def test_windows_that_have_nothing_in_common_are_not_sure(seed: int) -> None:
    imu_GD, _ = vectors(600, 0, noise=0.5, seed=seed)
    _, video_GD = vectors(600, 0, noise=0.5, seed=seed + 100)
    found = align(imu_GD, video_GD, window=2.0, most_lag=2.0)
    assert found is not None
    assert found.p > 0.02 or found.agreeing < 0.95


def test_a_few_windows_cannot_be_shifted() -> None:
    assert align(*vectors(5, 0, noise=0.5), window=2.0, most_lag=2.0) is None


@pytest.mark.long
def test_a_checkpoint_compares_every_recording(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    finished = call("check-sync", distinct, "--ckpt", trained_run, "--json", cwd=tmp_path)
    found = json.loads(finished.stdout)
    assert [one["recording"] for one in found["recordings"]] == [f"Subject0{n}/0000" for n in (1, 2, 5, 8, 9)]
    assert {one["method"] for one in found["recordings"]} == {"encoders"}
    assert found["cannot_tell"] == 5, "nothing was learned, and clips of 4 s are too short"
    assert finished.returncode == 0
