"""The exported encoder as others use it."""

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
    """An encoder with its projection into the space that both modalities share."""

    def __init__(self, description: EncoderDescription, encoder: nn.Module) -> None:
        super().__init__()
        self.description = description
        self.encoder = encoder
        self.head = ProjectionHead(description.embed_dim) if description.projection else None

    @property
    def subjects(self) -> Mapping[Split, tuple[str, ...]] | None:
        """Subjects that it was trained on and selected on, `train` and `val`: no test subjects of any task.

        None where they are not known.
        """
        return self.description.origin.subjects

    @abstractmethod
    def features(self, window: Tensor) -> Tensor:
        """Features [B, D] for downstream tasks, before the projection head."""

    def forward(self, window: Tensor) -> Tensor:
        """As `features`."""
        return self.features(window)

    def embed(self, window: Tensor) -> Tensor:
        """Unit vectors [B, D] in the space shared with the other modality."""
        return self.project(self.features(window))

    def project(self, features_BD: Tensor) -> Tensor:
        """Features [B, D] -> unit vectors [B, D]. Raises `ValueError` where the encoder has no projection."""
        if self.head is None:
            raise ValueError(
                f"this encoder was imported from {self.description.origin.checkpoint}, which holds no projection into "
                "a space shared with the other modality: it gives features only"
            )
        projected_BD: Tensor = self.head(features_BD)
        return functional.normalize(projected_BD.float(), dim=-1)


class PretrainedImuEncoder(PretrainedEncoder):
    """Takes IMU windows in the units and the channel order of its `spec`, and recordings at other rates."""

    def __init__(self, description: EncoderDescription, spec: ImuSpec, encoder: nn.Module) -> None:
        super().__init__(description, encoder)
        self.spec = spec
        self.samples = Standardization(spec)

    def features(self, window: ImuWindow) -> Tensor:
        """Windows [B, L, C] as a tensor or an array, or named channels as `window_from` takes them -> features [B, D].

        Raises `ValueError` where the shape is not [B, L, C] of `spec`.
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
        """As `features`."""
        return self.features(window)

    def embed(self, window: ImuWindow) -> Tensor:
        """Unit vectors [B, D] in the space shared with video."""
        return self.project(self.features(window))

    def window_from(self, window: npt.NDArray[np.generic] | Table) -> Tensor:
        """An array [B, L, C], or named channels, each [L] or [B, L] in its unit, in any order -> [B, L, C].

        A table with such columns, as pandas reads it, will do; other columns are left aside. Raises `ValueError` that
        names the channels that are missing, of another length, or not finite.
        """
        channels = self.spec.channels
        if isinstance(window, np.ndarray):
            imu_BLC = finite(window, channels) if window.ndim and window.shape[-1] == len(channels) else window
        elif hasattr(window, "keys"):
            imu_LC = stacked(window, channels)
            imu_BLC = imu_LC[None] if imu_LC.ndim == 2 else imu_LC
        else:
            raise TypeError(f"IMU windows are a tensor or an array [B, L, C], or named channels, not {type(window)}")
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
        """Embeddings of the windows that slide over a whole recording, one every `stride` seconds.

        `recording` has the channels as named columns [n], such as a frame that pandas read, or is an array [n, C] in
        the order of `spec.channels`. It was sampled at `rate` [Hz] or, where rates drift or jitter, at the times in the
        column `time` [s]; it is brought to the encoder's own rate without aliasing. Windows start at the first sample,
        and are those that evaluation would cut. `batch` of them are encoded at a time, to bound memory.

        Raises `ValueError` that says which channels are missing, where a value is not finite, that there is a gap, or
        that the recording is too short or its rate too low.
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
        """As `embed_recording`, but the features that downstream tasks use."""
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
        """What windows must be like, in type and device."""
        return next(self.parameters())


class PretrainedVideoEncoder(PretrainedEncoder):
    """Takes frames of the number and size of its `spec`."""

    def __init__(self, description: EncoderDescription, spec: VideoSpec, encoder: nn.Module) -> None:
        super().__init__(description, encoder)
        self.spec = spec
        self.frames = FrameNormalization(spec)

    def features(self, window: Tensor) -> Tensor:
        """[B, T, H, W, 3] uint8 RGB, H = W = `spec.crop` -> features [B, D].

        Raises `ValueError` where shape or type is another.
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
    """The described encoder with new weights."""
    encoder, dim = description.encoder, description.embed_dim
    if isinstance(encoder, ImuEncoder):
        assert description.imu is not None
        return PretrainedImuEncoder(description, description.imu, encoder.build(description.imu, dim))
    assert description.video is not None
    return PretrainedVideoEncoder(description, description.video, encoder.build(description.video, dim))
