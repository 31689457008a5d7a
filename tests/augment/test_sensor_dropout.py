from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.augment_specs import CHANNELS, IMU, SEGMENTS, generators, imu_windows

from revalexo_clip.augment import SensorDropout
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.dual_encoder import Standardization

PLACES = {segment: [i for i, name in enumerate(CHANNELS) if f"_{segment}_" in name] for segment in SEGMENTS}
STANDARDISED = replace(
    IMU,
    mean=tuple(np.random.default_rng(0).normal(0, 9.81, len(CHANNELS)).tolist()),
    std=tuple(np.random.default_rng(1).uniform(0.1, 3, len(CHANNELS)).tolist()),
)


def drawn(dropout: SensorDropout, count: int, spec: ImuSpec = IMU) -> torch.Tensor:
    return torch.from_numpy(np.stack([dropout.sample(rng, spec) for rng in generators(count)]))


def silent(dropout: SensorDropout, count: int) -> torch.Tensor:
    """[count, S] bool: which sensors are silenced."""
    kept_BC = drawn(dropout, count)[:, 0]
    return torch.stack([(kept_BC[:, PLACES[segment]] == 0).all(1) for segment in SEGMENTS], dim=1)


def test_accelerometer_and_gyroscope_are_silenced_together_and_others_do_not_change() -> None:
    dropout, imu_BLC = SensorDropout(rate=0.5, p=1), imu_windows(20)
    drawn_B2C = drawn(dropout, 20)
    before = imu_BLC.clone()
    out_BLC = dropout.apply(imu_BLC, drawn_B2C)
    assert torch.equal(imu_BLC, before)
    for row, silent_S in enumerate(silent(dropout, 20)):
        for segment, is_silent in zip(SEGMENTS, silent_S.tolist(), strict=True):
            out, given = out_BLC[row][:, PLACES[segment]], imu_BLC[row][:, PLACES[segment]]
            assert torch.equal(out, torch.zeros_like(given) if is_silent else given)
    assert silent(dropout, 20).any()


def test_a_silenced_sensor_is_exactly_zero_after_standardisation() -> None:
    dropout = SensorDropout(rate=0.5, p=1)
    drawn_B2C = drawn(dropout, 20, STANDARDISED)
    standardised_BLC = Standardization(STANDARDISED)(dropout.apply(imu_windows(20), drawn_B2C))
    is_silent_BLC = (drawn_B2C[:, :1] == 0).expand_as(standardised_BLC)
    assert (standardised_BLC[is_silent_BLC] == 0).all()
    assert (standardised_BLC[~is_silent_BLC] != 0).all()
    assert 0 < is_silent_BLC.sum() < is_silent_BLC.numel()


def test_one_sensor_stays_at_least_and_each_of_them_may() -> None:
    all_but_one = silent(SensorDropout(rate=1.0, p=1), 300)
    assert (all_but_one.sum(1) == len(SEGMENTS) - 1).all()
    assert (~all_but_one).any(0).all()


@pytest.mark.long
def test_probabilities_are_those_of_the_sensor_and_of_the_window() -> None:
    rates = silent(SensorDropout(rate=0.2, rates={"Pelvis": 0.8, "*_Foot": 0.5, "Left_Foot": 0.0}, p=1), 4000)
    expected = [{"Pelvis": 0.8, "Right_Foot": 0.5, "Left_Foot": 0.0}.get(segment, 0.2) for segment in SEGMENTS]
    np.testing.assert_allclose(rates.double().mean(0), expected, atol=0.03)
    some = silent(SensorDropout(rate=1.0, p=0.4), 2000).any(1).double().mean()
    assert some.item() == pytest.approx(0.4, abs=0.04)


def test_other_channels_are_never_silenced() -> None:
    spec = ImuSpec(("acc_Head_x", "pressure", "gyro_Head_x", "acc_Foot_x"), ("",) * 4, 60.0, 2.0)
    kept = drawn(SensorDropout(rate=1.0, p=1), 50, spec)[:, 0]
    assert (kept[:, 1] == 1).all()
    assert torch.equal(kept[:, 0], kept[:, 2])
    assert torch.equal(kept[:, 0] + kept[:, 3], torch.ones(50))


def test_a_single_sensor_and_unknown_names_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match=r"requires at least two of them; the windows have Head \(data.channels\)"):
        SensorDropout().sample(rng, ImuSpec(("acc_Head_x", "gyro_Head_x"), ("", ""), 60.0, 2.0))
    with pytest.raises(ConfigError, match=r"rates names unknown sensors: Head\. Sensors: Pelvis, Right_Upper_Leg"):
        SensorDropout(rates={"Head": 0.5}).sample(rng, IMU)
