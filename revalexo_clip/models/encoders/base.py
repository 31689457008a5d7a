"""The interface of encoders, and the network that video encoders share: a backbone and a projection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.core.component import Component, Config
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.models.layers import Dropout, initialize
from revalexo_clip.models.sequence import Encoded, SequenceNet


class Encoder(Config):
    """Base class of the encoders of both modalities: a sequence of blocks that can be frozen."""

    frozen: Annotated[int, Field(ge=0, strict=True)] | Literal["all"] = 0
    """Number of blocks, counted from the input, that are not trained: they keep their weights and stay in eval mode.
    `all` for the whole encoder."""

    def feature_dim(self, embed_dim: int) -> int:
        """Return F, the number of features of a module from `build`: `embed_dim`, unless this method is overridden."""
        return embed_dim

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """Return the blocks of a module from `build`, from input to output. Together they are the whole module.

        Blocks can be frozen separately, and learning rates can decay over them. Unless this method is overridden, an
        encoder is a single block.
        """
        return [module]

    def frozen_blocks(self, module: nn.Module) -> list[nn.Module]:
        """Return the blocks that are not trained. Raises `ConfigError` if `frozen` exceeds the number of blocks."""
        if self.frozen == "all":
            return [module]
        blocks = self.blocks(module)
        if self.frozen > len(blocks):
            number = f"{len(blocks)} blocks" if len(blocks) > 1 else "a single block"
            raise ConfigError(f"{type(self).__name__}: frozen is {self.frozen}, but the encoder has {number}")
        return blocks[: self.frozen]

    def self_contained(self) -> Self:
        """Return this encoder with everything that `build` reads from files, so that it can be built without them.

        Checkpoints contain the result. Unless this method is overridden, `build` reads no files.
        """
        return self

    def or_as_kept(self, kept: Encoder) -> Self:
        """Return this encoder; if files are missing that `build` reads, with what a checkpoint has kept of them.

        `kept` is the result of `self_contained` in a checkpoint of the run that is resumed.
        """
        return self


class ImuEncoder(Encoder, Component, ABC):
    """Base class of encoders of IMU windows."""

    any_sensors: ClassVar[bool] = False
    """Whether the weights of a module fit windows of other sensors and at other rates, too."""

    @abstractmethod
    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """Build a module that maps [B, L, C] float (the channels' own units) to features [B, F], see `feature_dim`.

        A module that also gives features over time is a `SequenceNet`.
        """


class VideoEncoder(Encoder, Component, ABC):
    """Base class of encoders of video windows."""

    @abstractmethod
    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """Build a module with new weights that maps [B, 3, T, H, W] float (normalised colour) to features [B, F].

        F is `feature_dim`. A module that also gives features over time is a `SequenceNet`; one that takes measured
        motion as a second input is a `TakesMotion`.
        """

    @property
    def takes_frames(self) -> bool:
        """Whether a module from `build` looks at frames."""
        return True

    @property
    def takes_motion(self) -> bool:
        """Whether a module from `build` is a `TakesMotion`."""
        return False

    def load_pretrained(self, module: nn.Module) -> None:
        """Load published weights into a module from `build`. Called once, when pretraining starts.

        Raises `DataError` if the weights are not available or do not fit.
        """


def frame_times(spec: VideoSpec, encoder: str) -> Tensor:
    """Return [T] the times of the moments at which windows have frames [s], float64.

    The frames of a burst count as one moment: they are one or two hundredths of a second apart. Raises `ConfigError`,
    which names the `encoder`, if windows have no frames.
    """
    if not spec.frames:
        raise ConfigError(f"{encoder}: the windows have no frames; --set data.frames=4, or another number")
    if spec.frames == 1:
        return torch.tensor([spec.window / 2], dtype=torch.float64)
    return torch.linspace(0.0, spec.window, spec.frames, dtype=torch.float64)


def use_channels_last(encoder: nn.Module) -> None:
    """Put the weights of 3-D convolutions, and the frames that a `VideoNet` is given, into `channels_last_3d`.

    Results are the same but for rounding errors. A convolution gives maps in the format of its weights, so that all
    maps of an encoder are in this format.
    """
    for parameter in encoder.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.to(memory_format=torch.channels_last_3d)
    for module in encoder.modules():
        if isinstance(module, VideoNet):
            module.channels_last = True


class VideoNet(SequenceNet):
    """[B, 3, T, H, W] -> backbone -> [B, F] -> Linear -> ReLU -> Dropout -> [B, D].

    Its subclasses say what the backbone's sequence is.
    """

    channels_last = False
    """Whether frames are put into `channels_last_3d`, see `use_channels_last`."""

    def __init__(self, backbone: nn.Module, backbone_dim: int, embed_dim: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(backbone_dim, embed_dim)
        self.projection.apply(initialize)
        self.activation = nn.ReLU()
        self.dropout = Dropout(dropout)

    @abstractmethod
    def backbone_outputs(self, video_B3THW: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the backbone's features of the window [B, F], and those of its moments [B, T, E]."""

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is video windows in normalised colour."""
        if self.channels_last:
            inputs = tuple(video.contiguous(memory_format=torch.channels_last_3d) for video in inputs)
        features_BF, sequence_BTE = self.backbone_outputs(*inputs)
        return Encoded(self.dropout(self.activation(self.projection(features_BF))), sequence_BTE)
