"""The interface of text encoders: sentences become tokens on the host, and tokens become features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from revalexo_clip.core.component import Component

PADDING = -1
"""Token after the last one of a sentence that is shorter than others."""


class TextNet(nn.Module, ABC):
    """Maps the tokens of sentences to features."""

    feature_dim: int
    """F, the number of features."""

    @abstractmethod
    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """Convert V sentences to tokens, [V, S] int64, on the CPU; shorter ones end with `PADDING`."""

    @abstractmethod
    def forward(self, token_BS: Tensor) -> Tensor:
        """Compute the features [B, F] of sentences from their tokens. Padding does not change them."""

    @abstractmethod
    def digest(self) -> str:
        """Return the SHA-256, in hex, of all that determines features and is not stored with the trained weights."""


class TextEncoder(Component, ABC):
    """Base class of encoders of sentences."""

    @abstractmethod
    def build(self) -> TextNet:
        """Build the encoder with its initial weights.

        Raises `ConfigError` if a library is missing, `DataError` if weights or a vocabulary cannot be read.
        """

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder is not trained: sentences are then encoded once, and its weights are not stored."""
        return False
