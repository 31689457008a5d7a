"""What an experiment asks of a contrastive objective."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from revalexo_clip.component import Component


class LossModule(nn.Module, ABC):
    """A contrastive objective with its learnable parameters."""

    no_weight_decay = True
    """Tells the optimizer to leave them out: a temperature that decays is another temperature."""

    @abstractmethod
    def forward(self, imu_ND: Tensor, video_ND: Tensor, excluded_NN: Tensor | None = None) -> Tensor:
        """The loss [] of N pairs of unit vectors; row i of one is the partner of row i of the other.

        `excluded_NN` [N, N] bool marks pairs (i, j), i != j, that are not negatives of each other.
        """

    @property
    @abstractmethod
    def temperature(self) -> Tensor:
        """What similarities are divided by, [] (detached, for logging)."""


class Loss(Component, ABC):
    """A contrastive objective."""

    @abstractmethod
    def build(self) -> LossModule:
        """The objective with its parameters at their initial values."""
