"""A frozen video encoder that sees single frames, or pairs of frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from revalexo_clip import Encoded, FrozenFeatures, VideoEncoder, VideoSpec


class FrozenSquares(VideoEncoder):
    """One random convolution, of single frames or of pairs of frames; a frozen projection of the mean over time."""

    frozen: Literal["all"] | int = "all"
    width: int = 6
    """Feature maps."""
    per_frame: bool = True
    """Whether single frames are seen."""

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        return FrozenSquaresNet(self, spec, embed_dim)


class FrozenSquaresNet(FrozenFeatures):
    calls = 0
    """How many times a network of this class was asked for features."""

    def __init__(self, of: FrozenSquares, spec: VideoSpec, embed_dim: int) -> None:
        super().__init__()
        self.per_frame = of.per_frame
        depth = 1 if of.per_frame else 2
        self.moments, self.model_dim = spec.images - depth + 1, 4 * of.width
        self.sequence_dim = self.model_dim
        self.model = nn.Conv3d(3, of.width, (depth, 6, 6), stride=(1, 6, 6))
        self.projection = nn.Linear(self.model_dim, embed_dim)
        self.register_buffer("time_T", torch.linspace(0, spec.window, self.moments), persistent=False)

    def model_features(self, video_B3THW: Tensor) -> Tensor:
        FrozenSquaresNet.calls += 1
        maps_BCTHW = nn.functional.relu(self.model(video_B3THW))
        pooled_BCTHW = nn.functional.adaptive_avg_pool3d(maps_BCTHW, (maps_BCTHW.shape[2], 2, 2))
        return pooled_BCTHW.permute(0, 2, 1, 3, 4).flatten(2)

    def from_features(self, x_BMP: Tensor) -> Encoded:
        return Encoded(self.projection(x_BMP.mean(dim=1)), x_BMP)
