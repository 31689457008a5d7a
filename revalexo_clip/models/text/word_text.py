"""A small text encoder that is trained along with the other encoders and needs no library and no vocabulary.

Words and their character trigrams are hashed into a table of vectors (Joulin et al., 2016, arXiv:1607.01759; trigrams
of words with marks at their ends: Bojanowski et al., 2016, arXiv:1607.04606), averaged, and passed through two layers.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from revalexo_clip.models.layers import initialize
from revalexo_clip.models.text.base import PADDING, TextEncoder, TextNet

_WORD = re.compile(r"\w+")


class WordText(TextEncoder):
    """Average the vectors of hashed words and character trigrams. Trained from scratch; the order of words is lost."""

    buckets: PositiveInt = 4096
    """Number of vectors that words and trigrams are hashed to."""
    width: PositiveInt = 64
    """Size of these vectors."""
    features: PositiveInt = 128
    """Number of features of a sentence."""

    def build(self) -> TextNet:
        """See `TextEncoder.build`."""
        return WordNet(self.buckets, self.width, self.features)


class WordNet(TextNet):
    """Tokens [B, S] -> mean of their vectors -> Linear -> ReLU -> Linear -> [B, F]."""

    def __init__(self, buckets: int, width: int, features: int) -> None:
        super().__init__()
        self.buckets, self.feature_dim = buckets, features
        self.vectors = nn.Embedding(buckets, width)
        self.hidden = nn.Linear(width, features)
        self.output = nn.Linear(features, features)
        self.hidden.apply(initialize)
        self.output.apply(initialize)

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """See `TextNet.tokenize`. Each word counts as often as its trigrams together."""
        rows = [self._tokens(sentence) for sentence in sentences]
        longest = max(map(len, rows), default=0)
        padded = [[*row, *[PADDING] * (longest - len(row))] for row in rows]
        return torch.tensor(padded, dtype=torch.int64).view(len(rows), longest)

    def _tokens(self, sentence: str) -> list[int]:
        tokens = []
        for word in _WORD.findall(sentence.lower()):
            marked = f"<{word}>"
            trigrams = [marked[place : place + 3] for place in range(len(marked) - 2)]
            tokens += [self._bucket(f"word {word}")] * len(trigrams)
            tokens += [self._bucket(trigram) for trigram in trigrams]
        return tokens or [self._bucket("")]

    def _bucket(self, text: str) -> int:
        return zlib.crc32(text.encode()) % self.buckets

    def forward(self, token_BS: Tensor) -> Tensor:
        """See `TextNet.forward`."""
        there_BS1 = (token_BS != PADDING)[..., None]
        vectors_BSW = self.vectors(token_BS.clamp(min=0)) * there_BS1
        mean_BW = vectors_BSW.sum(dim=1) / there_BS1.sum(dim=1)
        features_BF: Tensor = self.output(nn.functional.relu(self.hidden(mean_BW)))
        return features_BF

    def digest(self) -> str:
        """See `TextNet.digest`: tokens depend on the number of buckets alone."""
        return hashlib.sha256(f"words and trigrams, crc32, {self.buckets}".encode()).hexdigest()
