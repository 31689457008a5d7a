"""ImageBindIMU: the transformer over patches of an IMU window that ImageBind has, pretrained by others.

Girdhar et al., "ImageBind: One Embedding Space To Bind Them All", arXiv:2305.05665, 2023. Blocks begin with a norm
(Dosovitskiy et al., arXiv:2010.11929); attention also has a learned place that is in no window.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.sequence import Encoded, SequenceNet

EPSILON = 1e-6
"""Added to variances by all norms but that of patches."""


class ImageBindIMU(ImuEncoder):
    """The network of imported ImageBind weights: a linear map of patches, transformer blocks, a linear projection.

    The defaults are ImageBind's, for 6 channels and 2,000 samples of 5 s. Its features are the projection of the class
    token to the space that ImageBind's encoders share; its sequence has the outputs of the patches. Positions are
    learned, so that windows have the length that it was built for. There is no dropout.
    """

    patch: PositiveInt = 8
    """Length of a patch [samples]."""
    width: PositiveInt = 512
    """Number of values of each patch in the transformer."""
    depth: PositiveInt = 6
    """Number of transformer blocks."""
    heads: PositiveInt = 8
    """Number of attention heads."""
    feedforward: PositiveInt = 2048
    """Number of hidden units of a block's feed-forward network."""
    features: PositiveInt = 1024
    """Number of features."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be divisible by heads ({self.heads})")
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: `features`, whatever the embedding size."""
        return self.features

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`; `embed_dim` has no effect. Raises `ConfigError` if patches do not fill the window."""
        if spec.samples % self.patch:
            raise ConfigError(
                f"ImageBindIMU: a window of {spec.samples} samples ({spec.window:g} s at {spec.rate:g} Hz) cannot be "
                f"divided into patches of imu.patch={self.patch} samples"
            )
        return ImageBindIMUNet(self, spec)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the embedding of patches, the transformer blocks, and the projection."""
        assert isinstance(module, ImageBindIMUNet)
        return [module.embedding, *module.layers, nn.ModuleList([module.norm, module.projection])]


class ImageBindIMUNet(SequenceNet):
    """[B, L, C] -> [B, F] and outputs of the patches [B, T, W]."""

    def __init__(self, of: ImageBindIMU, spec: ImuSpec) -> None:
        super().__init__()
        patches = spec.samples // of.patch
        self.embedding = PatchEmbedding(of, len(spec.channels), patches)
        self.layers = nn.ModuleList(Block(of) for _ in range(of.depth))
        self.norm = nn.LayerNorm(of.width, eps=EPSILON)
        self.projection = nn.Linear(of.width, of.features, bias=False)
        nn.init.xavier_uniform_(self.projection.weight)
        self.sequence_dim = of.width
        time_T = (torch.arange(patches, dtype=torch.float64) * of.patch + (of.patch - 1) / 2) / spec.rate
        self.register_buffer("time_T", time_T.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        x_BSW: Tensor = self.embedding(inputs[0])  # S: the class token, and patches
        for layer in self.layers:
            x_BSW = layer(x_BSW)
        output_BSW: Tensor = self.norm(x_BSW)
        return Encoded(self.projection(output_BSW[:, 0]), output_BSW[:, 1:])


class PatchEmbedding(nn.Module):
    """Windows [B, L, C] -> [B, S, W]: a linear map of each patch and a norm, after the class token; and positions."""

    def __init__(self, of: ImageBindIMU, channels: int, patches: int) -> None:
        super().__init__()
        self.patch = of.patch
        self.linear = nn.Linear(of.patch * channels, of.width, bias=False)
        self.norm = nn.LayerNorm(of.width)
        self.token = nn.Parameter(torch.randn(1, 1, of.width) * of.width**-0.5)
        self.position = nn.Parameter(torch.randn(1, patches + 1, of.width) * 0.01)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Embed the patches, in which each channel's samples follow one another."""
        batch, _, channels = imu_BLC.shape
        patch_BTP = imu_BLC.reshape(batch, -1, self.patch, channels).transpose(2, 3).flatten(2)
        x_BTW: Tensor = self.norm(self.linear(patch_BTP))
        token_B1W = self.token.to(x_BTW.dtype).expand(len(x_BTW), -1, -1)
        return torch.cat((token_B1W, x_BTW), dim=1) + self.position


class Block(nn.Module):
    """Attention between all places and one that is learned, then a feed-forward network, each after a norm."""

    def __init__(self, of: ImageBindIMU) -> None:
        super().__init__()
        self.heads = of.heads
        self.attention_norm = nn.LayerNorm(of.width, eps=EPSILON)
        self.query_key_value = nn.Linear(of.width, 3 * of.width)
        self.key = nn.Parameter(torch.empty(1, 1, of.width))
        self.value = nn.Parameter(torch.empty(1, 1, of.width))
        self.output = nn.Linear(of.width, of.width)
        self.norm = nn.LayerNorm(of.width, eps=EPSILON)
        self.hidden = nn.Linear(of.width, of.feedforward)
        self.back = nn.Linear(of.feedforward, of.width)
        for layer in (self.query_key_value, self.output, self.hidden, self.back):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        for learned in (self.key, self.value):
            nn.init.xavier_normal_(learned)

    def forward(self, x_BSW: Tensor) -> Tensor:
        """Apply the block: [B, S, W] -> [B, S, W]."""
        x_BSW = x_BSW + self.output(self._attend(self.attention_norm(x_BSW)))
        added_BSW: Tensor = self.back(functional.gelu(self.hidden(self.norm(x_BSW))))
        return x_BSW + added_BSW

    def _attend(self, x_BSW: Tensor) -> Tensor:
        query, key, value = self.query_key_value(x_BSW).chunk(3, dim=2)
        key, value = (
            torch.cat((found, learned.to(found.dtype).expand(len(found), -1, -1)), dim=1)
            for found, learned in ((key, self.key), (value, self.value))
        )
        batch, _, width = x_BSW.shape
        by_heads = batch, -1, self.heads, width // self.heads
        query, key, value = (one.reshape(by_heads).transpose(1, 2) for one in (query, key, value))
        attended_BhSV: Tensor = functional.scaled_dot_product_attention(query, key, value)
        joined_BSW: Tensor = attended_BhSV.transpose(1, 2).flatten(2)
        return joined_BSW
