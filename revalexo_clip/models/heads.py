"""From features to activities: what a recogniser has on top of its encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from revalexo_clip.core.component import Component
from revalexo_clip.models.initialization import initialize
from revalexo_clip.models.layers import Dropout


class Head(Component, ABC):
    """Turns the features of a window into the logits of its activities, now and later."""

    @abstractmethod
    def build(self, features: int, horizons: int, activities: int) -> nn.Module:
        """A module with new weights that maps [B, features] to [B, horizons, activities]."""


class LinearHeads(Head):
    """A linear layer for each horizon; where there are several, on a layer that they share."""

    hidden: PositiveInt | None = None
    """Units of the shared layer; null for as many as there are features."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the shared layer's units that are dropped in training."""

    def build(self, features: int, horizons: int, activities: int) -> nn.Module:
        """See `Head.build`."""
        return LinearHeadsNet(features, horizons, activities, hidden=self.hidden or features, dropout=self.dropout)


class LinearHeadsNet(nn.Module):
    """[B, F] -> [B, K, A]. The heads of all K horizons are one matrix."""

    def __init__(self, features: int, horizons: int, activities: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.horizons = horizons
        self.shared = nn.Sequential()
        if horizons > 1:
            self.shared = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), Dropout(dropout))
            self.shared.apply(initialize)
        self.heads = nn.Linear(hidden if horizons > 1 else features, horizons * activities)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Logits [B, K, A] of features [B, F]."""
        logits_BJ: Tensor = self.heads(self.shared(features_BF))
        return logits_BJ.view(len(logits_BJ), self.horizons, -1)
