"""MotionTower: a video encoder that reads measured image motion, and may look at frames as well."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.base import VideoEncoder, frame_times
from revalexo_clip.models.encoders.color import ColorNet
from revalexo_clip.models.encoders.readout import build_readout, readout_dim
from revalexo_clip.models.encoders.temporal import TemporalBody, TemporalEncoder
from revalexo_clip.models.sequence import Encoded, SequenceNet, TakesMotion
from revalexo_clip.models.tokens import interpolation

SCENE_READOUT = 3
"""Features of the window for each feature of a frame: mean, maximum, and that of the last frame."""
SCALE = 3.0
"""Factor of motion [picture widths / s]: while a person walks, the picture moves by about a third of its width a
second."""
LIMIT = 5.0
"""Largest value of scaled motion. What is faster is a wrong measurement, or a turn of the head that is as clear
without its exact speed."""


class MotionTower(TemporalEncoder, VideoEncoder):
    """Residual convolutions along time over measured image motion; features are a readout of their maps.

    Windows must have measured motion. Without `color`, frames are ignored, and windows need not have any.
    """

    color: Literal["sequence", "pooled", "scene"] | None = None
    """Also look at frames, with a small network that is trained from scratch: motion does not show stairs or a chair.
    `sequence`: its features are interpolated in time and join the maps. `pooled`: they join the features of the window
    only. `scene`: they alone are the features of the window, the maps show motion alone, and `frame_tokens` can compare
    single frames; a pooled objective then asks what the body does and where, and not how it moves, which tokens tell.
    null: frames are ignored."""
    color_width: PositiveInt = 32
    """Number of features of a frame; divisible by 4."""

    @model_validator(mode="after")
    def _divide(self) -> Self:
        if self.color_width % 4:
            raise ValueError(f"color_width ({self.color_width}) must be divisible by 4")
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: the size of the readout of all maps, whatever the embedding size."""
        if self.color == "scene":
            return SCENE_READOUT * self.color_width
        return readout_dim(self.readout, self.width + (0 if self.color is None else self.color_width))

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`; `embed_dim` has no effect.

        Raises `ConfigError` if windows have no measured motion, or no frames that `color` could look at.
        """
        motion = spec.motion
        if motion is None:
            raise ConfigError(
                "MotionTower: the windows have no measured image motion; choose how to measure it with "
                "--set data.motion=..., or choose another video encoder"
            )
        channels = 3 * motion.rows * motion.columns
        body = self.body(channels, self.width, rate=motion.rate, samples=motion.moments, first=0.5 / motion.rate)
        if self.color is None:
            return MotionNet(body, build_readout(self.readout, self.width), self.width)
        time_T = frame_times(spec, "MotionTower.color")
        color = ColorNet(self.color_width, spec.burst, spec.crop)
        if self.color == "scene":
            return SceneMotionNet(body, color, width=self.width, color_width=self.color_width, time_K=time_T)
        return ColorMotionNet(self, body, color, time_T)

    @property
    def takes_frames(self) -> bool:
        """See `VideoEncoder.takes_frames`."""
        return self.color is not None

    @property
    def takes_motion(self) -> bool:
        """See `VideoEncoder.takes_motion`."""
        return True

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the first convolution, the strided part, the residual blocks and the readout."""
        assert isinstance(module, MotionNet | ColorMotionNet | SceneMotionNet)
        *parts, last = module.body.blocks()
        after = [child for child in module.children() if child is not module.body]
        return [*parts, nn.ModuleList([last, *after])]


class MotionNet(SequenceNet, TakesMotion):
    """Frames [B, 3, T, H, W], which are ignored, and motion [B, M, Y, X, 3] -> features [B, F] and maps [B, T, W]."""

    def __init__(self, body: TemporalBody, readout: nn.Module, width: int) -> None:
        super().__init__()
        self.body = body
        self.readout = readout
        self.sequence_dim = width
        self.register_buffer("time_T", body.time_T.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the inputs are frames and motion."""
        _, motion_BMYX3 = inputs
        maps_BWT = self.body(motion_signals(motion_BMYX3))
        return Encoded(self.readout(maps_BWT), maps_BWT.transpose(1, 2))


class SceneMotionNet(SequenceNet, TakesMotion):
    """Frames [B, 3, T, H, W] -> features [B, F] and features of frames [B, K, V]; motion -> maps [B, T', W]."""

    def __init__(self, body: TemporalBody, color: ColorNet, *, width: int, color_width: int, time_K: Tensor) -> None:
        """Combine both; `time_K` are the times of the moments that have frames [s]."""
        super().__init__()
        self.body = body
        self.color = color
        self.sequence_dim = width
        self.frame_dim = color_width
        self.frame_times = tuple(time_K.tolist())
        self.register_buffer("time_T", body.time_T.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the inputs are frames and motion."""
        video_B3THW, motion_BMYX3 = inputs
        maps_BWT = self.body(motion_signals(motion_BMYX3))
        color_BVK = nn.functional.gelu(self.color(video_B3THW))
        features_BF = torch.cat((color_BVK.mean(dim=2), color_BVK.amax(dim=2), color_BVK[:, :, -1]), dim=1)
        return Encoded(features_BF, maps_BWT.transpose(1, 2), color_BVK.transpose(1, 2))


class ColorMotionNet(SequenceNet, TakesMotion):
    """Frames [B, 3, T, H, W] and motion [B, M, Y, X, 3] -> features [B, F] and maps [B, T', W or W + V].

    V: features of a frame.
    """

    weight_TK: Tensor

    def __init__(self, of: MotionTower, body: TemporalBody, color: ColorNet, time_K: Tensor) -> None:
        """Combine both; `time_K` are the times of the moments that have frames [s]."""
        super().__init__()
        self.body = body
        self.color = color
        self.joined = of.color == "sequence"
        width = of.width + of.color_width
        self.readout = build_readout(of.readout, width if self.joined else of.width)
        self.color_readout = nn.Identity() if self.joined else build_readout(of.readout, of.color_width)
        self.sequence_dim = width if self.joined else of.width
        self.register_buffer("time_T", body.time_T.float(), persistent=False)
        weight_TK = torch.from_numpy(interpolation(time_K.numpy(), body.time_T.numpy()))
        self.register_buffer("weight_TK", weight_TK.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the inputs are frames and motion."""
        video_B3THW, motion_BMYX3 = inputs
        maps_BWT = self.body(motion_signals(motion_BMYX3))
        color_BVK: Tensor = self.color(video_B3THW)
        if self.joined:
            color_BVT = torch.matmul(color_BVK, self.weight_TK.T.to(color_BVK.dtype))
            maps_BWT = torch.cat((maps_BWT, color_BVT.to(maps_BWT.dtype)), dim=1)
            features_BF: Tensor = self.readout(maps_BWT)
        else:
            features_BF = torch.cat((self.readout(maps_BWT), self.color_readout(color_BVK)), dim=1)
        return Encoded(features_BF, maps_BWT.transpose(1, 2))


def motion_signals(motion_BMYX3: Tensor) -> Tensor:
    """Return signals [B, 3 Y X, M]: scaled and limited motion, weighted by its confidence, and the confidence."""
    confidence_BMYX1 = motion_BMYX3[..., 2:]
    shift_BMYX2 = (motion_BMYX3[..., :2] * SCALE).clamp(-LIMIT, LIMIT) * confidence_BMYX1
    return torch.cat((shift_BMYX2, confidence_BMYX1), dim=-1).flatten(2).transpose(1, 2)
