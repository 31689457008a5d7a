"""The two towers: an encoder and a projection head per modality, into one space of unit vectors.

Joint training of both encoders with a head each, into a shared space, follows IMU2CLIP (Moon et al., 2022,
arXiv:2210.14395); a head of two layers is Chen et al., 2020 (arXiv:2002.05709).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, Modality, VideoSpec
from revalexo_clip.models.layers import PartlyFrozen, initialize, number_dropouts


class FrameNormalization(nn.Module):
    """Frames as they are decoded, [B, T, H, W, 3] uint8 RGB -> what video encoders take, [B, 3, T, H, W] float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: VideoSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(3, 1, 1, 1))

    def forward(self, video_BTHWC: Tensor) -> Tensor:
        """Colour from 0 to 1, less the mean, over the deviation."""
        video_BCTHW = video_BTHWC.permute(0, 4, 1, 2, 3).to(self.mean.dtype, memory_format=torch.contiguous_format)
        return (video_BCTHW / 255 - self.mean) / self.std


class Standardization(nn.Module):
    """IMU windows [B, L, C] in their units -> the same less each channel's mean, over its deviation.

    Without a mean and a deviation in the spec the windows stay as they are.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, spec: ImuSpec) -> None:
        super().__init__()
        self.register_buffer("mean", None if spec.mean is None else torch.tensor(spec.mean))
        self.register_buffer("std", None if spec.std is None else torch.tensor(spec.std))

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """[B, L, C] -> [B, L, C]."""
        return imu_BLC if self.mean is None or self.std is None else (imu_BLC - self.mean) / self.std


class ProjectionHead(nn.Module):
    """[B, D] -> Linear -> ReLU -> Linear -> [B, D]: from what an encoder knows to what both modalities share."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(embed_dim, embed_dim)
        self.output = nn.Linear(embed_dim, embed_dim)
        self.apply(initialize)

    def forward(self, features_BD: Tensor) -> Tensor:
        """Project features [B, D]; not normalised."""
        projected_BD: Tensor = self.output(nn.functional.relu(self.hidden(features_BD)))
        return projected_BD


class DualEncoder(PartlyFrozen):
    """An IMU encoder and a video encoder whose embeddings of the same moment are to be alike.

    Features are what an encoder gives and what downstream tasks use; embeddings are features after the projection
    head, as unit vectors, and what the contrastive loss and retrieval compare.
    """

    def __init__(
        self,
        imu: nn.Module,
        video: nn.Module,
        *,
        embed_dim: int,
        imu_spec: ImuSpec,
        video_spec: VideoSpec,
        blocks: Mapping[Modality, Sequence[nn.Module]] | None = None,
    ) -> None:
        """`imu` maps [B, L, C] to [B, D], `video` maps [B, 3, T, H, W] to [B, D], D being `embed_dim`.

        `blocks` are the parts of each encoder from its input to its output; each is a single one if not given.
        """
        super().__init__()
        self.samples = Standardization(imu_spec)
        self.imu = imu
        self.video = video
        self.frames = FrameNormalization(video_spec)
        self.imu_head = ProjectionHead(embed_dim)
        self.video_head = ProjectionHead(embed_dim)
        number_dropouts(self)
        self._blocks = blocks or {"imu": [imu], "video": [video]}

    def towers(self) -> Mapping[Modality, Sequence[nn.Module]]:
        """The parts of each encoder, from its input to its output."""
        return self._blocks

    def forward(self, imu_BLC: Tensor, video_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of B windows: of their IMU and of their video, each [B, D]."""
        return self.embed_imu(imu_BLC), self.embed_video(video_BTHWC)

    def embed_imu(self, imu_BLC: Tensor) -> Tensor:
        """Unit vectors [B, D], float32, of IMU windows in the channels' own units."""
        return self.project_imu(self.imu_features(imu_BLC))

    def embed_video(self, video_BTHWC: Tensor) -> Tensor:
        """Unit vectors [B, D], float32, of video windows, uint8 RGB."""
        return self.embed_frames(self.frames(video_BTHWC))

    def embed_frames(self, video_B3THW: Tensor) -> Tensor:
        """Unit vectors [B, D], float32, of video windows in normalised colour, as augmentation leaves them."""
        return self.project_video(self.video(video_B3THW))

    def project_imu(self, features_BD: Tensor) -> Tensor:
        """Unit vectors [B, D], float32, of what `imu_features` gives."""
        return _unit(self.imu_head(features_BD))

    def project_video(self, features_BD: Tensor) -> Tensor:
        """Unit vectors [B, D], float32, of what `video_features` gives."""
        return _unit(self.video_head(features_BD))

    def imu_features(self, imu_BLC: Tensor) -> Tensor:
        """Features [B, D] of IMU windows in the channels' own units."""
        features_BD: Tensor = self.imu(self.samples(imu_BLC))
        return features_BD

    def video_features(self, video_BTHWC: Tensor) -> Tensor:
        """Features [B, D] of video windows, uint8 RGB."""
        features_BD: Tensor = self.video(self.frames(video_BTHWC))
        return features_BD


def _unit(x_BD: Tensor) -> Tensor:
    """Lengths are taken in float32 at least: under autocast x comes in bfloat16, whose unit vectors are off by 1e-2."""
    return nn.functional.normalize(x_BD.to(torch.promote_types(x_BD.dtype, torch.float32)), dim=-1)
