"""AnySensor: an encoder whose weights fit any set of IMUs, at any sampling rate.

All sensors share the weights. What a sensor measures is described in a way that does not depend on its mounting, see
`GravityFrame`; a learned offset tells its place on the body, and attention over sensors combines them. A sensor may
lack its accelerometer or its gyroscope.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.encoders.gravity_frame import GravityFrame, sensor_set
from revalexo_clip.models.encoders.readout import HEADS, ReadoutKind, build_readout, readout_dim
from revalexo_clip.models.encoders.spectral_attention import Residual, moment_times
from revalexo_clip.models.layers import Dropout, initialize
from revalexo_clip.models.sequence import Encoded, SequenceNet

PLACES = ("Pelvis", "Trunk", "Head", "Forearm", "Upper_Arm", "Pocket", "Upper_Leg", "Lower_Leg", "Foot")
"""Places on the body that the encoder knows; `Left_` or `Right_` before them is ignored. All others are unknown."""
_ALSO = {"Camera": "Head", "Glasses": "Head", "Wrist": "Forearm", "Chest": "Trunk", "Waist": "Pelvis"}


def place_of(segment: str) -> int:
    """Return the number of the place of a sensor, as channels name it; 0 for one that is not known."""
    name = re.sub(r"^(Left|Right)_", "", segment)
    name = _ALSO.get(name, name)
    return PLACES.index(name) + 1 if name in PLACES else 0


class AnySensor(ImuEncoder):
    """Shared weights for all sensors, over the power along and across gravity; attention over sensors.

    Every sensor is an accelerometer, a gyroscope or both, with three axes each. Do not use `standardize`: gravity must
    be in the data.
    """

    any_sensors = True

    bands: PositiveInt = 12
    """Number of frequency bands, evenly spaced on a logarithmic scale."""
    lowest: PositiveFloat = 0.5
    """Frequency of the first band [Hz]."""
    highest: PositiveFloat = 25.0
    """Frequency of the last band [Hz]. Bands above 0.45 times the sampling rate are not used."""
    step: PositiveFloat = 0.13
    """Approximate time between moments [s]; it is rounded to an even number of samples."""
    width: PositiveInt = 96
    """Number of feature maps."""
    depth: NonNegativeInt = 2
    """Number of residual blocks over time, before sensors are combined."""
    kernel: PositiveInt = 3
    """Kernel length of the residual blocks' convolutions [moments]; odd."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout probability of each block's features."""
    place_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout probability of the offset that tells a sensor's place, so that an unknown place is nothing new."""
    readout: ReadoutKind = "statistics"
    """See `TemporalEncoder.readout`."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest ({self.lowest:g} Hz) must be below highest ({self.highest:g} Hz)")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd, so that convolutions keep the number of moments")
        if self.readout == "attention" and self.width % HEADS:
            raise ValueError(f"width ({self.width}) must be divisible by {HEADS}, the heads of the attention readout")
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: the size of the readout, whatever the embedding size."""
        return readout_dim(self.readout, self.width)

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`; `embed_dim` has no effect.

        Raises `ConfigError` if a channel belongs to no sensor with three axes, windows are standardised or too short.
        """
        if spec.mean is not None:
            raise ConfigError(
                "AnySensor: needs gravity, which is lost in standardised windows; --set standardize=false"
            )
        stride = max(round(self.step * spec.rate / 2), 1)
        if spec.samples < 4 * stride:
            raise ConfigError(
                f"AnySensor: a window of {spec.window:g} s is shorter than two moments; reduce imu.step "
                f"({self.step:g} s)"
            )
        return AnySensorNet(self, spec, stride)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the mixing of all bands, the residual blocks, and the combination of sensors."""
        assert isinstance(module, AnySensorNet)
        return [
            nn.ModuleList([module.front, module.mixing, module.places, module.place_dropout]),
            *module.residual,
            nn.ModuleList([module.norm, module.score, module.readout]),
        ]


def of_each(layer: nn.Module, x_BSCT: Tensor) -> Tensor:
    """Apply a layer to each sensor of each window: [B, S, C, T] -> [B, S, ...]."""
    y: Tensor = layer(x_BSCT.flatten(0, 1))
    return y.reshape(*x_BSCT.shape[:2], *y.shape[1:])


class SensorResidual(Residual):
    """A residual block over time for each sensor, [B, S, W, T] -> [B, S, W, T]; dropout draws for the B windows."""

    def forward(self, x_BSWT: Tensor) -> Tensor:
        """Apply the block."""
        added_BSWT: Tensor = self.dropout(nn.functional.relu(of_each(self.convolution, of_each(self.norm, x_BSWT))))
        return x_BSWT + added_BSWT


class AnySensorNet(SequenceNet):
    """[B, L, C] -> features [B, F] and maps [B, T, W]. No weight depends on the sensors or their rate."""

    place_S: Tensor

    def __init__(self, of: AnySensor, spec: ImuSpec, stride: int) -> None:
        super().__init__()
        try:
            sensors = sensor_set(spec.channels)
        except ValueError as error:
            raise ConfigError(
                f"AnySensor: every sensor needs x, y and z of an accelerometer or a gyroscope; {error} is not part of "
                "one; choose other data.channels"
            ) from error
        frequencies = np.geomspace(of.lowest, of.highest, of.bands).tolist()
        self.front = GravityFrame(spec, sensors, frequencies, stride)
        self.mixing = nn.Conv1d(self.front.features, of.width, 1)
        self.residual = nn.ModuleList(SensorResidual(of.width, of.kernel, of.dropout) for _ in range(of.depth))
        self.norm = nn.GroupNorm(1, of.width)
        self.score = nn.Conv1d(of.width, 1, 1)
        self.readout = build_readout(of.readout, of.width)
        self.apply(initialize)
        nn.init.zeros_(self.score.weight)  # all sensors start with the same weight
        self.places = nn.Embedding(len(PLACES) + 1, of.width, padding_idx=0)  # an unknown place has no offset
        self.place_dropout = Dropout(of.place_dropout)
        nn.init.normal_(self.places.weight, std=0.3)
        nn.init.zeros_(self.places.weight[0])
        self.sequence_dim = of.width
        place_S = torch.tensor([place_of(segment) for segment in sensors.segments])
        self.register_buffer("place_S", place_S, persistent=False)
        self.register_buffer("time_T", moment_times(spec, stride), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C] in m/s^2 and rad/s."""
        (imu_BLC,) = inputs
        seen_BSRT, present_BS = self.front(imu_BLC)
        place_BSW = self.place_dropout(self.places(self.place_S).expand(imu_BLC.shape[0], -1, -1))
        x_BSWT = of_each(self.mixing, seen_BSRT) + place_BSW[..., None]
        for block in self.residual:
            x_BSWT = block(x_BSWT)
        maps_BSWT = nn.functional.relu(of_each(self.norm, x_BSWT))
        score_BS1T = of_each(self.score, maps_BSWT)
        weight_BS1T = score_BS1T.masked_fill(~present_BS[:, :, None, None], -1e4).softmax(dim=1)
        maps_BWT = (weight_BS1T * maps_BSWT).sum(dim=1)
        return Encoded(self.readout(maps_BWT), maps_BWT.transpose(1, 2))
