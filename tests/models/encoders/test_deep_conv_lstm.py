from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders import DeepConvLSTM


def spec(channels: int = 42, rate: float = 60.0, window: float = 2.0) -> ImuSpec:
    return ImuSpec(tuple(f"acc_{i}" for i in range(channels)), ("m/s^2",) * channels, rate, window)


class PlainDeepConvLSTM(nn.Module):
    """A downstream project's implementation, written from the names and shapes of the layers."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, (11, 1))
        self.conv2 = nn.Conv2d(64, 64, (11, 1))
        self.conv3 = nn.Conv2d(64, 64, (11, 1))
        self.conv4 = nn.Conv2d(64, 64, (11, 1))
        self.lstm = nn.LSTM(64 * channels, 1024, batch_first=True)
        self.feature_projector = nn.Linear(1024, embed_dim)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        x = imu_BLC[:, None]
        x = self.conv1(x).relu()
        x = self.conv2(x).relu()
        x = self.conv3(x).relu()
        x = self.conv4(x).relu()
        batch, maps, length, channels = x.shape
        x = x.permute(0, 2, 1, 3).reshape(batch, length, maps * channels)
        output, _ = self.lstm(x)
        features: Tensor = self.feature_projector(output[:, -1, :])
        return features


@pytest.mark.parametrize(("embed_dim", "count"), [(256, 15_611_072), (512, 15_873_472)])
def test_parameter_count_is_the_published_one(embed_dim: int, count: int) -> None:
    encoder = DeepConvLSTM().build(spec(), embed_dim)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == count


def test_features_equal_a_plain_module_with_the_same_layer_names() -> None:
    torch.manual_seed(0)
    encoder = DeepConvLSTM().build(spec(6), 32)
    plain = PlainDeepConvLSTM(6, 32)
    plain.load_state_dict(encoder.state_dict())
    imu_BLC = 3 * torch.randn(5, 120, 6)
    torch.testing.assert_close(encoder(imu_BLC), plain(imu_BLC), rtol=0, atol=1e-6)


def test_every_parameter_gets_a_gradient() -> None:
    encoder = DeepConvLSTM(maps=4, hidden=8).build(spec(3), 5)
    encoder(torch.randn(2, 120, 3)).square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


def test_the_shortest_window_that_is_long_enough_for_the_convolutions() -> None:
    encoder = DeepConvLSTM(maps=4, hidden=8)
    assert encoder.build(spec(3, rate=41, window=1), 5)(torch.randn(2, 41, 3)).shape == (2, 5)
    with pytest.raises(ConfigError, match=r"need 41 samples.* 1 s at 40 Hz has 40"):
        encoder.build(spec(3, rate=40, window=1), 5)


def test_kernel_must_be_positive() -> None:
    with pytest.raises(ValidationError, match="kernel"):
        DeepConvLSTM(kernel=0)


def test_the_first_samples_of_a_window_reach_the_features_from_the_start() -> None:
    torch.manual_seed(0)
    imu_BLC = torch.randn(4, 120, 42, requires_grad=True)
    DeepConvLSTM(maps=8, hidden=64).build(spec(), 16)(imu_BLC).square().sum().backward()
    assert imu_BLC.grad is not None
    influence_L = imu_BLC.grad.abs().sum(dim=(0, 2))
    first, last = (float(part) for part in (influence_L[:30].sum(), influence_L[-30:].sum()))
    assert first > 0.02 * last
