from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders import MViT
from revalexo_clip.models.encoders.base import VideoNet
from revalexo_clip.models.encoders.pretrained_weights import builder


def spec(frames: int = 2, crop: int = 32) -> VideoSpec:
    return VideoSpec(frames=frames, crop=crop, short_side=crop, window=2.0)


def build(frames: int = 2, crop: int = 32) -> VideoNet:
    net = MViT(weights=None).build(spec(frames, crop), 32)
    assert isinstance(net, VideoNet)
    return net.eval()


@pytest.fixture(scope="module")
def published() -> nn.Module:
    """Return PyTorchVideo's MViT-B with its classifier, for small frames; new weights."""
    torch.manual_seed(0)
    make = builder("vision_transformers", "mvit_base_16x4")
    return make(spatial_size=32, temporal_size=2).eval()


@pytest.fixture(scope="module")
def cached_weights(published: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fill torch.hub's cache with the published model's weights, as PyTorchVideo stores them."""
    home = tmp_path_factory.mktemp("torch")
    file = home / "hub" / "checkpoints" / "MVIT_B_16x4.pyth"
    file.parent.mkdir(parents=True)
    torch.save({"model_state": published.state_dict()}, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield file
    file.unlink()


@pytest.mark.long
@torch.no_grad()
def test_features_with_published_weights_equal_the_input_of_the_published_classifier(
    published: nn.Module, cached_weights: Path
) -> None:
    net = build()
    MViT(weights="kinetics400").load_pretrained(net)
    video_B3THW = torch.randn(2, 3, 2, 32, 32)
    features_BF = net.backbone(video_B3THW)
    assert features_BF.shape == (2, 768)
    classifier = published.get_submodule("head.proj")
    torch.testing.assert_close(classifier(features_BF), published(video_B3THW), rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_weights_for_other_frames_or_another_crop_are_refused(cached_weights: Path) -> None:
    with pytest.raises(DataError, match=r"pos_embed_spatial is \[1, 64, 96\] in the file, \[1, 256, 96\] in"):
        MViT(weights=str(cached_weights)).load_pretrained(build(4, 64))


def test_parameter_count_is_the_published_one() -> None:
    net = MViT(variant="16x4", weights=None).build(spec(16, 224), 512)
    assert sum(parameter.numel() for parameter in net.parameters()) == 36_696_800


@pytest.mark.long
def test_the_longer_variant_has_a_position_for_every_two_of_its_frames() -> None:
    net = MViT(variant="32x3", weights=None).build(spec(32, 32), 32)
    positions = net.get_parameter("backbone.cls_positional_encoding.pos_embed_temporal")
    assert positions.shape == (1, 16, 96)


@pytest.mark.long
def test_every_parameter_gets_a_gradient() -> None:
    net = build().train()
    net(torch.randn(2, 3, 2, 32, 32)).sum().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(("frames", "crop"), [(5, 64), (4, 62)])
def test_frames_or_a_crop_that_cannot_be_divided_into_patches_are_refused(frames: int, crop: int) -> None:
    with pytest.raises(ConfigError, match=f"{frames} frames of {crop}"):
        MViT(weights=None).build(spec(frames, crop), 32)


@pytest.mark.long
@torch.no_grad()
def test_features_are_those_of_the_class_token_beside_the_sequence() -> None:
    net = build(frames=4)
    video_B3THW = torch.randn(2, 3, 4, 32, 32)
    encoded = net.encode(video_B3THW)
    assert torch.equal(encoded.features_BF, net.projection(net.backbone(video_B3THW)).relu())
    assert encoded.sequence_BTE.shape == (2, 2, 768)
    torch.testing.assert_close(net.time_T, torch.tensor([0.0, 4 / 3]))
