"""The module of an exported encoder: features, embeddings, and those of whole recordings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.types import ImuSpec, Split, VideoSpec
from revalexo_clip.export.description import EncoderDescription
from revalexo_clip.export.sliding_windows import RecordingVectors, Table, finite, slide, stacked
from revalexo_clip.models.dual_encoder import FrameNormalization, ProjectionHead, Standardization
from revalexo_clip.models.encoders import ImuEncoder

ImuWindow = Tensor | npt.NDArray[np.generic] | Table
"""Windows [B, L, C] as a tensor or an array, or named channels."""


class PretrainedEncoder(nn.Module, ABC):
    """A pretrained encoder with its projection into the space shared by both modalities."""

    def __init__(self, description: EncoderDescription, encoder: nn.Module) -> None:
        super().__init__()
        self.description = description
        self.encoder = encoder
        self.head = ProjectionHead(description.feature_dim, description.embed_dim) if description.projection else None

    @property
    def subjects(self) -> Mapping[Split, tuple[str, ...]] | None:
        """Subjects used for training (`train`) and model selection (`val`); None if they are unknown.

        They must not be test subjects of any task.
        """
        return self.description.origin.subjects

    @abstractmethod
    def features(self, window: Tensor) -> Tensor:
        """Compute features [B, D] for downstream tasks, before the projection head."""

    def forward(self, window: Tensor) -> Tensor:
        """Compute the features, see `features`."""
        return self.features(window)

    def embed(self, window: Tensor) -> Tensor:
        """Compute embeddings: unit vectors [B, D] in the space shared with the other modality."""
        return self.project(self.features(window))

    def project(self, features_BD: Tensor) -> Tensor:
        """Project features [B, D] to unit vectors [B, D]. Raises `ValueError` if the encoder has no projection."""
        if self.head is None:
            raise ValueError(
                f"this encoder has features only: it was imported from {self.description.origin.checkpoint}, which "
                "contains no projection into a shared space"
            )
        projected_BD: Tensor = self.head(features_BD)
        return functional.normalize(projected_BD.float(), dim=-1)


class PretrainedImuEncoder(PretrainedEncoder):
    """IMU encoder for windows in the units and channel order of its `spec`, and for recordings at any rate."""

    def __init__(self, description: EncoderDescription, spec: ImuSpec, encoder: nn.Module) -> None:
        super().__init__(description, encoder)
        self.spec = spec
        self.samples = Standardization(spec)

    def features(self, window: ImuWindow) -> Tensor:
        """Compute features [B, D] of windows [B, L, C]: a tensor, an array, or named channels (see `window_from`).

        Raises `ValueError` if the shape is not the [B, L, C] of `spec`.
        """
        imu_BLC = window if isinstance(window, Tensor) else self.window_from(window)
        expected = (self.spec.samples, len(self.spec.channels))
        if imu_BLC.ndim != 3 or tuple(imu_BLC.shape[1:]) != expected:
            raise ValueError(
                f"IMU windows must be [B, {expected[0]}, {expected[1]}] ({self.spec.window:g} s at "
                f"{self.spec.rate:g} Hz, channels in the order of spec.channels), not {list(imu_BLC.shape)}; "
                "embed_recording cuts a recording into such windows"
            )
        features_BD: Tensor = self.encoder(self.samples(imu_BLC.to(self._like.dtype)))
        return features_BD

    def forward(self, window: ImuWindow) -> Tensor:
        """Compute the features, see `features`."""
        return self.features(window)

    def embed(self, window: ImuWindow) -> Tensor:
        """Compute embeddings: unit vectors [B, D] in the space shared with video."""
        return self.project(self.features(window))

    def window_from(self, window: npt.NDArray[np.generic] | Table) -> Tensor:
        """Convert an array [B, L, C], or named channels [L] or [B, L] in any order, to a tensor [B, L, C].

        Named channels may be the columns of a pandas data frame; other columns are ignored. Raises `ValueError`, which
        names the channels that are missing, of another length, or not finite.
        """
        channels = self.spec.channels
        if isinstance(window, np.ndarray):
            imu_BLC = finite(window, channels) if window.ndim and window.shape[-1] == len(channels) else window
        elif hasattr(window, "keys"):
            imu_LC = stacked(window, channels)
            imu_BLC = imu_LC[None] if imu_LC.ndim == 2 else imu_LC
        else:
            raise TypeError(f"IMU windows must be a tensor or array [B, L, C], or named channels, not {type(window)}")
        return torch.from_numpy(imu_BLC).to(self._like.device)

    def embed_recording(
        self,
        recording: Table | npt.NDArray[np.generic],
        *,
        rate: float | None = None,
        time: str | None = None,
        stride: float = 0.5,
        batch: int = 64,
    ) -> RecordingVectors:
        """Embed a recording window by window.

        The recording is resampled to the encoder's rate without aliasing. Windows are cut as in evaluation, the first
        at the first sample.

        - `recording`: named columns [n], e.g. a pandas data frame, or an array [n, C] in the order of `spec.channels`.
        - `rate`: sampling rate of the recording [Hz].
        - `time`: name of the column with the sample times [s], instead of `rate`, if the rate drifts or jitters.
        - `stride`: time from one window to the next [s].
        - `batch`: number of windows that are encoded at a time.

        Raises `ValueError` if channels are missing, a value is not finite, there is a gap, the recording is too short
        or its rate too low.
        """
        return self._over(recording, self.embed, rate=rate, time=time, stride=stride, batch=batch)

    def recording_features(
        self,
        recording: Table | npt.NDArray[np.generic],
        *,
        rate: float | None = None,
        time: str | None = None,
        stride: float = 0.5,
        batch: int = 64,
    ) -> RecordingVectors:
        """Compute features for downstream tasks, window by window. See `embed_recording`."""
        return self._over(recording, self.features, rate=rate, time=time, stride=stride, batch=batch)

    def _over(
        self,
        recording: Table | npt.NDArray[np.generic],
        encode: Callable[[Tensor], Tensor],
        *,
        rate: float | None,
        time: str | None,
        stride: float,
        batch: int,
    ) -> RecordingVectors:
        windows = slide(recording, self.spec, rate=rate, time=time, stride=stride)
        with torch.no_grad():
            vectors = [encode(torch.from_numpy(imu_BLC).to(self._like.device)) for imu_BLC in windows.batches(batch)]
        return RecordingVectors(torch.from_numpy(windows.start_N), torch.cat(vectors).cpu())

    @property
    def _like(self) -> Tensor:
        """Tensor with the data type and device of the weights."""
        return next(self.parameters())


class PretrainedVideoEncoder(PretrainedEncoder):
    """Video encoder for the number and size of frames of its `spec`."""

    def __init__(self, description: EncoderDescription, spec: VideoSpec, encoder: nn.Module) -> None:
        super().__init__(description, encoder)
        self.spec = spec
        self.frames = FrameNormalization(spec)

    def features(self, window: Tensor) -> Tensor:
        """Compute features [B, D] of frames [B, T, H, W, 3], uint8 RGB, H = W = `spec.crop` [px].

        Raises `ValueError` if the shape or the data type is wrong.
        """
        expected = (self.spec.frames, self.spec.crop, self.spec.crop, 3)
        if window.dtype != torch.uint8 or window.ndim != 5 or tuple(window.shape[1:]) != expected:
            raise ValueError(
                f"video windows must be uint8 [B, {', '.join(map(str, expected))}], "
                f"not {window.dtype} {list(window.shape)}"
            )
        features: Tensor = self.encoder(self.frames(window))
        return features


def build_encoder(description: EncoderDescription) -> PretrainedEncoder:
    """Build the described encoder with new weights."""
    encoder, dim = description.encoder, description.embed_dim
    if isinstance(encoder, ImuEncoder):
        assert description.imu is not None
        return PretrainedImuEncoder(description, description.imu, encoder.build(description.imu, dim))
    assert description.video is not None
    return PretrainedVideoEncoder(description, description.video, encoder.build(description.video, dim))
