"""`config.json` of exported folders, and that of encoders: architecture, input and origin."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import ClassVar, Literal, Self

from pydantic import PositiveInt, model_validator

from revalexo_clip.core.component import Component, Config, JsonObject
from revalexo_clip.core.types import ImuSpec, Modality, Split, VideoSpec
from revalexo_clip.core.version import __version__
from revalexo_clip.data.recordings.file_format import FileFormat
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.models.tokens import Tokens

WEIGHTS = "model.safetensors"
DESCRIPTION = "config.json"
CARD = "README.md"
ONNX = "encoder.onnx"
CLASSIFIER_ONNX = "classifier.onnx"

Noun = Literal["encoder", "classifier"]

ONNX_FILES: Mapping[Noun, str] = {"encoder": ONNX, "classifier": CLASSIFIER_ONNX}


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
    licence: str | None = None
    """Licence of the weights or of the code that made them, for an encoder of others; null if it is not known."""
    metrics: JsonObject | None = None
    """Results of `rxclip evaluate` on its own test subjects; null if it was not evaluated."""


class OnnxCheck(Config):
    """Result of the comparison of an ONNX file with torch."""

    windows: str
    """Description of the windows of the comparison."""
    difference: float
    """Largest absolute difference of the outputs."""


_ABOUT = ("files", "origin", "onnx")
"""Fields that do not change what weights compute."""


class FolderDescription(Config, ABC):
    """What `config.json` of an exported encoder and of an exported classifier have in common."""

    format: Literal[1] = 1
    """Version of this layout."""
    origin: Origin
    """Origin of the weights."""
    onnx: OnnxCheck | None = None
    """Check of the ONNX file; null if the folder has none."""
    files: FileFormat | None = None
    """Names and units in the files of the training data; null if they are those of the input."""

    noun: ClassVar[Noun]
    """What the folder holds."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""

    @property
    @abstractmethod
    def components(self) -> tuple[Component, ...]:
        """Components that build its modules."""

    @property
    @abstractmethod
    def imu_input(self) -> ImuSpec | None:
        """Input of IMU windows; None if it takes video."""

    @abstractmethod
    def onnx_metadata(self) -> dict[str, str]:
        """Return the metadata of the ONNX file."""

    def to_check_sizes(self) -> Self:
        """Return a description of modules with the same weights, or some of them, that take no memory if built."""
        return self

    def what_weights_fit(self) -> JsonObject:
        """Return everything that determines the outputs, as JSON: all but `files`, `origin` and `onnx`."""
        return self.model_dump(mode="json", exclude=set(_ABOUT))

    def as_json(self) -> JsonObject:
        """Return the content of `config.json`, the origin last."""
        return {**self.what_weights_fit(), **self.model_dump(mode="json", include=set(_ABOUT))}


class EncoderDescription(FolderDescription):
    """`config.json` of an exported encoder."""

    noun = "encoder"

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
    headless: bool = False
    """Whether that projection is the identity: the features themselves are in the shared space."""
    alone: bool = False
    """Whether it was pretrained without the other modality: no other encoder shares the space of its projection."""
    tokens: Tokens | None = None
    """Tokens of moments, which retrieval compares; null if it has none."""
    token_times: tuple[float, ...] | None = None
    """Times of the tokens [s from the start of the window], which both modalities share; null if it has none."""

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
        wrong = [*wrong_imu(self.imu), *_wrong_video(self.video)]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def components(self) -> tuple[Component, ...]:
        """See `FolderDescription.components`."""
        return (self.encoder,)

    @property
    def imu_input(self) -> ImuSpec | None:
        """See `FolderDescription.imu_input`."""
        return self.imu

    def to_check_sizes(self) -> Self:
        """See `FolderDescription.to_check_sizes`."""
        return self.model_copy(update={"tokens": None, "token_times": None})

    def onnx_metadata(self) -> dict[str, str]:
        """See `FolderDescription.onnx_metadata`."""
        spec = self.imu or self.video
        assert spec is not None
        tokens = {} if self.tokens is None else {"tokens": self.tokens.model_dump(), "token_times": self.token_times}
        return {
            "modality": self.modality,
            "encoder": type(self.encoder).__name__,
            **as_metadata(self.origin, spec, tokens),
        }


def as_metadata(origin: Origin, spec: ImuSpec | VideoSpec, more: Mapping[str, object]) -> dict[str, str]:
    """Return the metadata that all ONNX files have, as JSON texts: training subjects, input, and `more`."""
    fields = {**{name: value for name, value in asdict(spec).items() if value is not None}, **more}
    return {
        "revalexo_clip": __version__,
        "subjects": json.dumps(origin.subjects),
        **{name: json.dumps(value) for name, value in fields.items()},
    }


def noun_of(content: object) -> Noun | None:
    """Return what a folder holds whose `config.json` has this content; None if it is no description."""
    keys = content.keys() if isinstance(content, dict) else set()
    if not keys >= {"encoder", "embed_dim", "origin"}:
        return None
    return "encoder" if "modality" in keys else "classifier" if "labels" in keys else None


def wrong_imu(spec: ImuSpec | None) -> Iterator[str]:
    """Yield what is wrong with the input of an IMU encoder."""
    if spec is None:
        return
    count = len(spec.channels)
    if twice := sorted({name for name in spec.channels if spec.channels.count(name) > 1}):
        yield f"imu.channels: {', '.join(twice)} more than once"
    if not count:
        yield "imu.channels: there are none"
    if len(spec.units) != count:
        yield f"imu.units: {len(spec.units)} units for {count} channels"
    if not _positive(spec.rate, spec.window) or spec.samples < 1:
        yield f"imu: rate {spec.rate} Hz and window {spec.window} s must be above 0, and give at least one sample"
    if (spec.mean is None) is not (spec.std is None):
        yield "imu: mean and std belong together"
    for name, values in (("mean", spec.mean), ("std", spec.std)):
        if values is not None and len(values) != count:
            yield f"imu.{name}: {len(values)} values for {count} channels"
    yield from _wrong_scale("imu", spec.mean, spec.std)


def _wrong_video(spec: VideoSpec | None) -> Iterator[str]:
    """Yield what is wrong with the input of a video encoder."""
    if spec is None:
        return
    yield from _wrong_scale("video", spec.mean, spec.std)
    if spec.frames < 0 or min(spec.crop, spec.short_side, spec.burst) < 1 or not _positive(spec.window):
        yield "video: crop, short_side, burst and window must be above 0, and frames 0 or more"
    motion = spec.motion
    if motion is not None and (min(motion.rows, motion.columns) < 1 or not _positive(motion.rate, motion.window)):
        yield "video.motion: rate, window, rows and columns must be above 0"


def _wrong_scale(modality: Modality, mean: Sequence[float] | None, std: Sequence[float] | None) -> Iterator[str]:
    if not all(map(math.isfinite, mean or ())):
        yield f"{modality}.mean: values must be finite"
    if not _positive(*(std or ())):
        yield f"{modality}.std: values must be above 0 and finite"


def _positive(*values: float) -> bool:
    return all(0 < value < math.inf for value in values)
