"""AnySensor: its weights fit any sensors at any rate, and how a sensor is turned does not matter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from revalexo_clip.augment.sensors import rotations
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders import AnySensor
from revalexo_clip.models.encoders.any_sensor import AnySensorNet, place_of
from revalexo_clip.models.encoders.gravity_frame import FLOOR, SPREAD, TYPICAL, GravityFrame, sensor_set
from revalexo_clip.models.encoders.spectral_attention import Wavelets

SMALL = AnySensor(width=8)
FREQUENCIES = [1.0, 3.0, 9.0, 20.0]


def imu(*segments: str, kinds: tuple[str, ...] = ("acc", "gyro"), rate: float = 60.0) -> ImuSpec:
    channels = tuple(f"{kind}_{segment}_{axis}" for segment in segments for kind in kinds for axis in "xyz")
    return ImuSpec(channels, tuple("m/s^2" if name[0] == "a" else "rad/s" for name in channels), rate, 2.0)


def net(spec: ImuSpec, like: AnySensorNet | None = None, encoder: AnySensor = SMALL) -> AnySensorNet:
    torch.manual_seed(0)
    module = cast("AnySensorNet", encoder.build(spec, 4)).eval()
    if like is not None:
        module.load_state_dict(like.state_dict())
    else:
        torch.nn.init.normal_(module.score.weight)  # initially 0: all sensors have the same weight
    return module


def worn(sensors: int, rate: float = 60.0, count: int = 3) -> Tensor:
    """Return [count, L, 6 sensors] the same movements at any rate: oscillations of up to 8 Hz, and tilted gravity."""
    rng = np.random.default_rng(0)
    time_L = np.arange(round(2 * rate)) / rate
    frequency, phase = rng.uniform(1, 8, (2, count, 1, 6 * sensors))
    x_BLC = np.sin(2 * math.pi * frequency * time_L[None, :, None] + phase)
    x_BLC.reshape(count, -1, sensors, 6)[..., :3] += [2.0, -4.0, 8.0]
    return torch.from_numpy(x_BLC).float()


def turned(imu_BLC: Tensor) -> Tensor:
    """Turn each sensor by a rotation of its own; accelerometer and gyroscope turn together."""
    sensors = imu_BLC.shape[2] // 6
    rng = np.random.default_rng(1)
    rotation_S33 = torch.from_numpy(rotations(rng.standard_normal((sensors, 3)), rng.uniform(1, 3, sensors))).float()
    x = imu_BLC.view(*imu_BLC.shape[:2], sensors, 2, 3)
    return torch.einsum("sij,blskj->blski", rotation_S33, x).flatten(2)


def test_how_a_sensor_is_turned_does_not_matter() -> None:
    imu_BLC, module = worn(2), net(imu("Pelvis", "Left_Foot"))
    with torch.no_grad():
        before, after = module(imu_BLC), module(turned(imu_BLC))
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)
    assert float((before[0] - before[1]).abs().max()) > 0.05


def test_power_is_that_of_axes_turned_into_the_vertical() -> None:
    imu_BLC, spec = worn(1).double(), imu("Head")
    front = GravityFrame(spec, sensor_set(spec.channels), FREQUENCIES, 4).double()
    seen_BSRT, present_BS = front(imu_BLC)
    assert bool(present_BS.all())
    vertical_BLC = imu_BLC.clone()
    for window in vertical_BLC:
        up = window[:, :3].mean(dim=0).numpy()
        axis = np.cross(up, [0, 0, 1])
        angle = math.acos(up[2] / np.linalg.norm(up))
        rotation = torch.from_numpy(rotations(axis[None] / np.linalg.norm(axis), np.array([angle]))[0]).double()
        window[:, :3], window[:, 3:] = window[:, :3] @ rotation.T, window[:, 3:] @ rotation.T
    assert float(vertical_BLC[..., :2].mean(dim=1).abs().max()) < 1e-6
    zero_mean = vertical_BLC.transpose(1, 2) - vertical_BLC.mean(dim=1)[..., None]
    power_B6FT = Wavelets(FREQUENCIES, 60.0, 120, 4).double()(zero_mean)
    four = (power_B6FT[:, 2], power_B6FT[:, :2].sum(1), power_B6FT[:, 5], power_B6FT[:, 3:5].sum(1))
    for signal, (power_BFT, floor, typical) in enumerate(zip(four, FLOOR, TYPICAL, strict=True)):
        want = ((power_BFT + floor).log() - typical) / SPREAD
        got = seen_BSRT[:, 0, 4 * signal : 4 * signal + 4]
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    slow_B6T = torch.nn.functional.avg_pool1d(vertical_BLC.transpose(1, 2), 8)
    across = seen_BSRT[:, 0, 17].sign() * seen_BSRT[:, 0, 17].abs().expm1() / 5
    torch.testing.assert_close(across, slow_B6T[:, :2].norm(dim=1), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("other", [imu("Head"), imu("Nowhere", rate=200.0), imu("Pelvis", kinds=("gyro",), rate=30.0)])
def test_weights_fit_other_sensors_and_rates(other: ImuSpec) -> None:
    worn_at = [f"{side}_{part}" for side in ("Left", "Right") for part in ("Foot", "Pocket", "Wrist")]
    seven = net(imu("Pelvis", *worn_at))
    features = net(other, seven)(torch.randn(2, other.samples, len(other.channels)))
    assert features.shape == (2, 4 * SMALL.width)
    assert bool(features.isfinite().all())


@pytest.mark.parametrize("rate", [30.0, 100.0, 200.0])
def test_the_same_movement_has_about_the_same_features_at_any_rate(rate: float) -> None:
    narrow = AnySensor(width=8, highest=12.0)  # 30 Hz has no bands above
    at_60 = net(imu("Pelvis"), encoder=narrow)
    with torch.no_grad():
        want, got = at_60(worn(1)), net(imu("Pelvis", rate=rate), at_60, narrow)(worn(1, rate))
    others = float((want[0] - want[1]).norm())
    assert float((want - got).norm(dim=1).max()) < 0.25 * others


def test_bands_that_a_rate_does_not_have_are_typical() -> None:
    spec = imu("Pelvis", rate=30.0)
    front = GravityFrame(spec, sensor_set(spec.channels), FREQUENCIES, 2)
    seen_BSRT, _ = front(worn(1, 30.0))
    assert [bool((seen_BSRT[:, 0, band] == 0).all()) for band in range(4)] == [False, False, False, True]


def test_a_silenced_sensor_is_as_one_that_is_not_there() -> None:
    both, imu_BLC = net(imu("Pelvis", "Left_Foot")), worn(2)
    silenced_BLC = torch.cat((imu_BLC[..., :6], torch.zeros_like(imu_BLC[..., 6:])), dim=2)
    with torch.no_grad():
        alone = net(imu("Pelvis"), both)(imu_BLC[..., :6])
        torch.testing.assert_close(both(silenced_BLC), alone, rtol=1e-4, atol=1e-4)
        assert float((both(imu_BLC) - alone).abs().max()) > 0.05


@pytest.mark.parametrize("kind", ["acc", "gyro"])
def test_an_absent_half_is_as_a_silenced_one(kind: str) -> None:
    whole, imu_BLC = net(imu("Pelvis")), worn(1)
    kept = slice(0, 3) if kind == "acc" else slice(3, 6)
    silenced_BLC = torch.zeros_like(imu_BLC)
    silenced_BLC[..., kept] = imu_BLC[..., kept]
    with torch.no_grad():
        half = net(imu("Pelvis", kinds=(kind,)), whole)(imu_BLC[..., kept])
        torch.testing.assert_close(whole(silenced_BLC), half, rtol=1e-4, atol=1e-4)


def test_the_power_of_a_lone_gyroscope_does_not_depend_on_its_axes() -> None:
    spec = imu("Left_Foot", kinds=("gyro",))
    module, whole_BLC = net(spec), worn(1)
    with torch.no_grad():
        torch.testing.assert_close(module(whole_BLC[..., 3:]), module(turned(whole_BLC)[..., 3:]), rtol=1e-3, atol=1e-3)


def test_the_order_of_channels_does_not_matter() -> None:
    spec, imu_BLC = imu("Pelvis", "Left_Foot"), worn(2)
    module = net(spec)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    shuffled = replace(spec, channels=tuple(spec.channels[place] for place in order))
    with torch.no_grad():
        torch.testing.assert_close(net(shuffled, module)(imu_BLC[..., order]), module(imu_BLC), rtol=1e-4, atol=1e-4)


def test_silence_has_finite_features_and_gradients() -> None:
    imu_BLC = torch.zeros(2, 120, 6, requires_grad=True)
    features = net(imu("Pelvis"))(imu_BLC)
    features.sum().backward()
    assert bool(features.isfinite().all())
    assert imu_BLC.grad is not None
    assert bool(imu_BLC.grad.isfinite().all())


@pytest.mark.long
def test_places_are_known_by_name_on_either_side() -> None:
    assert place_of("Left_Foot") == place_of("Right_Foot") > 0
    assert place_of("Right_Wrist") == place_of("Left_Forearm") > 0
    assert place_of("Camera") == place_of("Head") > 0
    assert place_of("Left_Ear") == place_of("Nose") == 0
    known, unknown = net(imu("Left_Foot")), net(imu("Nose"))
    with torch.no_grad():
        assert not torch.equal(known(worn(1)), unknown(worn(1)))
        known.places.weight[known.place_S] = 0
        torch.testing.assert_close(known(worn(1)), unknown(worn(1)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(imu("Pelvis"), channels=(*imu("Pelvis").channels[:5], "gyro_Pelvis")), "gyro_Pelvis_x"),
        (replace(imu("Pelvis"), channels=("heart", *imu("Pelvis").channels[1:])), "heart"),
        (replace(imu("Pelvis"), mean=(0.0,) * 6, std=(1.0,) * 6), "standardize=false"),
        (replace(imu("Pelvis"), window=0.1), "imu.step"),
    ],
)
def test_what_it_cannot_encode_is_refused(spec: ImuSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SMALL.build(spec, 4)


def test_settings_that_do_not_fit_are_refused() -> None:
    for wrong in ({"lowest": 30.0}, {"kernel": 4}, {"width": 6, "readout": "attention"}):
        with pytest.raises(ValidationError):
            AnySensor.model_validate(wrong)
