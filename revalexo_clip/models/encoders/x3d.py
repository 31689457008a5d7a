"""X3D, a small 3-D convolutional network (Feichtenhofer, 2020, arXiv:2004.04730), as PyTorchVideo builds it."""

from __future__ import annotations

import math
from typing import Annotated, Literal, cast

from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.base import VideoEncoder, VideoNet
from revalexo_clip.models.encoders.checkpointing import recompute
from revalexo_clip.models.encoders.fast.convolution import PointwiseConv3d
from revalexo_clip.models.encoders.fast.x3d import speed_up
from revalexo_clip.models.encoders.pretrained_weights import builder, checkpoint_url, load_weights
from revalexo_clip.models.layers import initialize

BACKBONE_DIM = 2048
SPATIAL_STRIDE = 32
CLASSIFIER = ("blocks.5.proj.weight", "blocks.5.proj.bias")
"""What a published checkpoint has and an encoder has not: the projection to the 400 activities of Kinetics."""


class X3D(VideoEncoder):
    """PyTorchVideo's X3D without its classifier, projected to the embedding size."""

    size: Literal["xs", "s", "m", "l"] = "xs"
    """Published for 4 x 160^2 (xs), 13 x 160^2 (s), 16 x 224^2 (m), 16 x 312^2 (l); takes any frames and crop."""
    weights: str | None = "kinetics400"
    """`kinetics400` (PyTorchVideo's own checkpoint), a checkpoint file, or none."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the projected features dropped in training."""
    keep_time: bool = False
    """Project the features of all moments side by side instead of their average over the window. An average knows what
    happened, and hardly when: with it, windows half a step apart look alike. Published models average."""
    average_shortcuts: bool = False
    """Let the shortcuts past strided convolutions average 2 x 2 places (ResNet-D; He et al., 2019, arXiv:1812.01187).
    Published models pick one of the four. As their other branches begin at zero, a model from scratch then begins all
    but blind: of 32^2 px it sees one patch of 3 x 3."""
    gradient_checkpointing: bool = False
    """Keep only what enters each residual block for the backward pass, and compute the rest again: memory for time."""

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`."""
        model = builder("x3d", f"x3d_{self.size}")()
        remove_classifier(model)
        if self.average_shortcuts:
            average_shortcuts(model)
        moments = fit_pooling(model, spec, keep_time=self.keep_time)
        speed_up(model)
        model.get_submodule("blocks.5.pool.post_conv").apply(initialize)
        if self.gradient_checkpointing:
            stem, *stages, head = model.get_submodule("blocks").children()
            residual = [block for stage in stages for block in stage.get_submodule("res_blocks").children()]
            recompute([stem, *residual, head])
        return VideoNet(model, BACKBONE_DIM * moments, embed_dim, self.dropout)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the stem, four stages, the head, the projection."""
        assert isinstance(module, VideoNet)
        return [*module.backbone.get_submodule("blocks").children(), nn.ModuleList([module.projection, module.dropout])]

    def load_pretrained(self, module: nn.Module) -> None:
        """See `VideoEncoder.load_pretrained`."""
        assert isinstance(module, VideoNet)
        if self.weights is not None:
            url = checkpoint_url("x3d", f"x3d_{self.size}")
            load_weights(module.backbone, self.weights, published=url, without=CLASSIFIER)


def remove_classifier(model: nn.Module) -> None:
    """Leave of the head its pooling, [B, 432, T, h, w] -> [B, 2048, ...], and the average over what it leaves.

    The dropout, the 400-way projection and the softmax all belong to the classifier; any one of them left behind
    would distort the features.
    """
    head = model.get_submodule("blocks.5")
    for part in ("dropout", "proj", "activation"):
        head.register_module(part, None)


class AveragedConv3d(PointwiseConv3d):
    """A strided pointwise convolution of averages over the stride; `Conv3d` takes one place and skips the rest."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T, ceil(H / 2), ceil(W / 2)] for a stride of (1, 2, 2)."""
        stride = cast("tuple[int, int, int]", self.stride)
        return self.at_every_place(nn.functional.avg_pool3d(x_BCTHW, stride, stride, ceil_mode=True))


def average_shortcuts(model: nn.Module) -> None:
    """Let every strided pointwise convolution in `model` average; state dicts stay what they are."""
    for module in model.modules():
        if type(module) is nn.Conv3d and max(module.kernel_size) == 1 and max(module.stride) > 1:
            module.__class__ = AveragedConv3d


def fit_pooling(model: nn.Module, spec: VideoSpec, *, keep_time: bool) -> int:
    """Pool over the published window, or over all there is where the frames or the crop give less than that.

    Returns the moments that the head's features stand for, side by side: 1, or every frame's where time is kept.
    """
    head = model.get_submodule("blocks.5")
    published = head.get_submodule("pool.pool")
    assert isinstance(published, nn.AvgPool3d)
    assert isinstance(published.kernel_size, tuple)
    frames, height, width = (int(size) for size in published.kernel_size)
    side = math.ceil(spec.crop / SPATIAL_STRIDE)
    frames = 1 if keep_time else min(frames, spec.frames)
    head.get_submodule("pool").pool = nn.AvgPool3d((frames, min(height, side), min(width, side)), stride=1)
    if keep_time:
        head.register_module("output_pool", nn.AdaptiveAvgPool3d((None, 1, 1)))
    return spec.frames if keep_time else 1
