from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.augment_specs import CHANNELS, IMU, generators, imu_windows
from torch import Tensor

from revalexo_clip.augment import ChannelDropout, GaussianNoise, ImuAugmentation, MagnitudeWarp, Scale, TimeWarp
from revalexo_clip.core.types import ImuSpec

ALL: tuple[ImuAugmentation, ...] = (Scale(), MagnitudeWarp(), TimeWarp(), ChannelDropout(), GaussianNoise())
DRAWS = 3000


def draws(augmentation: ImuAugmentation, count: int = DRAWS, spec: ImuSpec = IMU) -> Tensor:
    return torch.from_numpy(np.stack([augmentation.sample(rng, spec) for rng in generators(count)]))


def always(augmentation: ImuAugmentation) -> ImuAugmentation:
    return augmentation.model_copy(update={"p": 1.0})


def changed(augmentation: ImuAugmentation, count: int = DRAWS) -> Tensor:
    """Return which of many windows are changed by an augmentation."""
    spec = ImuSpec(CHANNELS, IMU.units, rate=10.0, window=2.0)
    imu_BLC = torch.randn(1, spec.samples, len(CHANNELS)).expand(count, -1, -1)
    return (augmentation.apply(imu_BLC, draws(augmentation, count, spec)) != imu_BLC).flatten(1).any(1)


@pytest.mark.long
@pytest.mark.parametrize(
    ("augmentation", "share"),
    [(ALL[0], 0.5), (ALL[1], 0.3), (ALL[2], 0.3), (ALL[3], 0.2 * (1 - 0.9**42)), (ALL[4], 0.5)],
    ids=lambda value: type(value).__name__,
)
def test_windows_are_changed_with_the_given_probability_and_otherwise_not_at_all(
    augmentation: ImuAugmentation, share: float
) -> None:
    assert changed(augmentation).double().mean().item() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("augmentation", ALL, ids=lambda value: type(value).__name__)
def test_the_augmentation_of_a_window_does_not_depend_on_its_batch(augmentation: ImuAugmentation) -> None:
    imu_BLC, drawn = imu_windows(6), draws(always(augmentation), 6)
    before = imu_BLC.clone()
    together = augmentation.apply(imu_BLC, drawn)
    assert torch.equal(imu_BLC, before)
    assert together.dtype == torch.float32
    for row in range(6):
        alone = augmentation.apply(imu_BLC[row : row + 1], drawn[row : row + 1])
        assert torch.equal(alone[0], together[row])
    assert torch.equal(augmentation.apply(imu_BLC.flip(0), drawn.flip(0)), together.flip(0))


@pytest.mark.parametrize("augmentation", ALL, ids=lambda value: type(value).__name__)
def test_draws_are_float32_of_one_shape_and_follow_from_the_generator(augmentation: ImuAugmentation) -> None:
    drawn = [augmentation.sample(rng, IMU) for rng in generators(50)]
    assert {(one.dtype, one.shape) for one in drawn} == {(np.dtype(np.float32), drawn[0].shape)}
    for one, again in zip(drawn, [augmentation.sample(rng, IMU) for rng in generators(50)], strict=True):
        np.testing.assert_array_equal(one, again)


def test_scale_is_one_factor_for_the_window_uniform_over_its_range() -> None:
    augmentation = always(Scale())
    factor_B = draws(augmentation)
    assert factor_B.min() >= 0.8
    assert factor_B.max() <= 1.2
    counts = torch.histc(factor_B, bins=4, min=0.8, max=1.2)
    assert (counts / DRAWS - 0.25).abs().max() < 0.03
    imu_BLC = imu_windows(5)
    torch.testing.assert_close(augmentation.apply(imu_BLC, factor_B[:5]), imu_BLC * factor_B[:5, None, None])


def test_magnitude_warp_multiplies_each_channel_by_a_curve_that_is_straight_between_its_knots() -> None:
    augmentation = always(MagnitudeWarp())
    knots_BKC = draws(augmentation, 200)
    assert knots_BKC.shape == (200, 6, 42)
    assert knots_BKC.mean().item() == pytest.approx(1, abs=0.01)
    assert knots_BKC.std().item() == pytest.approx(0.2, abs=0.01)
    imu_BLC = imu_windows(3)
    warped_BLC = augmentation.apply(imu_BLC, knots_BKC[:3])
    for row, channel in ((0, 0), (1, 17), (2, 41)):
        curve_L = np.interp(np.linspace(0, 5, 120), np.arange(6), knots_BKC[row, :, channel].numpy())
        np.testing.assert_allclose(
            warped_BLC[row, :, channel], imu_BLC[row, :, channel].numpy() * curve_L, rtol=1e-5, atol=1e-5
        )
    ones = augmentation.apply(torch.ones_like(imu_BLC), knots_BKC[:3])
    assert torch.equal(ones[:, 0], knots_BKC[:3, 0])
    assert torch.equal(ones[:, -1], knots_BKC[:3, -1])


@given(st.integers(0, 10**6), st.floats(0, 3), st.integers(1, 12), st.integers(1, 200))
def test_time_warp_keeps_the_ends_and_never_goes_back(seed: int, sigma: float, knots: int, samples: int) -> None:
    spec = ImuSpec(CHANNELS[:3], IMU.units[:3], rate=float(samples), window=1.0)
    warp = TimeWarp(sigma=sigma, knots=knots, p=1.0)
    place_L = warp.sample(np.random.default_rng(seed), spec)
    assert place_L.shape == (samples,)
    assert (place_L[0], place_L[-1]) == (0, samples - 1)
    assert (np.diff(place_L) > 0).all()
    imu_1LC = torch.randn(1, samples, 3)
    warped_1LC = warp.apply(imu_1LC, torch.from_numpy(place_L)[None])
    assert torch.equal(warped_1LC[:, [0, -1]], imu_1LC[:, [0, -1]])


def test_time_warp_interpolates_all_channels_at_the_same_moments() -> None:
    warp = TimeWarp(p=1.0)
    imu_BLC, place_BL = imu_windows(4), draws(warp, 4)
    warped_BLC = warp.apply(imu_BLC, place_BL)
    assert (place_BL - torch.arange(120)).abs().max() > 1
    for row in range(4):
        for channel in (0, 20, 41):
            expected_L = np.interp(place_BL[row].numpy(), np.arange(120), imu_BLC[row, :, channel].numpy())
            np.testing.assert_allclose(warped_BLC[row, :, channel], expected_L, rtol=1e-4, atol=1e-4)


def test_time_warp_deviates_with_sigma() -> None:
    spread = [
        (draws(TimeWarp(sigma=sigma, p=1.0), 300) - torch.arange(120)).std().item() for sigma in (0.0, 0.1, 0.2, 0.4)
    ]
    assert spread[0] < 1e-3
    assert spread == sorted(spread)
    assert spread[2] == pytest.approx(2 * spread[1], rel=0.2)


def test_channel_dropout_zeroes_whole_channels_at_its_rate() -> None:
    dropout = always(ChannelDropout())
    keep_BC = draws(dropout)
    assert set(keep_BC.flatten().tolist()) == {0, 1}
    assert (keep_BC == 0).double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (keep_BC == 0).double().mean(0).max() < 0.13
    imu_BLC = imu_windows(8)
    dropped_BLC = dropout.apply(imu_BLC, keep_BC[:8])
    for row in range(8):
        gone = keep_BC[row] == 0
        assert (dropped_BLC[row, :, gone] == 0).all()
        assert torch.equal(dropped_BLC[row, :, ~gone], imu_BLC[row, :, ~gone])


def test_noise_is_white_with_its_deviation() -> None:
    augmentation = always(GaussianNoise())
    noise_BLC = draws(augmentation, 200).double()
    assert noise_BLC.shape == (200, 120, 42)
    assert noise_BLC.std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(noise_BLC.mean().item()) < 1e-4
    flat_BL = noise_BLC[:, :, 0]
    assert abs((flat_BL[:, 1:] * flat_BL[:, :-1]).mean().item()) < 1e-5
    imu_BLC = imu_windows(2)
    noise = draws(augmentation, 2)
    assert torch.equal(augmentation.apply(imu_BLC, noise), imu_BLC + noise)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"a range must go from low to high, not from 1\.2 to 0\.8"):
        Scale(range=(1.2, 0.8))
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        GaussianNoise(p=1.5)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        MagnitudeWarp(sigma=-0.1)
