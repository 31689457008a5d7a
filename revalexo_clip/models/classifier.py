"""The activity classifier: encoders of one or both modalities, and heads that map their features to activities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from revalexo_clip.core.component import Component
from revalexo_clip.core.types import ClassifierOutput, ImuSpec, Modality, VideoSpec
from revalexo_clip.models.dual_encoder import FrameNormalization, Standardization, video_inputs
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.models.layers import Dropout, PartlyFrozen, initialize, number_dropouts


class Head(Component, ABC):
    """Base class of heads, which map the features of a window to logits of activities at several horizons."""

    @abstractmethod
    def build(self, features: int, horizons: int, activities: int) -> nn.Module:
        """Build a module with new weights that maps [B, features] to [B, horizons, activities]."""


class LinearHeads(Head):
    """A linear layer per horizon. If there are several horizons, a shared hidden layer precedes them."""

    hidden: PositiveInt | None = None
    """Units of the shared layer; null for the number of features."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout probability of the shared layer's units."""

    def build(self, features: int, horizons: int, activities: int) -> nn.Module:
        """See `Head.build`."""
        return LinearHeadsNet(features, horizons, activities, hidden=self.hidden or features, dropout=self.dropout)


class LinearHeadsNet(nn.Module):
    """[B, F] -> [B, K, A]. The heads of all K horizons are stored as one matrix."""

    def __init__(self, features: int, horizons: int, activities: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.horizons = horizons
        self.shared = nn.Sequential()
        if horizons > 1:
            self.shared = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), Dropout(dropout))
            self.shared.apply(initialize)
        self.heads = nn.Linear(hidden if horizons > 1 else features, horizons * activities)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Compute logits [B, K, A] from features [B, F]."""
        logits_BJ: Tensor = self.heads(self.shared(features_BF))
        return logits_BJ.view(logits_BJ.shape[0], self.horizons, -1)


Fusion = Literal["logits", "features"]


@dataclass(frozen=True)
class Architecture:
    """The encoders of an activity classifier and their input specifications; None for a modality without an encoder."""

    embed_dim: int
    """D, the embedding size that encoders are built for; the number of features of most of them."""
    imu: ImuEncoder | None
    imu_spec: ImuSpec | None
    video: VideoEncoder | None
    video_spec: VideoSpec | None

    @property
    def feature_dims(self) -> list[int]:
        """F, the number of features of each encoder, IMU first."""
        return [encoder.feature_dim(self.embed_dim) for encoder in (self.imu, self.video) if encoder is not None]

    def build(self, head: Head, fusion: Fusion, *, horizons: int, activities: int) -> ActivityClassifier:
        """Build an activity classifier with new weights. Raises `ConfigError` if an encoder cannot be built."""
        encoders: dict[Modality, nn.Module] = {}
        blocks: dict[Modality, Sequence[nn.Module]] = {}
        if self.imu is not None:
            assert self.imu_spec is not None
            encoders["imu"] = self.imu.build(self.imu_spec, self.embed_dim)
            blocks["imu"] = self.imu.blocks(encoders["imu"])
        if self.video is not None:
            assert self.video_spec is not None
            encoders["video"] = self.video.build(self.video_spec, self.embed_dim)
            blocks["video"] = self.video.blocks(encoders["video"])
        joined = fusion == "features" or len(encoders) == 1
        sizes = [sum(self.feature_dims)] if joined else self.feature_dims
        heads = [head.build(size, horizons, activities) for size in sizes]
        norm = nn.LayerNorm(sizes[0]) if len(encoders) > len(heads) else None
        return ActivityClassifier(
            encoders, heads, norm, blocks=blocks, imu_spec=self.imu_spec, video_spec=self.video_spec
        )


class ActivityClassifier(PartlyFrozen):
    """A model that computes logits of activities at several horizons from windows of IMU, video, or both.

    Both modalities can be combined in two ways: one head per modality, whose logits are averaged; or a single head on
    the concatenated features of both, after a layer norm.
    """

    def __init__(
        self,
        encoders: Mapping[Modality, nn.Module],
        heads: Sequence[nn.Module],
        norm: nn.Module | None = None,
        *,
        blocks: Mapping[Modality, Sequence[nn.Module]],
        imu_spec: ImuSpec | None,
        video_spec: VideoSpec | None,
    ) -> None:
        """Combine encoders and heads.

        `encoders` map [B, L, C] or [B, 3, T, H, W] to [B, F], see `Encoder.feature_dim`; `heads` map features to
        [B, K, A]. There is either one head per encoder, in the same order, or a single head for the concatenated
        features, to which `norm` is applied first. `blocks` are the blocks of each encoder from input to output.
        """
        super().__init__()
        self.imu, self.video = encoders.get("imu"), encoders.get("video")
        self.samples = None if imu_spec is None else Standardization(imu_spec)
        self.frames = None if video_spec is None else FrameNormalization(video_spec)
        self.norm = norm
        self.heads = nn.ModuleList(heads)
        self._blocks = blocks
        number_dropouts(self)

    def towers(self) -> Mapping[Modality, Sequence[nn.Module]]:
        """Return the blocks of each encoder, from input to output."""
        return self._blocks

    def encoder(self, modality: Modality) -> nn.Module:
        """Return the encoder of a modality that the model uses."""
        found = self.imu if modality == "imu" else self.video
        assert found is not None
        return found

    def forward(self, imu_BLC: Tensor, video_BTHWC: Tensor, motion_BMYX3: Tensor | None = None) -> ClassifierOutput:
        """Classify B windows: IMU in the channels' units, video uint8 RGB. Ignores a modality without an encoder."""
        return self.classify(imu_BLC, video_BTHWC if self.frames is None else self.frames(video_BTHWC), motion_BMYX3)

    def classify(self, imu_BLC: Tensor, video_B3THW: Tensor, motion_BMYX3: Tensor | None = None) -> ClassifierOutput:
        """Classify B windows with video in normalised colour and measured motion, as augmentation returns them."""
        features = []
        if self.imu is not None:
            assert self.samples is not None
            features.append(self.imu(self.samples(imu_BLC)))
        if self.video is not None:
            features.append(self.video(*video_inputs(self.video, video_B3THW, motion_BMYX3)))
        features_BF = torch.cat(features, dim=1)
        if len(self.heads) == 1:
            features_BF = features_BF if self.norm is None else self.norm(features_BF)
            return ClassifierOutput(self.heads[0](features_BF), features_BF)
        logits = [head(own_BF) for head, own_BF in zip(self.heads, features, strict=True)]
        return ClassifierOutput(torch.stack(logits).mean(dim=0), features_BF)
