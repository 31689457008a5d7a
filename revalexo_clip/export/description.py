"""`config.json` of an exported encoder: architecture, input and origin."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from revalexo_clip.core.component import Config, JsonObject
from revalexo_clip.core.types import ImuSpec, Modality, Split, VideoSpec
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.models.tokens import Tokens

WEIGHTS = "model.safetensors"
DESCRIPTION = "config.json"
CARD = "README.md"
ONNX = "encoder.onnx"


class Origin(Config):
    """Origin of an encoder: its training and its file."""

    experiment: str
    """Name of the experiment that trained it, or that describes the input of an encoder trained elsewhere."""
    checkpoint: str
    """Name of the file that it was exported or imported from."""
    data: str | None = None
    """Type of the training dataset."""
    epoch: int | None = None
    """Training epochs; null for an encoder that was trained elsewhere."""
    step: int | None = None
    """Optimizer steps of the training; null for an encoder that was trained elsewhere."""
    subjects: dict[Split, tuple[str, ...]] | None
    """Subjects used for training (`train`) and model selection (`val`). They must not be test subjects. Null if they
    are unknown."""
    versions: dict[str, str]
    """Package versions of the training and of the export or import."""
    metrics: JsonObject | None = None
    """Results of `rxclip evaluate` on its own test subjects; null if it was not evaluated."""


class OnnxCheck(Config):
    """Result of the comparison of `encoder.onnx` with torch."""

    windows: str
    """Description of the windows of the comparison."""
    difference: float
    """Largest absolute difference of the outputs."""


class EncoderDescription(Config):
    """`config.json` of an exported encoder."""

    format: Literal[1] = 1
    """Version of this layout."""
    modality: Modality
    """Modality of the input."""
    encoder: ImuEncoder | VideoEncoder
    """Architecture."""
    embed_dim: PositiveInt
    """D, size of the embeddings, and of the features of most encoders."""
    imu: ImuSpec | None = None
    """Input of an IMU encoder: ordered channels, units, rate [Hz], window [s], standardisation."""
    video: VideoSpec | None = None
    """Input of a video encoder: frames, size, window [s], colour normalisation."""
    projection: bool = True
    """Whether it has a projection into the space shared with the other modality."""
    alone: bool = False
    """Whether it was pretrained without the other modality: no other encoder shares the space of its projection."""
    tokens: Tokens | None = None
    """Tokens of moments, which retrieval compares; null if it has none."""
    token_times: tuple[float, ...] | None = None
    """Times of the tokens [s from the start of the window], which both modalities share; null if it has none."""
    origin: Origin
    """Origin of the encoder."""
    onnx: OnnxCheck | None = None
    """Check of `encoder.onnx`; null if the folder has none."""

    @property
    def feature_dim(self) -> int:
        """F, number of features."""
        return self.encoder.feature_dim(self.embed_dim)

    @property
    def retrieval_dim(self) -> int:
        """Size of the unit vectors that retrieval compares."""
        return self.embed_dim if self.tokens is None else self.tokens.count * self.tokens.dim

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs: `imu`; `video`, `motion` or both."""
        if isinstance(self.encoder, ImuEncoder):
            return ("imu",)
        takes_motion = self.video is not None and self.video.motion is not None and self.encoder.takes_motion
        return (*(("video",) if self.encoder.takes_frames else ()), *(("motion",) if takes_motion else ()))

    @model_validator(mode="after")
    def _check_input(self) -> Self:
        imu = self.modality == "imu"
        if isinstance(self.encoder, ImuEncoder) is not imu or (self.imu if imu else self.video) is None:
            raise ValueError("the encoder and its input do not match the modality")
        if (self.tokens is None) is not (self.token_times is None):
            raise ValueError("tokens and token_times belong together")
        if self.tokens is not None and len(self.token_times or ()) != self.tokens.count:
            raise ValueError(f"token_times has {len(self.token_times or ())} times for {self.tokens.count} tokens")
        return self
