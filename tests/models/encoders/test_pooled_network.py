"""ResNet1D with a second network for the features of the window, beside that of moments."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders import ImuEncoder, MotionTower, ResNet1D
from revalexo_clip.models.encoders.resnet1d import ResNet1DNet, SharedStem
from revalexo_clip.models.frame_tokens import FrameTokens
from revalexo_clip.models.tokens import Tokens

CHANNELS = tuple(
    f"{kind}_{place}_{axis}" for kind in ("acc", "gyro") for place in ("Left_Foot", "Head") for axis in "xyz"
)
IMU = ImuSpec(CHANNELS, ("m/s^2",) * 6 + ("rad/s",) * 6, rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=3, crop=16, short_side=16, window=2.0, motion=MotionSpec(30.0, 2.0, rows=2, columns=3))


def encoder(**fields: object) -> ResNet1D:
    return ResNet1D.model_validate({"width": 8, "pooled_width": 12, "shared": 4} | fields)


def built(of: ImuEncoder) -> ResNet1DNet:
    torch.manual_seed(0)
    net = of.build(IMU, 5)
    assert isinstance(net, ResNet1DNet)
    return net


def windows(count: int = 3) -> Tensor:
    return torch.randn(count, 120, 12, generator=torch.Generator().manual_seed(1))


def reached(net: nn.Module, output: Tensor) -> set[str]:
    """Return which parts of a network the gradient of an output reaches."""
    net.zero_grad()
    torch.autograd.backward(output.square().sum(), retain_graph=True)
    return {name.split(".")[0] for name, each in net.named_parameters() if each.grad is not None and each.grad.any()}


@pytest.mark.parametrize(("readout", "size"), [("statistics", 48), ("attention", 24)])
def test_features_are_read_from_the_second_network(readout: str, size: int) -> None:
    of = encoder(readout=readout)
    net = built(of).eval()
    encoded = net.encode(windows())
    assert torch.equal(net(windows()), encoded.features_BF)
    assert encoded.features_BF.shape == (3, size)
    assert of.feature_dim(5) == size
    assert encoded.sequence_BTE.shape == (3, 30, net.sequence_dim) == (3, 30, 8)
    assert encoded.maps_BTP is not None
    assert encoded.maps_BTP.shape == (3, 30, net.maps_dim) == (3, 30, 12)
    assert torch.equal(net.readout(encoded.maps_BTP.transpose(1, 2)), encoded.features_BF)


def test_without_one_features_and_moments_have_the_same_network() -> None:
    net = built(encoder(pooled_width=0)).eval()
    encoded = net.encode(windows())
    assert net.pooled is None
    assert (net.maps_dim, encoded.maps_BTP) == (0, None)
    assert torch.equal(net(windows()), encoded.features_BF)
    assert reached(net, encoded.features_BF) == reached(net, encoded.sequence_BTE) == {"body"}


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_features_and_moments_do_not_share_weights(mode: bool) -> None:
    net = built(encoder(readout="attention")).train(mode)
    encoded = net.encode(windows())
    assert encoded.maps_BTP is not None
    outputs = {
        "features": encoded.features_BF,
        "forward": net(windows()),
        "maps": encoded.maps_BTP,
        "sequence": encoded.sequence_BTE,
    }
    assert {name: reached(net, output) for name, output in outputs.items()} == {
        "features": {"pooled", "readout"},
        "forward": {"pooled", "readout"},
        "maps": {"pooled"},
        "sequence": {"body"},
    }


def test_in_training_every_weight_has_a_gradient_whatever_is_read() -> None:
    """DDP waits for all of them; a classifier reads features alone."""
    net = built(encoder()).train()
    for features_BF in (net(windows()), net.encode(windows()).features_BF):
        net.zero_grad()
        torch.autograd.backward(features_BF.square().sum())
        assert [name for name, weight in net.named_parameters() if weight.grad is None] == []
    net.body.requires_grad_(requires_grad=False)
    assert net(windows()).requires_grad


def test_sensors_share_the_first_convolution_of_each_network() -> None:
    net = built(encoder())
    assert net.pooled is not None
    stems = [net.body.stem, net.pooled.stem]
    for stem, width in zip(stems, (8, 12), strict=True):
        assert isinstance(stem, SharedStem)
        assert stem.mix.weight.shape[0] == width
    assert not torch.equal(*(stem.get_parameter("convolution.weight") for stem in stems))
    assert {tuple(body.time_T.tolist()) for body in (net.body, net.pooled)} == {tuple(net.body.time_T.tolist())}


@pytest.mark.parametrize("frozen", [0, 1, 2, 5])
def test_a_frozen_block_is_frozen_in_both_networks(frozen: int) -> None:
    of = encoder(frozen=frozen)
    net = built(of)
    blocks = of.blocks(net)
    assert len(blocks) == 5 == len(ResNet1D(width=8).blocks(built(ResNet1D(width=8))))
    assert {id(weight) for block in blocks for weight in block.parameters()} == {id(each) for each in net.parameters()}
    assert sum(len(list(block.parameters())) for block in blocks) == len(list(net.parameters())), "each once"
    for block in of.frozen_blocks(net):
        block.requires_grad_(requires_grad=False)
    assert net.pooled is not None
    for body in (net.body, net.pooled):
        is_frozen = [not any(each.requires_grad for each in part.parameters()) for part in body.blocks()]
        assert is_frozen == [place < frozen for place in range(5)]


def test_the_sizes_of_the_second_network_are_checked() -> None:
    with pytest.raises(ValidationError, match=r"pooled_width \(6\) must be divisible by 4 for the attention readout"):
        encoder(pooled_width=6, readout="attention")
    with pytest.raises(ValidationError, match="pooled_width"):
        encoder(pooled_width=-1)


def dual(frame_tokens: FrameTokens | None) -> DualEncoder:
    imu, video = encoder(), MotionTower(width=8, color="scene", color_width=4)
    return DualEncoder(
        built(imu),
        video.build(VIDEO, 5),
        embed_dim=5,
        imu_spec=IMU,
        video_spec=VIDEO,
        feature_dims={"imu": imu.feature_dim(5), "video": video.feature_dim(5)},
        tokens=Tokens(count=4, dim=3),
        frame_tokens=frame_tokens,
    )


def test_tokens_are_read_from_moments_and_embeddings_and_frames_from_the_second_network() -> None:
    model = dual(FrameTokens(dim=6))
    vectors = model.encode_imu(windows())
    assert vectors.tokens_BE is not None
    assert vectors.frames_BE is not None
    assert vectors.frames_BE.shape == (3, 3 * 6)
    towers = {
        name: reached(model.imu, (output * torch.randn_like(output)).sum())
        for name, output in (
            ("embedding", vectors.embedding_BD),
            ("tokens", vectors.tokens_BE),
            ("frames", vectors.frames_BE),
        )
    }
    assert towers == {"embedding": {"pooled"}, "tokens": {"body"}, "frames": {"pooled"}}


@torch.no_grad()
def test_in_bfloat16_features_are_close() -> None:
    net = built(encoder()).eval()
    exact = net.encode(windows())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, alone = net.encode(windows()), net(windows())
    assert torch.equal(found.features_BF, alone)
    assert found.maps_BTP is not None
    assert exact.maps_BTP is not None
    for one, other in ((found.features_BF, exact.features_BF), (found.maps_BTP, exact.maps_BTP)):
        torch.testing.assert_close(one.float(), other, rtol=0.1, atol=0.1)


@pytest.mark.long
def test_a_compiled_network_gives_the_same() -> None:
    net = built(encoder(dropout=0.0))
    expected = net.encode(windows())
    assert expected.maps_BTP is not None
    net.compile(backend="eager")
    found = net.sequence(windows())
    assert found.maps_BTP is not None
    torch.testing.assert_close(
        (found.features_BF, found.sequence_BTE, found.maps_BTP),
        (expected.features_BF, expected.sequence_BTE, expected.maps_BTP),
    )
    torch.testing.assert_close(net(windows()), expected.features_BF)
