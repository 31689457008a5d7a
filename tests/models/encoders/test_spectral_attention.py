from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from support.augment_specs import IMU, imu_windows
from torch import Tensor, nn

from revalexo_clip.augment.sensors import rotations
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders import SpectralAttention
from revalexo_clip.models.encoders.readout import AttentionPooling
from revalexo_clip.models.encoders.sensor_streams import SensorStreams
from revalexo_clip.models.encoders.spectral_attention import SpectralAttentionNet, Wavelets
from revalexo_clip.models.layers import number_dropouts, one_step

HEAD = ImuSpec(tuple(f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in "xyz"), ("",) * 6, 60.0, 2.0)
UP = 9.81 * torch.tensor([0.6, 0.0, 0.8])


def worn(count: int = 3) -> Tensor:
    """Return [count, 120, 6] windows of an IMU on a head, tilted and moving."""
    imu_BLC = torch.randn(count, 120, 6, generator=torch.Generator().manual_seed(0))
    imu_BLC[..., :3] += UP
    return imu_BLC


def net(encoder: SpectralAttention | None = None, spec: ImuSpec = HEAD, embed_dim: int = 5) -> SpectralAttentionNet:
    return cast("SpectralAttentionNet", (encoder or SpectralAttention(width=8)).build(spec, embed_dim))


def plain_power(stream_L: npt.NDArray[np.float64], frequency: float) -> npt.NDArray[np.float64]:
    """Compute the power [15] of a wavelet of `frequency` [Hz] at every moment by plain sums."""
    reach, mirrored = 59, np.concatenate([stream_L[59:0:-1], stream_L, stream_L[-2:-61:-1]])
    time = np.arange(-reach, reach + 1) / 60
    deviation = min(3 / (2 * np.pi * frequency), reach / 60 / 2)
    envelope = np.exp(-(time**2) / (2 * deviation**2))
    wave = envelope * np.exp(2j * np.pi * frequency * time)
    wave -= envelope * wave.real.sum() / envelope.sum()
    found = [2 * np.sum(wave * mirrored[at : at + 119]) / envelope.sum() for at in range(0, 120, 4)]
    return np.asarray((np.abs(found) ** 2).reshape(15, 2).mean(axis=1))


def test_spectra_are_those_of_a_plain_computation() -> None:
    imu_BLC = worn().double()
    imu_LC = imu_BLC[1].numpy()
    acc, gyro = imu_LC[:, :3], imu_LC[:, 3:]
    up = acc.mean(axis=0) / np.linalg.norm(acc.mean(axis=0))
    streams = [*imu_LC.T]
    for vector in (acc, gyro):
        streams += [vector @ up, np.linalg.norm(vector - np.outer(vector @ up, up), axis=1)]
    streams += [np.linalg.norm(acc, axis=1), np.linalg.norm(gyro, axis=1)]
    power = [plain_power(stream - stream.mean(), f) for stream in streams for f in np.geomspace(0.5, 25, 12)]
    expected = [*(np.log(np.array(power) + 1e-4) + 5) / 3, *imu_LC.reshape(15, 8, 6).mean(axis=1).T]
    got = net().double().spectra(imu_BLC)[1]
    np.testing.assert_allclose(got.numpy(), np.array(expected), atol=1e-4)


def test_an_oscillation_has_the_power_of_its_amplitude_in_its_own_band() -> None:
    frequencies = [2.0, 4.0, 8.0, 16.0]
    time_L = torch.arange(120) / 60
    streams_BML = torch.stack([3 * torch.cos(2 * torch.pi * f * time_L) for f in frequencies])[None]
    power_FF = Wavelets(frequencies, 60.0, 120, 4)(streams_BML)[0, :, :, 4:11].mean(dim=-1)
    torch.testing.assert_close(power_FF.diag(), torch.full((4,), 9.0), rtol=0.03, atol=0)
    assert float((power_FF - power_FF.diag().diag()).max()) < 1


def test_orientation_free_signals_do_not_change_if_a_sensor_is_rotated() -> None:
    imu_BLC, streams = worn(), SensorStreams(HEAD)
    turned_BLC = imu_BLC.clone()
    rotation = torch.from_numpy(rotations(np.array([[1.0, 2.0, -1.0]]), np.array([2.0]))[0]).float()
    for sensor in (slice(0, 3), slice(3, 6)):
        turned_BLC[..., sensor] = imu_BLC[..., sensor] @ rotation.T
    before_BML, after_BML = streams(imu_BLC), streams(turned_BLC)
    assert streams.count == before_BML.shape[1] == 12
    torch.testing.assert_close(after_BML[:, 6:], before_BML[:, 6:], rtol=0, atol=1e-4)
    assert float((after_BML[:, :6] - before_BML[:, :6]).abs().max()) > 1


def test_standardised_windows_have_the_same_power_as_those_in_units() -> None:
    mean, std = (1.0, -2.0, 9.0, 0.1, 0.0, -0.1), (3.0, 2.0, 1.0, 0.5, 0.6, 0.7)
    imu_BLC = worn()
    standardised_BLC = (imu_BLC - torch.tensor(mean)) / torch.tensor(std)
    got = net(spec=replace(HEAD, mean=mean, std=std)).spectra(standardised_BLC)
    expected = net().spectra(imu_BLC)
    torch.testing.assert_close(got[:, :144], expected[:, :144], rtol=0, atol=1e-3)
    torch.testing.assert_close(got[:, 144:].mean(dim=2), standardised_BLC.mean(dim=1), rtol=0, atol=1e-5)


def test_seven_sensors_lone_channels_and_incomplete_sensors() -> None:
    assert net(spec=IMU).streams.count == 42 + 7 * (3 + 1 + 2)
    assert net(spec=IMU)(imu_windows(2)).shape == (2, 5)
    lone = replace(
        IMU, channels=("time", "acc_A_x", "acc_A_y", "acc_A_z", "gyro_A_x", "gyro_B_x", "gyro_B_y", "gyro_B_z")
    )
    assert net(spec=lone).streams.count == 8 + 3 + 1
    assert net(spec=lone)(imu_windows(2)[..., :8]).shape == (2, 5)


def test_features_are_finite_for_every_window() -> None:
    imu_BLC = torch.stack([torch.zeros(120, 6), torch.full((120, 6), 1e4), worn()[0]]).requires_grad_()
    features_BD = net()(imu_BLC)
    features_BD.square().sum().backward()
    assert features_BD.isfinite().all()
    assert imu_BLC.grad is not None
    assert imu_BLC.grad.isfinite().all()


def test_every_parameter_gets_a_gradient() -> None:
    encoder = net()
    encoder(worn()).square().sum().backward()
    without = [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


def test_the_features_of_a_window_do_not_depend_on_its_batch() -> None:
    imu_BLC, encoder = worn(6), net(SpectralAttention(width=8, dropout=0.5, pooled_dropout=0.5))
    number_dropouts(encoder)
    with one_step(seed=1, number=2, batch_size=6) as step:
        whole_BD = encoder(imu_BLC)
        step.rows = slice(2, 5)
        torch.testing.assert_close(encoder(imu_BLC[2:5]), whole_BD[2:5], rtol=0, atol=1e-5)
    assert not torch.allclose(encoder.eval()(imu_BLC), whole_BD, atol=0.1)


def test_weights_contain_nothing_that_follows_from_the_spec() -> None:
    encoder = net()
    assert set(encoder.state_dict()) == {name for name, _ in encoder.named_parameters()}


def test_pooling_starts_with_equal_weights_and_learns_others() -> None:
    x_BWT, pooling = torch.randn(2, 4, 7), AttentionPooling(4, heads=2)
    nn.init.zeros_(pooling.score.weight)
    nn.init.zeros_(cast("Tensor", pooling.score.bias))
    plain = torch.cat((x_BWT.mean(dim=2), x_BWT.std(dim=2, correction=0)), dim=1)
    torch.testing.assert_close(pooling(x_BWT), plain, rtol=0, atol=1e-5)
    with torch.no_grad():
        pooling.score.weight.fill_(100)
    loudest_B = x_BWT.sum(dim=1).argmax(dim=1)
    for row, moment in enumerate(loudest_B):
        torch.testing.assert_close(pooling(x_BWT)[row, :4], x_BWT[row, :, moment], rtol=0, atol=1e-2)


def test_a_rate_too_low_and_a_window_too_short_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"40 Hz is too low for a band at 25 Hz; reduce imu\.highest to 20 or less"):
        net(spec=replace(HEAD, rate=40.0))
    with pytest.raises(
        ConfigError, match=r"a window of 0\.2 s is shorter than two moments; reduce imu\.step \(0\.13 s\)"
    ):
        net(spec=replace(HEAD, window=0.2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lowest": 30}, r"lowest \(30 Hz\) must be below highest \(25 Hz\)"),
        ({"width": 10}, r"width \(10\) must be divisible by heads \(4\)"),
        ({"kernel": 4}, r"kernel \(4\) must be odd"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SpectralAttention.model_validate(settings)
