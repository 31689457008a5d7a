"""ResNet1D: a small residual network along time for IMU windows."""

from __future__ import annotations

from typing import Annotated, Self

import torch
from pydantic import Field, NonNegativeInt, model_validator
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, whole_triads
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.encoders.readout import HEADS, build_readout, readout_dim
from revalexo_clip.models.encoders.temporal import TemporalBody, TemporalEncoder
from revalexo_clip.models.layers import initialize
from revalexo_clip.models.sequence import Encoded, SequenceNet


class ResNet1D(TemporalEncoder, ImuEncoder):
    """Residual convolutions along time over all channels; features are a readout of their maps.

    Use it with `standardize`: acceleration and angular velocity then have the same scale.
    """

    shared: Annotated[int, Field(ge=0)] = 0
    """Feature maps of a first convolution that is shared by all sensors, which knows each sensor's place; 0 for a first
    convolution over all channels. Shared weights learn more from few subjects. Every sensor must then have an
    accelerometer and a gyroscope with three axes each."""
    pooled_width: NonNegativeInt = 0
    """Feature maps of a second network, from which the features of the window are read; 0 to read them from the maps of
    moments. Tokens ask for the exact movement of a moment, features for what it has in common with others. In one
    network the two compete: features are then much worse."""

    @model_validator(mode="after")
    def _fit_pooled(self) -> Self:
        if self.readout == "attention" and self.pooled_width % HEADS:
            raise ValueError(
                f"pooled_width ({self.pooled_width}) must be divisible by {HEADS} for the attention readout"
            )
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: the size of the readout, whatever the embedding size."""
        return readout_dim(self.readout, self.pooled_width or self.width)

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`; `embed_dim` has no effect.

        Raises `ConfigError` if the window is too short, or if sensors cannot share weights.
        """
        body = self._body_of(spec, self.width)
        pooled = self._body_of(spec, self.pooled_width) if self.pooled_width else None
        return ResNet1DNet(body, pooled, build_readout(self.readout, self.pooled_width or self.width), self)

    def _body_of(self, spec: ImuSpec, width: int) -> TemporalBody:
        body = self.body(len(spec.channels), width, rate=spec.rate, samples=spec.samples, first=0.0)
        if self.shared:
            assert isinstance(body.stem, nn.Conv1d)
            body.stem = SharedStem(sensors_of(spec.channels), self.shared, width, body.stem)
        return body

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the first convolution, the strided part, the residual blocks and the readout.

        If there are two networks, a block contains that of each.
        """
        assert isinstance(module, ResNet1DNet)
        parts = module.body.blocks()
        if module.pooled is not None:
            parts = [nn.ModuleList(pair) for pair in zip(parts, module.pooled.blocks(), strict=True)]
        return [*parts[:-1], nn.ModuleList([parts[-1], module.readout])]


def sensors_of(channels: tuple[str, ...]) -> list[list[int]]:
    """Return the indices of the six channels of each sensor: accelerometer, then gyroscope.

    Raises `ConfigError` if a channel does not belong to a sensor with both.
    """
    acc, gyro = whole_triads(channels, "acc"), whole_triads(channels, "gyro")
    sensors = [acc[segment] + gyro[segment] for segment in acc if segment in gyro]
    lone = sorted(set(range(len(channels))).difference(*sensors))
    if lone:
        raise ConfigError(
            f"ResNet1D: shared weights need an accelerometer and a gyroscope with x, y and z for every sensor; "
            f"{channels[lone[0]]} has none of the other kind or lacks an axis; choose other data.channels, or "
            "--set imu.shared=0"
        )
    return sensors


class SharedStem(nn.Module):
    """A first convolution that all sensors share, [B, C, L] -> [B, W, T].

    Each sensor's maps get a learned offset, which tells the sensor's place. After a non-linearity, a pointwise
    convolution mixes all sensors.
    """

    order: Tensor

    def __init__(self, sensors: list[list[int]], maps: int, width: int, like: nn.Conv1d) -> None:
        """Build it for the channels of each of the `sensors`; kernel and stride are those of `like`."""
        super().__init__()
        order = torch.tensor([channel for sensor in sensors for channel in sensor])
        self.register_buffer("order", order, persistent=False)
        self.sensors = len(sensors)
        kernel, stride = like.kernel_size[0], like.stride[0]
        self.convolution = nn.Conv1d(6, maps, kernel, stride=stride, padding=kernel // 2)
        self.place = nn.Parameter(0.5 * torch.randn(self.sensors, maps, 1))
        self.mix = nn.Conv1d(self.sensors * maps, width, 1)
        self.apply(initialize)

    def forward(self, x_BCL: Tensor) -> Tensor:
        """Compute the first feature maps [B, W, T] of windows [B, C, L]."""
        batch, _, length = x_BCL.shape
        x_P6L = x_BCL[:, self.order].reshape(batch * self.sensors, 6, length)  # P: windows x sensors
        maps = self.convolution(x_P6L).unflatten(0, (batch, self.sensors)) + self.place
        mixed_BWT: Tensor = self.mix(nn.functional.gelu(maps).flatten(1, 2))
        return mixed_BWT


class ResNet1DNet(SequenceNet):
    """[B, L, C] -> features [B, F] and maps [B, T, W]."""

    def __init__(self, body: TemporalBody, pooled: TemporalBody | None, readout: nn.Module, of: ResNet1D) -> None:
        """Combine the network of moments, that of the features of the window if there is one, and its readout."""
        super().__init__()
        self.body = body
        self.pooled = pooled
        self.readout = readout
        self.sequence_dim = of.width
        self.maps_dim = of.pooled_width
        self.register_buffer("time_T", body.time_T.float(), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        (imu_BLC,) = inputs
        maps_BWT = self.body(imu_BLC.transpose(1, 2))
        if self.pooled is None:
            return Encoded(self.readout(maps_BWT), maps_BWT.transpose(1, 2))
        pooled_BPT = self.pooled(imu_BLC.transpose(1, 2))
        features_BF = self._with_moments(self.readout(pooled_BPT))
        return Encoded(features_BF, maps_BWT.transpose(1, 2), maps_BTP=pooled_BPT.transpose(1, 2))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute features [B, F] of windows [B, L, C], without the features of moments."""
        (imu_BLC,) = inputs
        if self.pooled is None:
            features_BF: Tensor = self.readout(self.body(imu_BLC.transpose(1, 2)))
            return features_BF
        return self._with_moments(self.readout(self.pooled(imu_BLC.transpose(1, 2))))

    def _with_moments(self, features_BF: Tensor) -> Tensor:
        """Give the network of moments a gradient of 0 in training.

        Without tokens, and in a classifier, nothing reads it, and DDP needs a gradient of every trained parameter.
        """
        trained = [weight.sum() for weight in self.body.parameters() if weight.requires_grad]
        return features_BF + 0 * torch.stack(trained).sum() if self.training and trained else features_BF
