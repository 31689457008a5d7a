"""The encoders and fast forms that `parity` compares."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from benchmarks.gpu.models import IMU, own_modules_of_pytorchvideo
from benchmarks.gpu.parity import Case
from revalexo_clip.core.types import MotionSpec, VideoSpec
from revalexo_clip.models.encoders import (
    X3D,
    DeepConvLSTM,
    MotionTower,
    MViT,
    ResNet1D,
    SpectralAttention,
)
from revalexo_clip.models.encoders.base import use_channels_last
from revalexo_clip.models.encoders.fast import mvit as fast_mvit
from revalexo_clip.models.encoders.fast import x3d as fast_x3d
from revalexo_clip.models.encoders.fast.depthwise_forms import FORMS
from revalexo_clip.models.encoders.pretrained_weights import builder
from revalexo_clip.models.encoders.x3d import remove_classifier

MOTION = MotionSpec(30.0, 2.0, rows=4, columns=6)


def cases(quick: bool) -> Iterator[Case]:
    """Yield all cases. `quick`: on the smallest frames that the encoders take."""
    torch.manual_seed(0)
    frames, crop, batch = (4, 32, 2) if quick else (4, 96, 4)
    yield from forms(crop, batch)
    yield from blocks(frames, crop, batch)
    yield from networks(frames, crop, batch)


def first(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Call a module on its inputs."""
    output: Tensor = module(*inputs)
    return output


class InForm(nn.Module):
    """A depthwise convolution in one of the forms for accelerators."""

    def __init__(self, conv: nn.Conv3d, form: str) -> None:
        super().__init__()
        self.conv = conv
        self.form = FORMS[form]

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Convolve."""
        return self.form(self.conv, x_BCTHW)


def forms(crop: int, batch: int) -> Iterator[Case]:
    """Yield the forms of a depthwise convolution, as in X3D and as in MViT's pooling."""
    for of, channels, stride in (("X3D", 54, (1, 2, 2)), ("MViT", 96, (1, 8, 8))):
        conv = nn.Conv3d(channels, channels, 3, stride, 1, groups=channels, bias=False).double()
        x = torch.randn(batch, channels, 4, crop // 4, crop // 4, dtype=torch.float64)
        for form in FORMS:
            yield Case(
                f"depthwise {of}, {form}", InForm(copy.deepcopy(conv), form), InForm(conv, "library"), (x,), first
            )


def blocks(frames: int, crop: int, batch: int) -> Iterator[Case]:
    """Yield blocks of X3D and MViT in training, fast and as PyTorchVideo has them."""
    plain, fast = _twice(_x3d(), fast_x3d.speed_up)
    for place, what, side in ((0, "with squeeze and excitation", crop // 2), (1, "without", crop // 4)):
        name = f"blocks.1.res_blocks.{place}"
        x = torch.randn(batch, 24, frames, side, side)
        modules = (fast.get_submodule(name), plain.get_submodule(name))
        yield Case(f"X3D block, {what}", *modules, (x.double(),), first)
    plain, fast = _twice(_mvit(frames, crop), fast_mvit.speed_up)
    for place, stride in ((0, 4), (1, 4), (2, 8), (15, 32)):
        thw = [frames // 2, crop // stride, crop // stride]
        modules = (fast.get_submodule(f"blocks.{place}"), plain.get_submodule(f"blocks.{place}"))
        (width,) = cast("tuple[int]", modules[1].get_submodule("norm1").normalized_shape)
        tokens = torch.randn(batch, 1 + thw[0] * thw[1] * thw[2], width, dtype=torch.float64)
        yield Case(f"MViT block {place}", *modules, (tokens,), _with_places(thw, only_class=place == 15))


def networks(frames: int, crop: int, batch: int) -> Iterator[Case]:
    """Yield whole encoders, not in training: there, batch norm turns rounding errors into large ones."""
    spec = VideoSpec(frames, crop, crop, 2.0)
    video = torch.randn(batch, 3, frames, crop, crop, dtype=torch.float64)
    for name, build in (("X3D-XS", X3D(weights=None).build), ("MViT-B", MViT(weights=None).build)):
        encoder = build(spec, 16).double().eval()
        with own_modules_of_pytorchvideo():
            plain = build(spec, 16).double().eval()
        plain.load_state_dict(encoder.state_dict())
        yield Case(name, encoder, plain, (video,), first)
        in_format = copy.deepcopy(encoder)
        use_channels_last(in_format)
        yield Case(f"{name}, channels_last", in_format, plain, (video,), first)
    signals = torch.randn(batch, round(IMU.rate * IMU.window), len(IMU.channels), dtype=torch.float64)
    spectral = SpectralAttention(dropout=0, pooled_dropout=0)
    for imu in (ResNet1D(dropout=0), DeepConvLSTM(maps=16, hidden=32), spectral):
        # In training: cuDNN has no backward pass of an LSTM that is not.
        yield Case(type(imu).__name__, imu.build(IMU, 16).double().train(), None, (signals,), first)
    motion = torch.rand(batch, MOTION.moments, MOTION.rows, MOTION.columns, 3, dtype=torch.float64)
    tower = MotionTower().build(VideoSpec(0, crop, crop, 2.0, motion=MOTION), 16).double().eval()
    yield Case("MotionTower", tower, None, (motion,), lambda module, inputs: first(module, (inputs[0][:, :0], *inputs)))


def _x3d() -> nn.Module:
    model = builder("x3d", "x3d_xs")()
    remove_classifier(model)
    return model


def _mvit(frames: int, crop: int) -> nn.Module:
    model = builder("vision_transformers", "mvit_base_16x4")(spatial_size=crop, temporal_size=frames)
    model.head = model.get_submodule("head.sequence_pool")
    return model


def _twice(plain: nn.Module, speed_up: Callable[[nn.Module], None]) -> tuple[nn.Module, nn.Module]:
    plain = plain.double().train()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)  # the last of a block starts at zero, and hides what is before it
    fast = copy.deepcopy(plain)
    speed_up(fast)
    return plain, fast


def _with_places(thw: list[int], *, only_class: bool) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
    """Call a block on tokens. Of the last block, an encoder uses the class token alone, and ours computes no other."""

    def call(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        tokens_BNC, _ = cast("tuple[Tensor, list[int]]", module(inputs[0], thw))
        return tokens_BNC[:, :1] if only_class else tokens_BNC

    return call
