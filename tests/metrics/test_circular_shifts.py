"""The p-value of a recording by circular shifts: small for aligned series, uniform for independent ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from revalexo_clip.metrics.circular_shifts import circular_shift_test

STARTS, WINDOW = 120, 20
"""Window starts of a recording, and starts within one window."""


def windows_of(series: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Tensor:
    """Return the unit vectors [G, D] of all windows of a series."""
    rows_GD = np.lib.stride_tricks.sliding_window_view(series, WINDOW)[:STARTS]
    centred_GD = rows_GD - rows_GD.mean(axis=1, keepdims=True)
    return torch.nn.functional.normalize(torch.from_numpy(centred_GD.copy()), dim=1)


def smooth_series(rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.convolve(rng.standard_normal(STARTS + WINDOW + 4), np.hanning(6), mode="valid")


def test_a_series_with_known_alignment_is_significant_and_its_lag_is_found() -> None:
    rng = np.random.default_rng(0)
    series = smooth_series(rng)
    noisy = series + 0.5 * series.std() * rng.standard_normal(len(series))
    imu_GD, video_GD = windows_of(noisy), windows_of(series)
    found = circular_shift_test(imu_GD, video_GD, every=5, apart=WINDOW)
    assert found.shifts == STARTS - 2 * WINDOW + 1
    assert found.moments == STARTS // 5
    assert found.p == 1 / (1 + found.shifts)
    assert found.p_all == 1 / STARTS
    assert found.mrr > 0.8 > 2 * found.shifted_mrr
    assert found.lag == 0
    late = circular_shift_test(imu_GD[:-3], video_GD[3:], every=5, apart=WINDOW)
    assert late.lag == 3, "the partner of a window is in the row of the IMU that starts three later"


@pytest.mark.long
def test_independent_series_are_as_rarely_significant_as_the_p_value_of_all_shifts_says() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(150):
        imu_GD, video_GD = windows_of(smooth_series(rng)), windows_of(smooth_series(rng))
        found.append(circular_shift_test(imu_GD, video_GD, every=5, apart=WINDOW))
    p, p_all = (np.array([getattr(one, name) for one in found]) for name in ("p", "p_all"))
    assert p_all.mean() == pytest.approx(0.5, abs=0.08)
    assert (p_all <= 0.05).mean() < 0.09
    assert (p_all <= 0.3).mean() == pytest.approx(0.3, abs=0.12)
    assert (p <= 0.05).mean() >= (p_all <= 0.05).mean(), "it has no neighbours to beat"


def test_the_statistic_equals_a_plain_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    imu_GD, video_GD = (
        torch.nn.functional.normalize(torch.randn(23, 4, generator=rng, dtype=torch.float64), dim=1) for _ in range(2)
    )

    def mrr(shift: int) -> float:
        pairs = [((at + shift) % 23, at) for at in range(0, 23, 3)]
        total = 0.0
        for imu, video in pairs:
            own = float(imu_GD[imu] @ video_GD[video])
            total += 1 / (1 + sum(float(imu_GD[imu] @ video_GD[other]) > own for _, other in pairs))
            total += 1 / (1 + sum(float(imu_GD[other] @ video_GD[video]) > own for other, _ in pairs))
        return total / (2 * len(pairs))

    found = circular_shift_test(imu_GD, video_GD, every=3, apart=5)
    shifted = [mrr(shift) for shift in range(5, 19)]
    assert found.mrr == pytest.approx(mrr(0), abs=1e-12)
    assert found.shifted_mrr == pytest.approx(np.mean(shifted), abs=1e-12)
    assert found.p == (1 + sum(value >= mrr(0) - 1e-9 for value in shifted)) / 15
    assert found.p_all == sum(mrr(shift) >= mrr(0) - 1e-9 for shift in range(23)) / 23


def test_collapsed_vectors_and_short_recordings_are_never_significant() -> None:
    same_GD = torch.ones(STARTS, 3) / 3**0.5
    assert circular_shift_test(same_GD, same_GD, every=5, apart=WINDOW).p == 1.0
    short = circular_shift_test(same_GD[:30], same_GD[:30], every=5, apart=WINDOW)
    assert (short.shifts, short.p, short.p_all) == (0, 1.0, 1.0)
    assert np.isnan(short.shifted_mrr)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="no recording of pairs"):
        circular_shift_test(torch.ones(3, 2), torch.ones(4, 2), every=1, apart=1)
    with pytest.raises(ValueError, match="must be at least 1"):
        circular_shift_test(torch.ones(3, 2), torch.ones(3, 2), every=0, apart=1)
    with pytest.raises(ValueError, match="not finite"):
        circular_shift_test(torch.full((3, 2), torch.nan), torch.ones(3, 2), every=1, apart=1)
