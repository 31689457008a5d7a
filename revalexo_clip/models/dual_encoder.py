"""The dual encoder: an encoder and a projection head per modality, which map to a shared space of unit vectors.

Training both encoders and their heads jointly follows IMU2CLIP (Moon et al., 2022, arXiv:2210.14395); the head of two
layers follows Chen et al., 2020 (arXiv:2002.05709).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, Modality, VideoSpec
from revalexo_clip.models.layers import PartlyFrozen, initialize, number_dropouts


class FrameNormalization(nn.Module):
    """Decoded frames [B, T, H, W, 3] uint8 RGB -> input of video encoders [B, 3, T, H, W] float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: VideoSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(3, 1, 1, 1))

    def forward(self, video_BTHWC: Tensor) -> Tensor:
        """Scale colours to 0 ... 1, subtract the mean and divide by the standard deviation."""
        video_BCTHW = video_BTHWC.permute(0, 4, 1, 2, 3).to(self.mean.dtype, memory_format=torch.contiguous_format)
        return (video_BCTHW / 255 - self.mean) / self.std


class Standardization(nn.Module):
    """Standardises IMU windows [B, L, C]: subtracts each channel's mean and divides by its standard deviation.

    If the spec has no mean and standard deviation, windows do not change.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, spec: ImuSpec) -> None:
        super().__init__()
        self.register_buffer("mean", None if spec.mean is None else torch.tensor(spec.mean))
        self.register_buffer("std", None if spec.std is None else torch.tensor(spec.std))

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Standardise windows: [B, L, C] -> [B, L, C]."""
        return imu_BLC if self.mean is None or self.std is None else (imu_BLC - self.mean) / self.std


class ProjectionHead(nn.Module):
    """[B, D] -> Linear -> ReLU -> Linear -> [B, D]: from an encoder's features to the shared embedding space."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(embed_dim, embed_dim)
        self.output = nn.Linear(embed_dim, embed_dim)
        self.apply(initialize)

    def forward(self, features_BD: Tensor) -> Tensor:
        """Project features [B, D]. The result is not normalised."""
        projected_BD: Tensor = self.output(nn.functional.relu(self.hidden(features_BD)))
        return projected_BD


class DualEncoder(PartlyFrozen):
    """An IMU encoder and a video encoder, trained to give similar embeddings for the same moment.

    Features are the output of an encoder and are used by downstream tasks. Embeddings are the output of the projection
    head, normalised to unit length, and are compared by the contrastive loss and in retrieval.
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
        """Combine two encoders.

        `imu` maps [B, L, C] to [B, D], `video` maps [B, 3, T, H, W] to [B, D]; D is `embed_dim`. `blocks` are the
        blocks of each encoder from input to output; without them, each encoder is a single block.
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
        """Return the blocks of each encoder, from input to output."""
        return self._blocks

    def forward(self, imu_BLC: Tensor, video_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of B windows: those of IMU and those of video, [B, D] each."""
        return self.embed_imu(imu_BLC), self.embed_video(video_BTHWC)

    def embed_imu(self, imu_BLC: Tensor) -> Tensor:
        """Embed IMU windows in the channels' units: unit vectors [B, D], float32."""
        return self.project_imu(self.imu_features(imu_BLC))

    def embed_video(self, video_BTHWC: Tensor) -> Tensor:
        """Embed video windows, uint8 RGB: unit vectors [B, D], float32."""
        return self.embed_frames(self.frames(video_BTHWC))

    def embed_frames(self, video_B3THW: Tensor) -> Tensor:
        """Embed video windows in normalised colour, as augmentation returns them: unit vectors [B, D], float32."""
        return self.project_video(self.video(video_B3THW))

    def project_imu(self, features_BD: Tensor) -> Tensor:
        """Project features from `imu_features` to embeddings: unit vectors [B, D], float32."""
        return _unit(self.imu_head(features_BD))

    def project_video(self, features_BD: Tensor) -> Tensor:
        """Project features from `video_features` to embeddings: unit vectors [B, D], float32."""
        return _unit(self.video_head(features_BD))

    def imu_features(self, imu_BLC: Tensor) -> Tensor:
        """Compute features [B, D] of IMU windows in the channels' units."""
        features_BD: Tensor = self.imu(self.samples(imu_BLC))
        return features_BD

    def video_features(self, video_BTHWC: Tensor) -> Tensor:
        """Compute features [B, D] of video windows, uint8 RGB."""
        features_BD: Tensor = self.video(self.frames(video_BTHWC))
        return features_BD


def _unit(x_BD: Tensor) -> Tensor:
    """Normalise in at least float32: under autocast x is bfloat16, in which lengths would be off by 1e-2."""
    return nn.functional.normalize(x_BD.to(torch.promote_types(x_BD.dtype, torch.float32)), dim=-1)
