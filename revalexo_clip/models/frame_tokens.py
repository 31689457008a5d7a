"""Vectors of single moments: what a frame shows, and the movement around it.

A single frame does not show how the body moves, but where it is. What it has in common with the movement around it is
the activity. `PerFrame` compares these vectors one by one.
"""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from revalexo_clip.core.component import Config
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import Modality
from revalexo_clip.models.layers import initialize
from revalexo_clip.models.sequence import SequenceNet


class FrameTokens(Config):
    """Unit vectors of the moments that have frames: of what each frame shows, and of the movement around it."""

    dim: PositiveInt = 64
    """d, number of values of a vector."""
    reach: PositiveFloat = 0.2
    """How far the movement around a frame reaches, before and after it [s]."""
    hidden: PositiveInt = 128
    """Units of the hidden layer."""


class MomentHead(nn.Module):
    """Features [B, K, F] of K moments -> Linear -> GELU -> Linear -> unit vectors after one another, [B, K d]."""

    def __init__(self, feature_dim: int, tokens: FrameTokens) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_dim, tokens.hidden)
        self.output = nn.Linear(tokens.hidden, tokens.dim)
        self.apply(initialize)

    def forward(self, features_BKF: Tensor) -> Tensor:
        """Compute the vectors [B, K d] in at least float32."""
        value_BKd: Tensor = self.output(nn.functional.gelu(self.hidden(features_BKF)))
        value_BKd = value_BKd.to(torch.promote_types(value_BKd.dtype, torch.float32))
        return nn.functional.normalize(value_BKd, dim=-1).flatten(1)


class AroundFrames(nn.Module):
    """Features [B, T, E] of moments -> vectors [B, K d] of the movement around each of K frames.

    Of the features within `reach` of a frame it takes the mean and the maximum.
    """

    def __init__(self, tokens: FrameTokens, sequence_dim: int, time_T: Tensor, frame_times: tuple[float, ...]) -> None:
        """Build it for features at `time_T` [s] and frames at `frame_times` [s]."""
        super().__init__()
        self.head = MomentHead(2 * sequence_dim, tokens)
        around = []
        for time in frame_times:
            distance_T = (time_T - time).abs()
            near_T = (distance_T <= max(tokens.reach, float(distance_T.min())) + 1e-6).nonzero().flatten().tolist()
            around.append(slice(near_T[0], near_T[-1] + 1))
        self.around = tuple(around)
        """The features around each frame."""

    def forward(self, sequence_BTE: Tensor) -> Tensor:
        """Compute the vectors [B, K d]."""
        parts = [sequence_BTE[:, own] for own in self.around]
        features = [torch.cat((part.mean(dim=1), part.amax(dim=1)), dim=1) for part in parts]
        found: Tensor = self.head(torch.stack(features, dim=1))
        return found


def frame_heads(tokens: FrameTokens, imu: nn.Module, video: nn.Module) -> dict[Modality, nn.Module]:
    """Build the heads of both encoders. Raises `ConfigError` if one of them does not give what they need."""
    if not isinstance(imu, SequenceNet):
        raise ConfigError(f"frame_tokens: the imu encoder ({type(imu).__name__}) gives no features of moments")
    if not isinstance(video, SequenceNet) or not video.frame_times:
        raise ConfigError(
            f"frame_tokens: the video encoder ({type(video).__name__}) gives no features of single frames; choose "
            'MotionTower(color="scene"), or --set frame_tokens=null'
        )
    return {
        "imu": AroundFrames(tokens, imu.maps_dim or imu.sequence_dim, imu.time_T, video.frame_times),
        "video": MomentHead(video.frame_dim, tokens),
    }
