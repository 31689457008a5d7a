from __future__ import annotations

import numpy as np
import torch

from revalexo_clip.metrics.handcrafted_features import BANDS, FLOOR, handcrafted_features

PER_CHANNEL = 9 + len(BANDS) - 1 + 1


def test_features_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    imu_BLC = rng.standard_normal((3, 120, 2)) * 3 + 9.81
    found = handcrafted_features(torch.from_numpy(imu_BLC), rate=60.0).numpy()
    assert found.shape == (3, 2 * PER_CHANNEL)
    for window in range(3):
        for channel in range(2):
            x_L = imu_BLC[window, :, channel]
            taper_L = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(120) / 120)
            power_M = np.abs(np.fft.rfft((x_L - x_L.mean()) * taper_L)) ** 2 / 120
            hertz_M = np.arange(61) / 2
            bands = [
                np.log10(sum(p for p, f in zip(power_M, hertz_M, strict=True) if low <= f < high) + FLOOR)
                for low, high in ((0.25, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32))
            ]
            expected = [
                *(x_L.mean(), x_L.std(), x_L.min(), x_L.max()),
                *np.percentile(x_L, [25, 50, 75]),
                *(np.sqrt(np.mean(x_L**2)), np.abs(np.diff(x_L)).mean()),
                *bands,
                hertz_M[power_M.argmax()],
            ]
            own = found[window, channel * PER_CHANNEL : (channel + 1) * PER_CHANNEL]
            np.testing.assert_allclose(own, expected, rtol=1e-3, atol=1e-4)


def test_a_sine_has_its_frequency() -> None:
    time_L = torch.arange(120) / 60
    features = handcrafted_features(torch.sin(2 * torch.pi * 3 * time_L)[None, :, None], rate=60.0)
    assert features[0, -1] == 3.0


def test_what_never_moves_and_what_is_a_single_sample_have_finite_features() -> None:
    assert handcrafted_features(torch.full((2, 120, 3), 9.81), rate=60.0).isfinite().all()
    assert handcrafted_features(torch.ones(2, 1, 3), rate=60.0).isfinite().all()
