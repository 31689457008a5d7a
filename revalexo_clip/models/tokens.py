"""Time-aligned tokens: features of both modalities at the same moments of a window, as one unit vector.

Encoders give features at moments of their own. These are interpolated in time, never by index, at moments that both
encoders cover: unpadded convolutions, for example, leave out both ends of a window. The similarity of two windows is
then the product of two vectors, as it is for embeddings of the whole window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from revalexo_clip.core.component import Config
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import Modality
from revalexo_clip.models.layers import initialize
from revalexo_clip.models.sequence import SequenceNet


class Tokens(Config):
    """Unit vectors of moments of a window, at the same times in both modalities. Retrieval compares them."""

    count: PositiveInt = 30
    """S, number of moments, spread evenly over the time that both encoders cover."""
    dim: PositiveInt = 32
    """Number of values of a token."""
    normalize: Literal["window", "token"] = "window"
    """`window`: the tokens of a window together have unit length, so that moments with strong features count more.
    `token`: all tokens have the same length, and the similarity of two windows is the mean cosine of their tokens."""


class TokenHead(nn.Module):
    """Sequence [B, T, E] at the moments of an encoder -> tokens at S common times, a unit vector [B, S * d].

    Value i of token s is at position s * d + i.
    """

    weight_ST: Tensor

    def __init__(self, tokens: Tokens, sequence_dim: int, time_T: Tensor, time_S: Sequence[float]) -> None:
        """Build a head for an encoder with `sequence_dim` features at `time_T` [s]; `time_S` are the common times."""
        super().__init__()
        self.time_S = tuple(map(float, time_S))
        """Times of the tokens [s]."""
        self.each = tokens.normalize == "token"
        self.linear = nn.Linear(sequence_dim, tokens.dim)
        self.linear.apply(initialize)
        weight_ST = torch.from_numpy(interpolation(time_T.double().numpy(), np.array(time_S)))
        self.register_buffer("weight_ST", weight_ST.float(), persistent=False)  # derived from the specs

    def forward(self, sequence_BTE: Tensor) -> Tensor:
        """Compute the tokens [B, S * d] of sequences, in at least float32."""
        # The linear map comes first, because it has fewer outputs than inputs; the result is the same.
        value_BTd: Tensor = self.linear(sequence_BTE)
        token_BSd = torch.matmul(self.weight_ST.to(value_BTd.dtype), value_BTd)
        token_BSd = token_BSd.to(torch.promote_types(token_BSd.dtype, torch.float32))
        if self.each:
            count = self.weight_ST.shape[0]
            return nn.functional.normalize(token_BSd, dim=-1).flatten(1) / math.sqrt(count)
        return nn.functional.normalize(token_BSd.flatten(1), dim=-1)


def token_heads(tokens: Tokens, encoders: dict[Modality, nn.Module]) -> dict[Modality, TokenHead]:
    """Build the heads of encoders for their common times.

    Raises `ConfigError` if an encoder does not keep time, or if no time is covered by all of them.
    """
    kept: dict[Modality, SequenceNet] = {}
    for modality, encoder in encoders.items():
        if not isinstance(encoder, SequenceNet):
            raise ConfigError(
                f"tokens: the {modality} encoder ({type(encoder).__name__}) gives no features of moments; choose an "
                "encoder whose module is a SequenceNet, or --set tokens=null"
            )
        kept[modality] = encoder
    time_S = common_times(tokens.count, {modality: encoder.time_T for modality, encoder in kept.items()})
    return {
        modality: TokenHead(tokens, encoder.sequence_dim, encoder.time_T, time_S) for modality, encoder in kept.items()
    }


def common_times(count: int, time_T: dict[Modality, Tensor]) -> list[float]:
    """Return [S] times [s]: the centres of equal parts of the time that all encoders cover.

    Raises `ConfigError` if there is no such time.
    """
    ranges = {modality: (float(time[0]), float(time[-1])) for modality, time in time_T.items()}
    first, last = max(start for start, _ in ranges.values()), min(end for _, end in ranges.values())
    if not first < last:
        covered = ", ".join(f"{modality} {start:.2f} to {end:.2f} s" for modality, (start, end) in ranges.items())
        raise ConfigError(
            f"tokens: the encoders have no time of the window in common ({covered}); use a longer window, or more "
            "moments in each encoder"
        )
    return [first + (place + 0.5) * (last - first) / count for place in range(count)]


def interpolation(time_T: npt.NDArray[np.float64], time_S: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return [S, T], the matrix that interpolates values at ascending `time_T` linearly at `time_S` inside."""
    return np.stack([np.interp(time_S, time_T, unit_T) for unit_T in np.eye(len(time_T))], axis=1)
