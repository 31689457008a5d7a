from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, cast

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders import X3D
from revalexo_clip.models.encoders.base import VideoNet
from revalexo_clip.models.encoders.fast.batch_norm import FastBatchNorm3d
from revalexo_clip.models.encoders.pretrained_weights import builder

EMBED_DIM = 256
CLASSIFIER = ("blocks.5.proj.weight", "blocks.5.proj.bias")


def spec(frames: int = 4, crop: int = 160) -> VideoSpec:
    return VideoSpec(frames=frames, crop=crop, short_side=crop, window=2.0)


def build(frames: int = 4, crop: int = 160, size: Literal["xs", "s", "m", "l"] = "xs") -> VideoNet:
    net = X3D(size=size, weights=None).build(spec(frames, crop), EMBED_DIM)
    assert isinstance(net, VideoNet)
    return net.eval()


@pytest.fixture(scope="module")
def published() -> nn.Module:
    """Return PyTorchVideo's X3D-XS with its classifier; new weights, but norms as if it had been trained."""
    torch.manual_seed(0)
    model = builder("x3d", "x3d_xs")().eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def cached_weights(published: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fill torch.hub's cache with the published model's weights, as PyTorchVideo stores them."""
    home = tmp_path_factory.mktemp("torch")
    file = home / "hub" / "checkpoints" / "X3D_XS.pyth"
    file.parent.mkdir(parents=True)
    torch.save({"model_state": published.state_dict()}, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield file


def published_features(published: nn.Module, video_B3THW: Tensor) -> Tensor:
    """Return the input of PyTorchVideo's classifier, averaged over the positions of its pooling window."""
    seen: list[Tensor] = []
    hook = published.get_submodule("blocks.5.proj").register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    published(video_B3THW)
    hook.remove()
    return seen[0].mean(dim=(1, 2, 3))


@pytest.mark.long
@pytest.mark.parametrize(("frames", "crop"), [(4, 160), (4, 182), (6, 192)])
@torch.no_grad()
def test_features_with_published_weights_equal_the_input_of_the_published_classifier(
    published: nn.Module, cached_weights: Path, frames: int, crop: int
) -> None:
    net = build(frames, crop)
    X3D(weights="kinetics400").load_pretrained(net)
    video_B3THW = torch.randn(2, 3, frames, crop, crop)
    expected = published_features(published, video_B3THW)
    torch.testing.assert_close(net.backbone(video_B3THW), expected, rtol=1e-4, atol=1e-5)
    assert (expected.sum(dim=1) > 2).all(), "a softmax would have gone unnoticed"


@pytest.mark.long
@torch.no_grad()
def test_a_local_file_gives_the_same_features_as_the_cache(cached_weights: Path) -> None:
    video_B3THW = torch.randn(1, 3, 4, 64, 64)
    features = []
    for weights in ("kinetics400", str(cached_weights)):
        net = build(4, 64)
        X3D(weights=weights).load_pretrained(net)
        features.append(net.backbone(video_B3THW))
    assert torch.equal(*features)


def test_nothing_of_the_classifier_is_left_in_the_backbone() -> None:
    backbone = build().backbone
    assert [part for part in backbone.modules() if isinstance(part, (nn.Dropout, nn.Softmax, nn.Linear))] == []


def test_parameter_count_is_the_published_one() -> None:
    assert sum(parameter.numel() for parameter in build().parameters()) == 3_499_218


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "window"), [("xs", (4, 5, 5)), ("s", (13, 5, 5)), ("m", (16, 7, 7)), ("l", (16, 10, 10))]
)
@torch.no_grad()
def test_every_size_pools_over_its_published_window_or_the_whole_input(
    size: Literal["xs", "s", "m", "l"], window: tuple[int, int, int]
) -> None:
    pooling = build(20, 320, size).get_submodule("backbone.blocks.5.pool.pool")
    assert isinstance(pooling, nn.AvgPool3d)
    assert pooling.kernel_size == window
    small = build(2, 48, size)
    assert small(torch.randn(1, 3, 2, 48, 48)).shape == (1, EMBED_DIM)


@pytest.mark.long
@pytest.mark.parametrize(("frames", "crop"), [(1, 32), (3, 33), (1, 96), (5, 127), (4, 128), (9, 159)])
@torch.no_grad()
def test_any_number_of_frames_and_any_crop_from_32_up_fit(frames: int, crop: int) -> None:
    features_BD = build(frames, crop)(torch.randn(2, 3, frames, crop, crop))
    assert features_BD.shape == (2, EMBED_DIM)
    assert features_BD.isfinite().all()


@pytest.mark.long
@torch.no_grad()
def test_with_keep_time_the_features_of_all_moments_are_concatenated(cached_weights: Path) -> None:
    component = X3D(size="xs", weights=str(cached_weights), keep_time=True)
    net = component.build(spec(frames=8, crop=64), EMBED_DIM).eval()
    assert isinstance(net, VideoNet)
    component.load_pretrained(net)  # published weights fit as they do without it
    assert net.projection.in_features == 8 * 2048
    moving_B3THW = torch.randn(1, 3, 8, 64, 64)
    apart_BTF = net.backbone(moving_B3THW).unflatten(1, (2048, 8)).transpose(1, 2)
    late = moving_B3THW.clone()
    late[:, :, -1] += 1.0
    changed_BT = (net.backbone(late).unflatten(1, (2048, 8)).transpose(1, 2) - apart_BTF).abs().amax(dim=2)
    assert changed_BT[0, 0] < 0.05 * changed_BT[0, -1]


@pytest.mark.parametrize(("averaged", "seen"), [(False, 4), (True, 32 * 32)])
def test_a_model_from_scratch_uses_all_pixels_only_if_shortcuts_average(averaged: bool, seen: int) -> None:
    torch.manual_seed(0)
    net = X3D(weights=None, average_shortcuts=averaged).build(spec(frames=1, crop=32), EMBED_DIM).eval()
    video_B3THW = torch.randn(8, 3, 1, 32, 32, requires_grad=True)
    net(video_B3THW).square().sum().backward()
    assert video_B3THW.grad is not None
    assert (video_B3THW.grad.abs().amax(dim=(0, 1, 2)) > 1e-9).sum() == seen


def test_averaging_shortcuts_take_published_weights(cached_weights: Path) -> None:
    component = X3D(weights=str(cached_weights), average_shortcuts=True)
    net = component.build(spec(crop=96), EMBED_DIM)
    component.load_pretrained(net)
    assert net(torch.randn(1, 3, 4, 97, 95)).shape == (1, EMBED_DIM), "odd sizes round up, as strides do"


def test_features_are_projected_rectified_and_dropped_only_in_training() -> None:
    net = build(1, 32)
    video_B3THW = torch.randn(2, 3, 1, 32, 32)
    expected_BD = net.projection(net.backbone(video_B3THW)).relu()
    assert torch.equal(net(video_B3THW), expected_BD)
    net.dropout.train()
    dropped_BD = net(video_B3THW)
    kept_BD = dropped_BD != 0
    torch.testing.assert_close(dropped_BD[kept_BD], 2 * expected_BD[kept_BD])
    assert kept_BD.sum() < (expected_BD != 0).sum()


def test_every_parameter_gets_a_gradient() -> None:
    net = build(2, 32).train()
    net(torch.randn(3, 3, 2, 32, 32)).sum().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_without_weights_nothing_is_loaded() -> None:
    net = build(1, 32)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    X3D(weights=None).load_pretrained(net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_weights_of_another_size_are_refused(cached_weights: Path) -> None:
    with pytest.raises(DataError, match=r"X3D_XS.pyth do not fit the encoder:\n  blocks"):
        X3D(size="l", weights=str(cached_weights)).load_pretrained(build(1, 32, "l"))


def test_published_weights_are_downloaded_from_the_url_of_pytorchvideo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytorchvideo.models.hub import x3d

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(x3d.checkpoint_paths, "x3d_m", "file:///no/such/place/X3D_M.pyth")
    with pytest.raises(DataError, match=r"cannot download the kinetics400 weights file:///no/such/place/X3D_M\.pyth"):
        X3D(size="m").load_pretrained(build(1, 32, "m"))


@pytest.mark.long
@pytest.mark.parametrize("checkpointed", [False, True])
def test_synchronised_batch_norm_replaces_the_fast_one(checkpointed: bool) -> None:
    torch.manual_seed(0)
    video = VideoSpec(frames=4, crop=32, short_side=32, window=2.0)
    net = X3D(weights=None, dropout=0, gradient_checkpointing=checkpointed).build(video, 8)
    convert = cast("Callable[[nn.Module], nn.Module]", nn.SyncBatchNorm.convert_sync_batchnorm)
    synchronised = convert(copy.deepcopy(net))
    assert not any(isinstance(module, FastBatchNorm3d) for module in synchronised.modules())
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in synchronised.modules()) == len(norms)
    x = torch.randn(2, 3, 4, 32, 32)
    outcomes = []
    for each in (net, synchronised):  # a process alone has nothing to wait for, and may be on a CPU
        each.train()
        y = each(x)
        y.sum().backward()
        outcomes.append((y, each.state_dict()))
    torch.testing.assert_close(outcomes[1], outcomes[0], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_features_with_keep_time_are_averaged_over_the_picture_as_adaptive_pooling_does() -> None:
    net = X3D(weights=None, keep_time=True).build(spec(2, 192), 8).eval()  # 6 x 6 maps, pooled over 5 x 5
    assert isinstance(net, VideoNet)
    video_B3THW = torch.randn(1, 3, 2, 192, 192)
    features_BD = net(video_B3THW)
    net.backbone.get_submodule("blocks.5").register_module("output_pool", nn.AdaptiveAvgPool3d((None, 1, 1)))
    torch.testing.assert_close(features_BD, net.projection(net.backbone(video_B3THW)).relu(), rtol=1e-6, atol=1e-6)
