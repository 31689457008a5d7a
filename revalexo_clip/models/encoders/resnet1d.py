"""ResNet1D: a small residual network along time for IMU windows, which mixes all channels from its first layer on."""

from __future__ import annotations

from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.encoders.readout import build_readout
from revalexo_clip.models.encoders.temporal import TemporalBody, TemporalEncoder
from revalexo_clip.models.sequence import Encoded, SequenceNet


class ResNet1D(TemporalEncoder, ImuEncoder):
    """Residual convolutions along time over all channels; features are a readout of their maps.

    Use it with `standardize`: acceleration and angular velocity then have the same scale.
    """

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`; `embed_dim` has no effect. Raises `ConfigError` if the window is too short."""
        body = self.body(len(spec.channels), rate=spec.rate, samples=spec.samples, first=0.0)
        return ResNet1DNet(body, build_readout(self.readout, self.width), self.width)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the first convolution, the strided part, the residual blocks and the readout."""
        assert isinstance(module, ResNet1DNet)
        *parts, last = module.body.blocks()
        return [*parts, nn.ModuleList([last, module.readout])]


class ResNet1DNet(SequenceNet):
    """[B, L, C] -> features [B, F] and maps [B, T, W]."""

    def __init__(self, body: TemporalBody, readout: nn.Module, width: int) -> None:
        super().__init__()
        self.body = body
        self.readout = readout
        self.sequence_dim = width
        self.register_buffer("time_T", body.time_T.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        (imu_BLC,) = inputs
        maps_BWT = self.body(imu_BLC.transpose(1, 2))
        return Encoded(self.readout(maps_BWT), maps_BWT.transpose(1, 2))
