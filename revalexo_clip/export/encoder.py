"""The module of an exported encoder: features, embeddings, tokens, and those of whole recordings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.data.imu import unit_of
from revalexo_clip.export.description import EncoderDescription, wrong_imu
from revalexo_clip.export.exported import Exported, ImuInput
from revalexo_clip.export.sliding_windows import ImuWindow, RecordingVectors, Table
from revalexo_clip.models.dual_encoder import FrameNormalization, Standardization, projection_head, video_inputs
from revalexo_clip.models.encoders import ImuEncoder
from revalexo_clip.models.sequence import SequenceNet
from revalexo_clip.models.tokens import TokenHead


class PretrainedEncoder(Exported):
    """A pretrained encoder with its projection into the space shared by both modalities, and its tokens."""

    description: EncoderDescription

    def __init__(self, description: EncoderDescription, encoder: nn.Module) -> None:
        super().__init__()
        self.description = description
        self.encoder = encoder
        sizes, projects = (description.feature_dim, description.embed_dim), description.projection
        self.head = projection_head(description.modality, *sizes, headless=description.headless) if projects else None
        self.token_head: TokenHead | None = None
        if description.tokens is not None:
            if not isinstance(encoder, SequenceNet):
                raise ConfigError(f"tokens: {type(description.encoder).__name__} computes no sequence")
            assert description.token_times is not None
            self.token_head = TokenHead(
                description.tokens, encoder.sequence_dim, encoder.time_T, description.token_times
            )

    @abstractmethod
    def features(self, window: Tensor) -> Tensor:
        """Compute features [B, F] for downstream tasks, before the projection head if there is one."""

    def forward(self, *windows: Tensor, **named: Tensor) -> Tensor:
        """Compute the features, see `features`."""
        return self.features(*windows, **named)

    @abstractmethod
    def embed(self, window: Tensor) -> Tensor:
        """Compute the unit vectors [B, D] that retrieval compares with those of the other modality."""

    @abstractmethod
    def tokens(self, window: Tensor) -> Tensor:
        """Compute tokens [B, S, d]. Raises `ValueError` if the encoder has none."""

    def project(self, features_BF: Tensor) -> Tensor:
        """Project features [B, F] to embeddings of the whole window: unit vectors [B, D].

        Raises `ValueError` if the encoder has no projection.
        """
        if self.head is None:
            raise ValueError(
                f"this encoder has features only: it was imported from {self.description.origin.checkpoint}, which "
                "contains no projection into a shared space"
            )
        projected_BD: Tensor = self.head(features_BF)
        return functional.normalize(projected_BD.float(), dim=-1)

    def encode(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features [B, F] and embeddings for retrieval from inputs of the encoder's module, see `embed`."""
        if self.token_head is None:
            features_BF: Tensor = self.encoder(*inputs)
            return features_BF, self.project(features_BF)
        assert isinstance(self.encoder, SequenceNet)
        encoded = self.encoder.encode(*inputs)
        tokens_BE: Tensor = self.token_head(encoded.sequence_BTE)
        return encoded.features_BF, tokens_BE

    def outputs(self, *inputs: Tensor) -> Mapping[str, Tensor]:
        """See `Exported.outputs`: `features` and, if there is a projection, `embedding`."""
        if self.head is None:
            return {"features": self.encoder(*inputs)}
        features_BF, embedding_BE = self.encode(*inputs)
        return {"features": features_BF, "embedding": embedding_BE}

    def _as_tokens(self, embedding_BE: Tensor) -> Tensor:
        """Divide embeddings into tokens. Raises `ValueError` if the encoder has none."""
        tokens = self.description.tokens
        if tokens is None:
            raise ValueError("this encoder has no tokens: it was trained without them (tokens=null in its experiment)")
        return embedding_BE.view(-1, tokens.count, tokens.dim)


class PretrainedImuEncoder(PretrainedEncoder, ImuInput):
    """IMU encoder for windows in the units and channel order of its `spec`, and for recordings at any rate."""

    def __init__(self, description: EncoderDescription, spec: ImuSpec, encoder: nn.Module) -> None:
        super().__init__(description, encoder)
        self.spec = spec
        self.samples = Standardization(spec)

    def features(self, window: ImuWindow) -> Tensor:
        """Compute features [B, F] of windows [B, L, C]: a tensor, an array, or named channels (see `window_from`).

        Raises `ValueError` if the shape is not the [B, L, C] of `spec`.
        """
        features_BF: Tensor = self.encoder(self.standardized(window))
        return features_BF

    def embed(self, window: ImuWindow) -> Tensor:
        """Compute the unit vectors [B, D] that retrieval compares with those of video: tokens if there are any.

        See `features` for the input.
        """
        return self.encode(self.standardized(window))[1]

    def tokens(self, window: ImuWindow) -> Tensor:
        """Compute tokens [B, S, d] at the times `description.token_times`: the vectors of `embed` by moment.

        Raises `ValueError` if the encoder has none.
        """
        return self._as_tokens(self.embed(window))

    def inputs_from(self, **windows: Tensor) -> tuple[Tensor, ...]:
        """See `Exported.inputs_from`; the name is `imu`."""
        return (self.standardized(windows["imu"]),)

    def for_sensors(self, channels: Sequence[str], rate: float | None = None) -> PretrainedImuEncoder:
        """Return this encoder for other sensors, with the same weights and the same length of windows.

        - `channels`: names in the order in which they will come, such as `acc_Right_Wrist_x`; accelerometers in m/s^2,
          gyroscopes in rad/s.
        - `rate`: sampling rate of the windows [Hz]; None for that of `spec`. `embed_recording` resamples to it.

        Raises `ConfigError` if its weights belong to its sensors (all encoders but `AnySensor`), or if a channel is not
        part of a sensor.
        """
        encoder = self.description.encoder
        assert isinstance(encoder, ImuEncoder)
        if not encoder.any_sensors:
            raise ConfigError(
                f"the weights of {type(encoder).__name__} belong to {len(self.spec.channels)} channels at "
                f"{self.spec.rate:g} Hz; an encoder for other sensors is AnySensor"
            )
        spec = replace(
            self.spec,
            channels=tuple(channels),
            units=tuple(map(unit_of, channels)),
            rate=self.spec.rate if rate is None else rate,
        )
        if wrong := list(wrong_imu(spec)):
            raise ConfigError("; ".join(wrong))
        other = build_encoder(self.description.model_copy(update={"imu": spec, "onnx": None}))
        assert isinstance(other, PretrainedImuEncoder)
        other.load_state_dict(self.state_dict())
        return other.train(self.training)

    def embed_recording(
        self,
        recording: Table | Tensor | npt.NDArray[np.generic],
        *,
        rate: float | None = None,
        time: str | None = None,
        stride: float = 0.5,
        batch: int = 64,
    ) -> RecordingVectors:
        """Embed a recording window by window.

        The recording is resampled to the encoder's rate without aliasing. Windows are cut as in evaluation, the first
        at the first sample.

        - `recording`: named columns [n], e.g. a pandas data frame, or an array or tensor [n, C] (`spec.channels`).
        - `rate`: sampling rate of the recording [Hz].
        - `time`: name of the column with the sample times [s], instead of `rate`, if the rate drifts or jitters.
        - `stride`: time from one window to the next [s].
        - `batch`: number of windows that are encoded at a time.

        Raises `ValueError` if channels are missing, a value is not finite, a sensor seems to be in another unit (g or
        deg/s), there is a gap, the recording is too short or its rate too low; `TypeError` if it is no recording.
        """
        found = self.over_windows(recording, self.embed, rate=rate, time=time, stride=stride, batch=batch)
        return RecordingVectors(torch.from_numpy(found[0]), found[1])

    def recording_features(
        self,
        recording: Table | Tensor | npt.NDArray[np.generic],
        *,
        rate: float | None = None,
        time: str | None = None,
        stride: float = 0.5,
        batch: int = 64,
    ) -> RecordingVectors:
        """Compute features for downstream tasks, window by window. See `embed_recording`."""
        found = self.over_windows(recording, self.features, rate=rate, time=time, stride=stride, batch=batch)
        return RecordingVectors(torch.from_numpy(found[0]), found[1])


class PretrainedVideoEncoder(PretrainedEncoder):
    """Video encoder for the frames and the measured motion of its `spec`. `description.inputs` says what it takes."""

    def __init__(self, description: EncoderDescription, spec: VideoSpec, encoder: nn.Module) -> None:
        super().__init__(description, encoder)
        self.spec = spec
        self.frames = FrameNormalization(spec)

    def features(self, window: Tensor | None = None, motion: Tensor | None = None) -> Tensor:
        """Compute features [B, F].

        - `window`: frames [B, T, H, W, 3], uint8 RGB, H = W = `spec.crop` [px]; not needed if the encoder ignores them.
        - `motion`: measured motion [B, M, Y, X, 3], float32: to the right and down [picture widths / s], and its
          confidence from 0 to 1; only for encoders that take it.

        Raises `ValueError` if an input is missing, or its shape or data type is wrong.
        """
        features_BF: Tensor = self.encoder(*self._inputs(window, motion))
        return features_BF

    def embed(self, window: Tensor | None = None, motion: Tensor | None = None) -> Tensor:
        """Compute the unit vectors [B, D] that retrieval compares with those of IMU: tokens if there are any.

        See `features` for the inputs.
        """
        return self.encode(*self._inputs(window, motion))[1]

    def tokens(self, window: Tensor | None = None, motion: Tensor | None = None) -> Tensor:
        """Compute tokens [B, S, d] at the times `description.token_times`: the vectors of `embed` by moment.

        Raises `ValueError` if the encoder has none.
        """
        return self._as_tokens(self.embed(window, motion))

    def inputs_from(self, **windows: Tensor) -> tuple[Tensor, ...]:
        """See `Exported.inputs_from`; the names are `video` and `motion`."""
        return self._inputs(windows.get("video"), windows.get("motion"))

    def _inputs(self, window: Tensor | None, motion: Tensor | None) -> tuple[Tensor, ...]:
        names = self.description.inputs
        if "motion" in names:
            self._check_motion(motion)
        if "video" not in names:
            assert motion is not None
            window = motion.new_zeros((motion.shape[0], 0, 0, 0, 3))
        elif window is None:
            raise ValueError("this encoder takes frames: pass uint8 [B, T, H, W, 3]")
        else:
            self._check_frames(window)
        return video_inputs(self.encoder, self.frames(window), motion)

    def _check_frames(self, window: Tensor) -> None:
        expected = (self.spec.images, self.spec.crop, self.spec.crop, 3)
        if window.dtype != torch.uint8 or window.ndim != 5 or tuple(window.shape[1:]) != expected:
            raise ValueError(
                f"video windows must be uint8 [B, {', '.join(map(str, expected))}], "
                f"not {window.dtype} {list(window.shape)}"
            )

    def _check_motion(self, motion: Tensor | None) -> None:
        spec = self.spec.motion
        assert spec is not None
        expected = (spec.moments, spec.rows, spec.columns, 3)
        if motion is None:
            raise ValueError(f"this encoder takes measured motion: pass motion=[B, {', '.join(map(str, expected))}]")
        if not motion.is_floating_point() or motion.ndim != 5 or tuple(motion.shape[1:]) != expected:
            raise ValueError(
                f"measured motion must be float [B, {', '.join(map(str, expected))}] ({spec.window:g} s at "
                f"{spec.rate:g} Hz), not {motion.dtype} {list(motion.shape)}"
            )


def build_encoder(description: EncoderDescription) -> PretrainedEncoder:
    """Build the described encoder with new weights."""
    encoder, dim = description.encoder, description.embed_dim
    if isinstance(encoder, ImuEncoder):
        assert description.imu is not None
        return PretrainedImuEncoder(description, description.imu, encoder.build(description.imu, dim))
    assert description.video is not None
    return PretrainedVideoEncoder(description, description.video, encoder.build(description.video, dim))
