"""MotionTower: a video encoder that reads measured image motion, and may look at frames as well."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.base import VideoEncoder
from revalexo_clip.models.encoders.readout import build_readout
from revalexo_clip.models.encoders.temporal import TemporalBody, TemporalEncoder
from revalexo_clip.models.sequence import Encoded, SequenceNet, TakesMotion

SCALE = 3.0
"""Factor of motion [picture widths / s]: while a person walks, the picture moves by about a third of its width a
second."""
LIMIT = 5.0
"""Largest value of scaled motion. What is faster is a wrong measurement, or a turn of the head that is as clear
without its exact speed."""


class MotionTower(TemporalEncoder, VideoEncoder):
    """Residual convolutions along time over measured image motion; features are a readout of their maps.

    Windows must have measured motion. Frames are ignored, so that they may have none.
    """

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`; `embed_dim` has no effect. Raises `ConfigError` without measured motion."""
        motion = spec.motion
        if motion is None:
            raise ConfigError(
                "MotionTower: the windows have no measured image motion; choose how to measure it with "
                "--set data.motion=..., or choose another video encoder"
            )
        channels = 3 * motion.rows * motion.columns
        body = self.body(channels, rate=motion.rate, samples=motion.moments, first=0.5 / motion.rate)
        return MotionNet(body, build_readout(self.readout, self.width), self.width)

    @property
    def takes_frames(self) -> bool:
        """See `VideoEncoder.takes_frames`."""
        return False

    @property
    def takes_motion(self) -> bool:
        """See `VideoEncoder.takes_motion`."""
        return True

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the first convolution, the strided part, the residual blocks and the readout."""
        assert isinstance(module, MotionNet)
        *parts, last = module.body.blocks()
        return [*parts, nn.ModuleList([last, module.readout])]


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


def motion_signals(motion_BMYX3: Tensor) -> Tensor:
    """Return signals [B, 3 Y X, M]: scaled and limited motion, weighted by its confidence, and the confidence."""
    confidence_BMYX1 = motion_BMYX3[..., 2:]
    shift_BMYX2 = (motion_BMYX3[..., :2] * SCALE).clamp(-LIMIT, LIMIT) * confidence_BMYX1
    return torch.cat((shift_BMYX2, confidence_BMYX1), dim=-1).flatten(2).transpose(1, 2)
