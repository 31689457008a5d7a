"""What an experiment asks of a contrastive objective."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from revalexo_clip.core.component import Component
from revalexo_clip.losses.overlap import Overlap


class LossModule(nn.Module, ABC):
    """A contrastive objective with its learnable parameters."""

    no_weight_decay = True
    """Tells the optimizer to leave them out: a temperature that decays is another temperature."""

    @abstractmethod
    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """The loss [] of N pairs of unit vectors; row i of one is the partner of row i of the other.

        Windows that overlap are not negatives of each other.
        """

    @property
    @abstractmethod
    def temperature(self) -> Tensor:
        """What similarities are divided by, [] (detached, for logging)."""

    def guessing(self, overlap: Overlap) -> Tensor | None:
        """The loss [] of embeddings that tell no window from another; None where that is no fixed number."""
        return None


class Loss(Component, ABC):
    """A contrastive objective."""

    @abstractmethod
    def build(self) -> LossModule:
        """The objective with its parameters at their initial values."""
