"""The dual encoder: an encoder and a projection head per modality, which map to a shared space of unit vectors.

A modality may have no head: that of a frozen encoder whose features another frozen encoder shares, such as CLIP's.

Training both encoders and their heads jointly follows IMU2CLIP (Moon et al., 2022, arXiv:2210.14395); the head of two
layers follows Chen et al., 2020 (arXiv:2002.05709).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, Modality, VideoSpec
from revalexo_clip.models.encoders.frozen import FrozenFeatures
from revalexo_clip.models.frame_tokens import FrameTokens, frame_heads
from revalexo_clip.models.layers import PartlyFrozen, initialize, number_dropouts
from revalexo_clip.models.sequence import Encoded, SequenceNet, TakesMotion
from revalexo_clip.models.tokens import TokenHead, Tokens, token_heads


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
    """[B, F] -> Linear -> ReLU -> Linear -> [B, D]: from an encoder's features to the shared embedding space."""

    def __init__(self, feature_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_dim, embed_dim)
        self.output = nn.Linear(embed_dim, embed_dim)
        self.apply(initialize)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Project features [B, F]. The result [B, D] is not normalised."""
        projected_BD: Tensor = self.output(nn.functional.relu(self.hidden(features_BF)))
        return projected_BD


def projection_head(
    modality: Modality | Literal["text"], feature_dim: int, embed_dim: int, *, headless: bool
) -> ProjectionHead | nn.Identity:
    """Build the head of a modality; the identity if it is `headless`, so that its features are the embedding.

    Raises `ConfigError` if it is headless and F is not D.
    """
    if not headless:
        return ProjectionHead(feature_dim, embed_dim)
    if feature_dim != embed_dim:
        raise ConfigError(
            f"headless: the {modality} encoder gives {feature_dim} features and embed_dim is {embed_dim}; without a "
            f"head both must be equal: set embed_dim={feature_dim}, or leave {modality} out of headless"
        )
    return nn.Identity()


class Vectors(NamedTuple):
    """What a model computes from B windows of one modality."""

    features_BF: Tensor
    """Output of the encoder, which downstream tasks use."""
    embedding_BD: Tensor
    """Unit vectors of the window, from the projection head if there is one; float32."""
    tokens_BE: Tensor | None
    """Unit vectors of the tokens of all moments, E = S * d; float32. None if the model has no tokens."""
    frames_BE: Tensor | None = None
    """Unit vectors of the moments that have frames, after one another; float32. None if the model has none."""

    @property
    def retrieval(self) -> Tensor:
        """The unit vectors that retrieval compares: tokens if there are any, else embeddings."""
        return self.embedding_BD if self.tokens_BE is None else self.tokens_BE


NO_VIDEO_ENCODER = "a model of IMU alone has no video encoder"


class DualEncoder(PartlyFrozen):
    """An IMU encoder and a video encoder, trained to give similar embeddings for the same moment.

    Features are the output of an encoder and are used by downstream tasks. Embeddings are the output of the projection
    head, or the features of a modality without one, normalised to unit length. Tokens, if the model has them, are unit
    vectors of moments, see `Tokens`. The contrastive loss compares embeddings, tokens, or both; retrieval compares
    tokens if there are any.

    Methods that take video also take measured motion [B, M, Y, X, 3], which only video encoders that are marked
    `TakesMotion` need. A model of IMU alone has neither a video encoder nor its head, and its methods that take video
    must not be called.
    """

    def __init__(
        self,
        imu: nn.Module,
        video: nn.Module | None,
        *,
        embed_dim: int,
        imu_spec: ImuSpec,
        video_spec: VideoSpec | None,
        blocks: Mapping[Modality, Sequence[nn.Module]] | None = None,
        feature_dims: Mapping[Modality, int] | None = None,
        tokens: Tokens | None = None,
        frame_tokens: FrameTokens | None = None,
        headless: Collection[str] = (),
    ) -> None:
        """Combine two encoders, or wrap that of IMU if `video` and `video_spec` are None.

        `imu` maps [B, L, C] to [B, F], `video` maps [B, 3, T, H, W], and motion if it is a `TakesMotion`, to [B, F].
        `feature_dims` are F of each, without them D, which is `embed_dim`. `blocks` are the blocks of each encoder from
        input to output; without them, each encoder is a single block. Modalities that are `headless` have no projection
        head. Raises `ConfigError` if there are to be `tokens` and an encoder gives no features of moments, or if the
        features of a headless modality are not D.
        """
        super().__init__()
        sizes = feature_dims or {}
        self.samples = Standardization(imu_spec)
        self.imu = imu
        self.video = video
        self.frames = None if video_spec is None else FrameNormalization(video_spec)
        imu_dim, video_dim = (sizes.get(modality, embed_dim) for modality in ("imu", "video"))
        self.imu_head = projection_head("imu", imu_dim, embed_dim, headless="imu" in headless)
        self.video_head = None
        if video is not None:
            self.video_head = projection_head("video", video_dim, embed_dim, headless="video" in headless)
        heads = {} if tokens is None or video is None else token_heads(tokens, {"imu": imu, "video": video})
        self.imu_tokens, self.video_tokens = heads.get("imu"), heads.get("video")
        of_frames = {} if frame_tokens is None or video is None else frame_heads(frame_tokens, imu, video)
        self.imu_frames, self.video_frames = of_frames.get("imu"), of_frames.get("video")
        self.frame_times = video.frame_times if of_frames and isinstance(video, SequenceNet) else ()
        """Moments of the frames that have vectors of their own [s from the start of the window]; empty without."""
        number_dropouts(self)
        self._blocks = blocks or ({"imu": [imu]} if video is None else {"imu": [imu], "video": [video]})

    def towers(self) -> Mapping[Modality, Sequence[nn.Module]]:
        """Return the blocks of each encoder, from input to output."""
        return self._blocks

    def forward(
        self, imu_BLC: Tensor, video_BTHWC: Tensor, motion_BMYX3: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the vectors that retrieval compares of B windows: those of IMU and those of video, [B, D] each."""
        return self.embed_imu(imu_BLC), self.embed_video(video_BTHWC, motion_BMYX3)

    def encode_imu(self, imu_BLC: Tensor) -> Vectors:
        """Compute all vectors of IMU windows in the channels' units."""
        return _vectors(self.imu, (self.samples(imu_BLC),), self.imu_head, self.imu_tokens, self.imu_frames)

    def encode_frames(self, video_B3THW: Tensor, motion_BMYX3: Tensor | None = None) -> Vectors:
        """Compute all vectors of video windows in normalised colour, as augmentation returns them."""
        assert self.video is not None, NO_VIDEO_ENCODER
        assert self.video_head is not None, NO_VIDEO_ENCODER
        inputs = video_inputs(self.video, video_B3THW, motion_BMYX3)
        return _vectors(self.video, inputs, self.video_head, self.video_tokens, self.video_frames)

    def encode_features(self, features_BMP: Tensor) -> Vectors:
        """Compute all vectors of video windows from the features of their frozen model, see `FrozenFeatures`."""
        assert isinstance(self.video, FrozenFeatures), "features are those of a network with a frozen part"
        assert self.video_head is not None, NO_VIDEO_ENCODER
        encoded = self.video.from_features(features_BMP)
        return _vectors_of(encoded, self.video_head, self.video_tokens, self.video_frames)

    def encode_video(self, video_BTHWC: Tensor, motion_BMYX3: Tensor | None = None) -> Vectors:
        """Compute all vectors of video windows, uint8 RGB."""
        return self.encode_frames(self.normalized(video_BTHWC), motion_BMYX3)

    def embed_imu(self, imu_BLC: Tensor) -> Tensor:
        """Embed IMU windows in the channels' units for retrieval: unit vectors [B, D], float32."""
        return self.encode_imu(imu_BLC).retrieval

    def embed_video(self, video_BTHWC: Tensor, motion_BMYX3: Tensor | None = None) -> Tensor:
        """Embed video windows, uint8 RGB, for retrieval: unit vectors [B, D], float32."""
        return self.embed_frames(self.normalized(video_BTHWC), motion_BMYX3)

    def embed_frames(self, video_B3THW: Tensor, motion_BMYX3: Tensor | None = None) -> Tensor:
        """Embed video windows in normalised colour for retrieval: unit vectors [B, D], float32."""
        return self.encode_frames(video_B3THW, motion_BMYX3).retrieval

    def project_imu(self, features_BF: Tensor) -> Tensor:
        """Project features from `imu_features` to embeddings: unit vectors [B, D], float32."""
        return unit(self.imu_head(features_BF))

    def project_video(self, features_BF: Tensor) -> Tensor:
        """Project features from `video_features` to embeddings: unit vectors [B, D], float32."""
        assert self.video_head is not None, NO_VIDEO_ENCODER
        return unit(self.video_head(features_BF))

    def imu_features(self, imu_BLC: Tensor) -> Tensor:
        """Compute features [B, F] of IMU windows in the channels' units."""
        features_BF: Tensor = self.imu(self.samples(imu_BLC))
        return features_BF

    def video_features(self, video_BTHWC: Tensor, motion_BMYX3: Tensor | None = None) -> Tensor:
        """Compute features [B, F] of video windows, uint8 RGB."""
        assert self.video is not None, NO_VIDEO_ENCODER
        features_BF: Tensor = self.video(*video_inputs(self.video, self.normalized(video_BTHWC), motion_BMYX3))
        return features_BF

    def normalized(self, video_BTHWC: Tensor) -> Tensor:
        """Normalise the colours of video windows, uint8 RGB: [B, T, H, W, 3] -> [B, 3, T, H, W] float32."""
        assert self.frames is not None, NO_VIDEO_ENCODER
        normalized_B3THW: Tensor = self.frames(video_BTHWC)
        return normalized_B3THW


def video_inputs(encoder: nn.Module, video_B3THW: Tensor, motion_BMYX3: Tensor | None) -> tuple[Tensor, ...]:
    """Return what a video encoder takes of a window: frames, and motion if it is a `TakesMotion`."""
    if not isinstance(encoder, TakesMotion):
        return (video_B3THW,)
    assert motion_BMYX3 is not None, f"{type(encoder).__name__} takes measured motion"
    return video_B3THW, motion_BMYX3


def _vectors(
    encoder: nn.Module,
    inputs: tuple[Tensor, ...],
    head: ProjectionHead | nn.Identity,
    tokens: TokenHead | None,
    frames: nn.Module | None,
) -> Vectors:
    if tokens is None and frames is None:
        features_BF: Tensor = encoder(*inputs)
        return Vectors(features_BF, unit(head(features_BF)), None)
    assert isinstance(encoder, SequenceNet)
    return _vectors_of(encoder.sequence(*inputs), head, tokens, frames)


def _vectors_of(
    encoded: Encoded, head: ProjectionHead | nn.Identity, tokens: TokenHead | None, frames: nn.Module | None
) -> Vectors:
    of_frames = None
    if frames is not None:
        maps_BTP = encoded.sequence_BTE if encoded.maps_BTP is None else encoded.maps_BTP
        of_frames = frames(maps_BTP if encoded.frames_BKV is None else encoded.frames_BKV)
    of_moments = None if tokens is None else tokens(encoded.sequence_BTE)
    return Vectors(encoded.features_BF, unit(head(encoded.features_BF)), of_moments, of_frames)


def unit(x_BD: Tensor) -> Tensor:
    """Normalise in at least float32: under autocast x is bfloat16, in which lengths would be off by 1e-2."""
    return nn.functional.normalize(x_BD.to(torch.promote_types(x_BD.dtype, torch.float32)), dim=-1)
