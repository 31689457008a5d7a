"""X3D, a small 3-D convolutional network (Feichtenhofer, 2020, arXiv:2004.04730), as PyTorchVideo builds it."""

from __future__ import annotations

import math
from typing import Annotated, Literal, cast

from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.base import VideoEncoder, VideoNet, frame_times
from revalexo_clip.models.encoders.checkpointing import recompute
from revalexo_clip.models.encoders.fast.convolution import PointwiseConv3d
from revalexo_clip.models.encoders.fast.x3d import speed_up
from revalexo_clip.models.encoders.pretrained_weights import builder, checkpoint_url, load_weights
from revalexo_clip.models.layers import initialize

BACKBONE_DIM = 2048
SPATIAL_STRIDE = 32
CLASSIFIER = ("blocks.5.proj.weight", "blocks.5.proj.bias")
"""Weights that only a published checkpoint has: the projection to the 400 activities of Kinetics."""


class X3D(VideoEncoder):
    """PyTorchVideo's X3D without its classifier, projected to the embedding size."""

    size: Literal["xs", "s", "m", "l"] = "xs"
    """Published size, for 4 x 160^2 (xs), 13 x 160^2 (s), 16 x 224^2 (m) or 16 x 312^2 px (l). Any number of frames and
    any crop are accepted."""
    weights: str | None = "kinetics400"
    """`kinetics400` (PyTorchVideo's checkpoint), a checkpoint file, or none."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout probability of the projected features."""
    keep_time: bool = False
    """Concatenate the features of all moments instead of averaging them over the window. An average hardly depends on
    when something happened: windows half a step apart look alike. Published models average."""
    average_shortcuts: bool = False
    """Average 2 x 2 pixels in the shortcuts past strided convolutions (ResNet-D; He et al., 2019, arXiv:1812.01187).
    Published models use one of the four pixels. Because their other branches start at zero, a model trained from
    scratch then starts with almost no input: of 32^2 px it sees one patch of 3 x 3."""
    gradient_checkpointing: bool = False
    """Store only the inputs of residual blocks for the backward pass and compute the rest again, which saves memory and
    takes more time."""

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`. Raises `ConfigError` if windows have no frames."""
        time_T = frame_times(spec, "X3D")
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
        return X3DNet(model, BACKBONE_DIM * moments, embed_dim, self.dropout, time_T=time_T)

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


class X3DNet(VideoNet):
    """X3D with the features of its moments: the last stage's maps, averaged over the picture and over a burst."""

    def __init__(
        self, backbone: nn.Module, backbone_dim: int, embed_dim: int, dropout: float, *, time_T: Tensor
    ) -> None:
        super().__init__(backbone, backbone_dim, embed_dim, dropout)
        *_, stage, _ = backbone.get_submodule("blocks").children()
        *_, last = stage.get_submodule("res_blocks").children()
        self.sequence_dim = cast("nn.Conv3d", last.get_submodule("branch2.conv_c")).out_channels
        self.register_buffer("time_T", time_T.float(), persistent=False)

    def backbone_outputs(self, video_B3THW: Tensor) -> tuple[Tensor, Tensor]:
        """See `VideoNet.backbone_outputs`."""
        *stages, head = self.backbone.get_submodule("blocks").children()
        x_BCTHW = video_B3THW
        for stage in stages:
            x_BCTHW = stage(x_BCTHW)
        map_BTC = x_BCTHW.mean(dim=(3, 4)).transpose(1, 2)
        return head(x_BCTHW), _over_bursts(map_BTC, self.time_T.shape[0])


def _over_bursts(map_BTC: Tensor, moments: int) -> Tensor:
    """Average the frames of each burst, [B, T, C] -> [B, moments, C]."""
    return map_BTC.reshape(map_BTC.shape[0], moments, -1, map_BTC.shape[2]).mean(dim=2)


def remove_classifier(model: nn.Module) -> None:
    """Remove dropout, projection and softmax from the head.

    Its pooling, [B, 432, T, h, w] -> [B, 2048, ...], and its final average stay. The removed parts belong to the
    classifier; any of them left in place would distort the features.
    """
    head = model.get_submodule("blocks.5")
    for part in ("dropout", "proj", "activation"):
        head.register_module(part, None)


class AveragedConv3d(PointwiseConv3d):
    """A strided pointwise convolution that averages over the stride; `Conv3d` uses one position and skips the rest."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Convolve: [B, C, T, H, W] -> [B, C', T, ceil(H / 2), ceil(W / 2)] for a stride of (1, 2, 2)."""
        stride = cast("tuple[int, int, int]", self.stride)
        return self.at_every_place(nn.functional.avg_pool3d(x_BCTHW, stride, stride, ceil_mode=True))


def average_shortcuts(model: nn.Module) -> None:
    """Make every strided pointwise convolution in `model` average over its stride. State dicts do not change."""
    for module in model.modules():
        if type(module) is nn.Conv3d and max(module.kernel_size) == 1 and max(module.stride) > 1:
            module.__class__ = AveragedConv3d


class PictureAverage(nn.Module):
    """Average over the picture, [B, C, T, H, W] -> [B, C, T, 1, 1]: adaptive pooling that ONNX can express."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Average over height and width."""
        return x_BCTHW.mean(dim=(3, 4), keepdim=True)


def fit_pooling(model: nn.Module, spec: VideoSpec, *, keep_time: bool) -> int:
    """Fit the head's pooling window to the input: the published size, or less for fewer frames or a smaller crop.

    Returns the number of moments whose features the head concatenates: 1, or the number of frames with `keep_time`.
    """
    head = model.get_submodule("blocks.5")
    published = head.get_submodule("pool.pool")
    assert isinstance(published, nn.AvgPool3d)
    assert isinstance(published.kernel_size, tuple)
    frames, height, width = (int(size) for size in published.kernel_size)
    side = math.ceil(spec.crop / SPATIAL_STRIDE)
    frames = 1 if keep_time else min(frames, spec.images)
    head.get_submodule("pool").pool = nn.AvgPool3d((frames, min(height, side), min(width, side)), stride=1)
    if keep_time:
        head.register_module("output_pool", PictureAverage())
    return spec.images if keep_time else 1
