"""What an experiment asks of an encoder.

What the video encoders share: a backbone, and the projection of its features to the embedding size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.core.component import Component, Config
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.models.layers import Dropout, initialize


class Encoder(Config):
    """What the encoders of both modalities have in common: an order of depth."""

    frozen: Annotated[int, Field(ge=0, strict=True)] | Literal["all"] = 0
    """How many of its blocks, from the input on, are not trained: they keep their weights and stay in eval mode.
    `all` for the whole encoder."""

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """The parts of a module that `build` made, from its input to its output; together they are all of it.

        What can be frozen apart from the rest, and what learning rates decay over. An encoder that does not say so is
        a single block.
        """
        return [module]

    def frozen_blocks(self, module: nn.Module) -> list[nn.Module]:
        """Those that are not trained. Raises `ConfigError` where `frozen` is more than there are."""
        if self.frozen == "all":
            return [module]
        blocks = self.blocks(module)
        if self.frozen > len(blocks):
            number = f"{len(blocks)} blocks" if len(blocks) > 1 else "a single block"
            raise ConfigError(f"{type(self).__name__}: frozen is {self.frozen}, and the encoder has {number}")
        return blocks[: self.frozen]


class ImuEncoder(Encoder, Component, ABC):
    """Turns IMU windows into features."""

    @abstractmethod
    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """A module that maps [B, L, C] float (the channels' own units) to [B, embed_dim]."""


class VideoEncoder(Encoder, Component, ABC):
    """Turns video windows into features."""

    @abstractmethod
    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """A module with new weights that maps [B, 3, T, H, W] float (normalised colour) to [B, embed_dim]."""

    def load_pretrained(self, module: nn.Module) -> None:
        """Load published weights into a module that `build` made. Called once, when pretraining starts.

        Raises `DataError` where the weights cannot be had or do not fit.
        """


class VideoNet(nn.Module):
    """[B, 3, T, H, W] -> backbone -> [B, F] -> Linear -> ReLU -> Dropout -> [B, D]."""

    def __init__(self, backbone: nn.Module, backbone_dim: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(backbone_dim, embed_dim)
        self.projection.apply(initialize)
        self.activation = nn.ReLU()
        self.dropout = Dropout(dropout)

    def forward(self, video_B3THW: Tensor) -> Tensor:
        """Features [B, D] of video windows in normalised colour."""
        features_BD: Tensor = self.dropout(self.activation(self.projection(self.backbone(video_B3THW))))
        return features_BD
