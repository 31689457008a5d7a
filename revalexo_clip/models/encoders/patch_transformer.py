"""PatchTransformer: a transformer over short patches of an IMU window.

IMU2CLIP (arXiv:2210.14395) has one over patches of all channels, with a class token. As in vision transformers
(Dosovitskiy et al., arXiv:2010.11929), patches here have a position, and blocks start with a norm.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.layers import Dropout, initialize
from revalexo_clip.models.sequence import Encoded, SequenceNet

LONGEST = 1e4
"""Longest period of the sines that tell the position of a patch [patches]."""


class PatchTransformer(ImuEncoder):
    """Linear embedding of patches of all channels, and transformer blocks with attention between all patches.

    Its sequence has one output for each patch. Use it with `standardize`: acceleration and angular velocity then have
    the same scale.
    """

    patch: PositiveFloat = 0.1
    """Approximate length of a patch [s]; it is rounded to a whole number of samples. Samples at the begin of a window
    that fill no patch are left out."""
    width: PositiveInt = 128
    """Number of values of each patch in the transformer, and of features."""
    depth: PositiveInt = 4
    """Number of transformer blocks."""
    heads: PositiveInt = 4
    """Number of attention heads."""
    feedforward: PositiveInt = 256
    """Number of hidden units of a block's feed-forward network."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout probability of what attention and the feed-forward network add."""
    pooling: Literal["class", "mean"] = "class"
    """Features of the window: the output of a class token, or the mean of the outputs of all patches."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be divisible by heads ({self.heads})")
        if self.width % 2:
            raise ValueError(f"width ({self.width}) must be even: positions are pairs of sine and cosine")
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: the width, whatever the embedding size."""
        return self.width

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`; `embed_dim` has no effect. Raises `ConfigError` if two patches do not fit."""
        length = max(round(self.patch * spec.rate), 1)
        if spec.samples < 2 * length:
            raise ConfigError(
                f"PatchTransformer: a window of {spec.window:g} s at {spec.rate:g} Hz is shorter than two patches of "
                f"{length} samples; use a longer window or a smaller imu.patch ({self.patch:g} s)"
            )
        return PatchTransformerNet(self, spec, length)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the embedding of patches, the transformer blocks, and the last norm."""
        assert isinstance(module, PatchTransformerNet)
        return [module.embedding, *module.layers, module.norm]


class PatchTransformerNet(SequenceNet):
    """[B, L, C] -> [B, W] and outputs of the patches [B, T, W]."""

    def __init__(self, of: PatchTransformer, spec: ImuSpec, length: int) -> None:
        """Build it for patches of `length` samples."""
        super().__init__()
        patches = spec.samples // length
        self.embedding = PatchEmbedding(
            len(spec.channels), of.width, length, patches, class_token=of.pooling == "class"
        )
        self.layers = nn.ModuleList(TransformerBlock(of) for _ in range(of.depth))
        self.norm = nn.LayerNorm(of.width)
        self.tokens = int(of.pooling == "class")
        self.sequence_dim = of.width
        first = spec.samples - patches * length
        time_T = (first + torch.arange(patches, dtype=torch.float64) * length + (length - 1) / 2) / spec.rate
        self.register_buffer("time_T", time_T.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        (imu_BLC,) = inputs
        x_BSW: Tensor = self.embedding(imu_BLC)  # S: the class token if there is one, and patches
        for layer in self.layers:
            x_BSW = layer(x_BSW)
        output_BSW: Tensor = self.norm(x_BSW)
        sequence_BTW = output_BSW[:, self.tokens :]
        return Encoded(output_BSW[:, 0] if self.tokens else sequence_BTW.mean(dim=1), sequence_BTW)


class PatchEmbedding(nn.Module):
    """Windows [B, L, C] -> [B, S, W]: a linear map of each patch and its position, after the class token if any."""

    position: Tensor

    def __init__(self, channels: int, width: int, length: int, patches: int, *, class_token: bool) -> None:
        """Build it for so many `patches` of `length` samples."""
        super().__init__()
        self.length = length
        self.patches = patches
        self.linear = nn.Linear(length * channels, width)
        self.linear.apply(initialize)
        self.token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        self.register_buffer("position", positions(patches, width), persistent=False)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Embed the patches, the last of which ends with the window."""
        kept_BLC = imu_BLC[:, imu_BLC.shape[1] - self.patches * self.length :]
        patch_BTP = kept_BLC.reshape(imu_BLC.shape[0], self.patches, -1)  # P: samples x channels
        x_BTW: Tensor = self.linear(patch_BTP) + self.position
        if self.token is None:
            return x_BTW
        return torch.cat((self.token.to(x_BTW.dtype).expand(x_BTW.shape[0], -1, -1), x_BTW), dim=1)


def positions(patches: int, width: int) -> Tensor:
    """Return [T, W]: sines and cosines of the place of each patch (Vaswani et al., arXiv:1706.03762)."""
    frequency_F = torch.exp(-math.log(LONGEST) * torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle_TF = torch.arange(patches, dtype=torch.float64)[:, None] * frequency_F
    return torch.cat((angle_TF.sin(), angle_TF.cos()), dim=1).float()


class TransformerBlock(nn.Module):
    """Attention between all places, then a feed-forward network, each after a norm, [B, S, W] -> [B, S, W]."""

    def __init__(self, of: PatchTransformer) -> None:
        super().__init__()
        self.heads = of.heads
        self.attention_norm = nn.LayerNorm(of.width)
        self.query_key_value = nn.Linear(of.width, 3 * of.width)
        self.output = nn.Linear(of.width, of.width)
        self.norm = nn.LayerNorm(of.width)
        self.hidden = nn.Linear(of.width, of.feedforward)
        self.back = nn.Linear(of.feedforward, of.width)
        self.dropout = Dropout(of.dropout)
        self.second_dropout = Dropout(of.dropout)
        for layer in (self.query_key_value, self.output, self.back):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.hidden.apply(initialize)
        with torch.no_grad():  # so that all blocks together add as much as one, whatever their number
            for layer in (self.output, self.back):
                layer.weight.div_(math.sqrt(2 * of.depth))

    def forward(self, x_BSW: Tensor) -> Tensor:
        """Apply the block: [B, S, W] -> [B, S, W]."""
        x_BSW = x_BSW + self.dropout(self.output(self._attend(self.attention_norm(x_BSW))))
        added_BSW: Tensor = self.second_dropout(self.back(functional.gelu(self.hidden(self.norm(x_BSW)))))
        return x_BSW + added_BSW

    def _attend(self, x_BSW: Tensor) -> Tensor:
        batch, places, _ = x_BSW.shape
        parts = self.query_key_value(x_BSW).view(batch, places, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended_BhSV: Tensor = functional.scaled_dot_product_attention(query, key, value)
        joined_BSW: Tensor = attended_BhSV.transpose(1, 2).flatten(2)
        return joined_BSW
