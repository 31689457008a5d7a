"""What the video encoders share: a backbone, and the projection of its features to the embedding size."""

from __future__ import annotations

from torch import Tensor, nn

from revalexo_clip.models.initialization import initialize
from revalexo_clip.models.layers import Dropout


class VideoNet(nn.Module):
    """[B, 3, T, H, W] -> backbone -> [B, F] -> Linear -> ReLU -> Dropout -> [B, D]."""

    def __init__(self, backbone: nn.Module, backbone_dim: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(backbone_dim, embed_dim)
        self.projection.apply(initialize)
        self.activation = nn.ReLU()
        self.dropout = Dropout(dropout)

    def forward(self, video_B3THW: Tensor) -> Tensor:
        """Features [B, D] of video windows in normalised colour."""
        features_BD: Tensor = self.dropout(self.activation(self.projection(self.backbone(video_B3THW))))
        return features_BD
