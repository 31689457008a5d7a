"""What an experiment asks of an encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from revalexo_clip.component import Component
from revalexo_clip.types import ImuSpec, VideoSpec


class ImuEncoder(Component, ABC):
    """Turns IMU windows into features."""

    @abstractmethod
    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """A module that maps [B, L, C] float (the channels' own units) to [B, embed_dim]."""


class VideoEncoder(Component, ABC):
    """Turns video windows into features."""

    @abstractmethod
    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """A module with new weights that maps [B, 3, T, H, W] float (normalised colour) to [B, embed_dim]."""

    def load_pretrained(self, module: nn.Module) -> None:
        """Load published weights into a module that `build` made. Called once, when pretraining starts.

        Raises `DataError` where the weights cannot be had or do not fit.
        """
