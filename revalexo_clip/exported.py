"""The exported encoder: a folder that explains itself, and the module that it loads as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import PositiveInt, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.component import Config, JsonObject, describe
from revalexo_clip.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.errors import ConfigError, DataError
from revalexo_clip.experiment_file import import_experiment_file
from revalexo_clip.model import FrameNormalization, ProjectionHead, Standardization
from revalexo_clip.types import ImuSpec, Modality, Split, VideoSpec

WEIGHTS = "model.safetensors"
DESCRIPTION = "config.json"
CARD = "README.md"


class Origin(Config):
    """Where an encoder comes from."""

    experiment: str
    """Name of the experiment."""
    checkpoint: str
    """File that it was exported from."""
    epoch: int
    """Epochs it was trained for."""
    step: int
    """Optimizer steps it was trained for."""
    subjects: dict[Split, tuple[str, ...]]
    """Subjects that it was trained on, and those that it was selected on: not to be test subjects."""
    versions: dict[str, str]
    """Packages that it was trained and exported with."""
    metrics: JsonObject | None = None
    """What `rxclip evaluate` measured, where it was run."""


class EncoderDescription(Config):
    """`config.json` of an exported encoder."""

    format: Literal[1] = 1
    """Version of this layout."""
    modality: Modality
    """What it encodes."""
    encoder: ImuEncoder | VideoEncoder
    """Architecture."""
    embed_dim: PositiveInt
    """D, size of the features and of the shared space."""
    imu: ImuSpec | None = None
    """Input of an IMU encoder: ordered channels, units, rate [Hz], window [s], standardisation."""
    video: VideoSpec | None = None
    """Input of a video encoder: frames, size, window [s], colour normalisation."""
    origin: Origin
    """What it was trained on."""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        imu = self.modality == "imu"
        if isinstance(self.encoder, ImuEncoder) is not imu or (self.imu if imu else self.video) is None:
            raise ValueError("the modality, the encoder and the input do not belong together")
        return self


class PretrainedEncoder(nn.Module, ABC):
    """An encoder with its projection into the space that both modalities share."""

    def __init__(self, description: EncoderDescription, encoder: nn.Module) -> None:
        super().__init__()
        self.description = description
        self.encoder = encoder
        self.head = ProjectionHead(description.embed_dim)

    @property
    def seen_subjects(self) -> tuple[str, ...]:
        """Whom it was trained or selected on: none of them may be a test subject of a task that it is used for."""
        return tuple(sorted({name for names in self.description.origin.subjects.values() for name in names}))

    @abstractmethod
    def features(self, window: Tensor) -> Tensor:
        """Features [B, D] for downstream tasks, before the projection head."""

    def forward(self, window: Tensor) -> Tensor:
        """As `features`."""
        return self.features(window)

    def embed(self, window: Tensor) -> Tensor:
        """Unit vectors [B, D] in the space shared with the other modality."""
        projected: Tensor = self.head(self.features(window))
        return functional.normalize(projected.float(), dim=-1)


class PretrainedImuEncoder(PretrainedEncoder):
    """Takes IMU windows in the units and the channel order of its `spec`."""

    def __init__(self, description: EncoderDescription, spec: ImuSpec, encoder: nn.Module) -> None:
        super().__init__(description, encoder)
        self.spec = spec
        self.samples = Standardization(spec)

    def features(self, window: Tensor | Mapping[str, npt.ArrayLike]) -> Tensor:
        """[B, L, C] float, or named channels as `window_from` takes them -> features [B, D].

        Raises `ValueError` where the shape is not [B, L, C] of `spec`.
        """
        imu_BLC = (window if isinstance(window, Tensor) else self.window_from(window)).to(self.head.hidden.weight.dtype)
        expected = (self.spec.samples, len(self.spec.channels))
        if imu_BLC.ndim != 3 or tuple(imu_BLC.shape[1:]) != expected:
            raise ValueError(
                f"IMU windows must be [B, {expected[0]}, {expected[1]}] ({self.spec.window:g} s at "
                f"{self.spec.rate:g} Hz, channels in the order of spec.channels), not {list(imu_BLC.shape)}"
            )
        features: Tensor = self.encoder(self.samples(imu_BLC))
        return features

    def forward(self, window: Tensor | Mapping[str, npt.ArrayLike]) -> Tensor:
        """As `features`."""
        return self.features(window)

    def embed(self, window: Tensor | Mapping[str, npt.ArrayLike]) -> Tensor:
        """Unit vectors [B, D] in the space shared with video."""
        return super().embed(window if isinstance(window, Tensor) else self.window_from(window))

    def window_from(self, channels: Mapping[str, npt.ArrayLike]) -> Tensor:
        """Named channels, each [L] or [B, L] in its unit, in any order -> [B, L, C]. Other names are left aside.

        A table with such columns, as pandas reads it, will do. Raises `ValueError` that names the channels that are
        missing, of another length, or not finite.
        """
        if not hasattr(channels, "keys"):
            raise TypeError(
                f"IMU windows are a tensor [B, L, C] or named channels, not {type(channels).__name__}; "
                "torch.as_tensor makes a tensor of an array"
            )
        missing = [name for name in self.spec.channels if name not in channels]
        if missing:
            raise ValueError(f"channels missing: {', '.join(missing)} (given: {', '.join(map(str, channels.keys()))})")
        columns = [_column(name, channels[name]) for name in self.spec.channels]
        first, shape = self.spec.channels[0], columns[0].shape
        for name, x in zip(self.spec.channels, columns, strict=True):
            if x.shape != shape:
                raise ValueError(f"channel {name} is {list(x.shape)}, and {first} is {list(shape)}")
        broken = [name for name, x in zip(self.spec.channels, columns, strict=True) if not np.isfinite(x).all()]
        if broken:
            raise ValueError(f"channels with NaN or infinite values: {', '.join(broken)}")
        device = next(self.parameters()).device
        return torch.from_numpy(np.stack(columns, axis=-1)).to(device)


def _column(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    try:
        return np.atleast_2d(np.asarray(values, dtype=np.float32))
    except ValueError as error:
        raise ValueError(f"channel {name}: {error}") from error


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


def load_encoder(folder: str | Path, experiment_file: str | Path | None = None) -> PretrainedEncoder:
    """The encoder in an exported folder, in eval mode on the CPU.

    `experiment_file` is the file that defines the encoder, where it is not one of this package; no code is run
    from the folder. Raises `ConfigError` or `DataError`, naming the file.
    """
    folder = Path(folder)
    if experiment_file is not None:
        import_experiment_file(Path(experiment_file))
    description = _read_description(folder / DESCRIPTION, experiment_file)
    try:
        module = build_encoder(description)
    except ConfigError as error:
        raise DataError(f"{folder / DESCRIPTION}: {error}") from error
    try:
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise DataError(f"{folder / WEIGHTS}: missing from this encoder folder") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"{folder / WEIGHTS}: damaged, or no safetensors file: {error}") from error
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:  # names or shapes differ
        differences = shorten(str(error), 500, placeholder=" ...")
        raise DataError(
            f"{folder / WEIGHTS}: the weights are not those of the encoder in {DESCRIPTION}: {differences}"
        ) from error
    return module.eval()


def build_encoder(description: EncoderDescription) -> PretrainedEncoder:
    """The described encoder with new weights."""
    encoder, dim = description.encoder, description.embed_dim
    if isinstance(encoder, ImuEncoder):
        assert description.imu is not None
        return PretrainedImuEncoder(description, description.imu, encoder.build(description.imu, dim))
    assert description.video is not None
    return PretrainedVideoEncoder(description, description.video, encoder.build(description.video, dim))


def _read_description(path: Path, experiment_file: str | Path | None) -> EncoderDescription:
    try:
        return EncoderDescription.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; {path.parent} is not an exported encoder") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        unknown = any(item["type"] == "unknown_component" for item in error.errors())
        hint = ""
        if unknown and experiment_file is None:
            hint = "\nIf an experiment file defines the encoder, give that file: load_encoder(folder, 'FILE.py')"
        elif unknown:
            hint = f"\n{experiment_file} does not define it"
        raise DataError(f"{path}: {describe(error)}{hint}") from error
