"""Networks that keep time: features of moments of a window, beside the features of the whole window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Encoded(NamedTuple):
    """Output of a network that keeps time, for B windows."""

    features_BF: Tensor
    """[B, F] features of the whole window, which downstream tasks use."""
    sequence_BTE: Tensor
    """[B, T, E] features of T moments of the window."""


class SequenceNet(nn.Module, ABC):
    """Base class of networks that give features of moments of a window. Its subclasses define `encode`."""

    time_T: Tensor
    """[T] float32 buffer, ascending: the moment of each feature of the sequence [s from the start of the window]. It is
    the centre of the input that the feature depends on; for a recurrent network, of its newest input."""
    sequence_dim: int
    """E, the number of features of each moment."""

    @abstractmethod
    def encode(self, *inputs: Tensor) -> Encoded:
        """Compute features of the window and of its moments. Inputs are those of `forward`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute features [B, F] of the window."""
        return self.encode(*inputs).features_BF


class TakesMotion(nn.Module):
    """Mark a video network whose second input is measured motion [B, M, Y, X, 3], see `Sample.motion_MYX3`."""
