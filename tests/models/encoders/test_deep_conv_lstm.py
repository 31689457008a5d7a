from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders import DeepConvLSTM
from revalexo_clip.models.sequence import SequenceNet


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


@pytest.mark.long
@pytest.mark.parametrize(("embed_dim", "count"), [(256, 15_611_072), (512, 15_873_472)])
def test_parameter_count_is_the_published_one(embed_dim: int, count: int) -> None:
    encoder = DeepConvLSTM().build(spec(), embed_dim)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == count


@pytest.mark.long
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


@pytest.mark.parametrize("kernel", [0, (11, 11, 11), (11, 11, 11, 0)])
def test_kernel_is_positive_and_is_one_number_or_four(kernel: int | tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="kernel"):
        DeepConvLSTM(kernel=kernel)


def test_kernels_that_differ_move_the_moments_and_need_their_sum() -> None:
    encoder = DeepConvLSTM(kernel=(5, 4, 3, 2), maps=4, hidden=8)  # 10 samples are used up
    net = encoder.build(spec(3, rate=10, window=2), 5)
    assert isinstance(net, SequenceNet)
    encoded = net.encode(torch.randn(2, 20, 3))
    assert encoded.sequence_BTE.shape == (2, 10, 8)
    torch.testing.assert_close(net.time_T, (torch.arange(10) + 5) / 10)
    with pytest.raises(ConfigError, match=r"kernels 5, 4, 3, 2 need 11 samples.* 1 s at 10 Hz has 10"):
        encoder.build(spec(3, rate=10, window=1), 5)
    assert DeepConvLSTM.model_validate_json(encoder.model_dump_json()) == encoder


def test_without_projector_the_features_are_the_last_output_of_the_lstm_whatever_the_embedding_size() -> None:
    encoder = DeepConvLSTM(maps=4, hidden=8, projector=False)
    net = encoder.build(spec(3), 5)
    assert isinstance(net, SequenceNet)
    encoded = net.encode(torch.randn(2, 120, 3))
    assert encoder.feature_dim(5) == encoded.features_BF.shape[1] == 8
    assert torch.equal(encoded.features_BF, encoded.sequence_BTE[:, -1])
    assert not [name for name in net.state_dict() if name.startswith("feature_projector")]


def test_every_layer_of_the_lstm_begins_with_long_memories() -> None:
    net = DeepConvLSTM(maps=4, hidden=8, layers=2).build(spec(3), 5)
    for layer in (0, 1):
        bias = net.get_parameter(f"lstm.bias_ih_l{layer}")
        assert torch.equal(bias[8:16], -bias[:8])
        assert (bias[8:16] >= 0).all()
        assert bias[8:16].max() > 1


def test_the_first_samples_of_a_window_reach_the_features_from_the_start() -> None:
    torch.manual_seed(0)
    imu_BLC = torch.randn(4, 120, 42, requires_grad=True)
    DeepConvLSTM(maps=8, hidden=64).build(spec(), 16)(imu_BLC).square().sum().backward()
    assert imu_BLC.grad is not None
    influence_L = imu_BLC.grad.abs().sum(dim=(0, 2))
    first, last = (float(part) for part in (influence_L[:30].sum(), influence_L[-30:].sum()))
    assert first > 0.02 * last
