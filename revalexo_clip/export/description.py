"""`config.json`: what an exported encoder says about itself."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from revalexo_clip.core.component import Config, JsonObject
from revalexo_clip.core.types import ImuSpec, Modality, Split, VideoSpec
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder

WEIGHTS = "model.safetensors"
DESCRIPTION = "config.json"
CARD = "README.md"
ONNX = "encoder.onnx"


class Origin(Config):
    """Where an encoder comes from."""

    experiment: str
    """Name of the experiment that it was trained in, or that describes the input of an encoder trained elsewhere."""
    checkpoint: str
    """File that it was exported or imported from."""
    data: str | None = None
    """Kind of dataset that it was trained on."""
    epoch: int | None = None
    """Epochs it was trained for; null for an encoder that was trained elsewhere."""
    step: int | None = None
    """Optimizer steps it was trained for."""
    subjects: dict[Split, tuple[str, ...]] | None
    """Subjects that it was trained on, and those that it was selected on: not to be test subjects. Null where they are
    not known, which is not the same as none."""
    versions: dict[str, str]
    """Packages that it was trained, and exported or imported, with."""
    metrics: JsonObject | None = None
    """What `rxclip evaluate` measured, where it was run."""


class OnnxCheck(Config):
    """How `encoder.onnx` was compared with the encoder in torch before it was written."""

    windows: str
    """What it was compared on."""
    difference: float
    """Largest difference of a feature or of an entry of an embedding."""


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
    projection: bool = True
    """Whether it has the projection into the space shared with the other modality."""
    origin: Origin
    """What it was trained on."""
    onnx: OnnxCheck | None = None
    """Of `encoder.onnx`, where the folder has one."""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        imu = self.modality == "imu"
        if isinstance(self.encoder, ImuEncoder) is not imu or (self.imu if imu else self.video) is None:
            raise ValueError("the modality, the encoder and the input do not belong together")
        return self
