"""Signals of body-worn sensors that do not depend on how a sensor is mounted.

The mean acceleration of a window points up, because gravity lasts longer than any movement. The components along it and
across it are therefore known without knowing the sensor's axes (Mizell, 2003, doi:10.1109/ISWC.2003.1241424).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, whole_triads

LEAST = 1e-6
"""Added to the argument of square roots, because their gradient at 0 is infinite."""


class SensorStreams(nn.Module):
    """IMU windows [B, L, C], standardised or not -> zero-mean streams [B, M, L], in the channels' units.

    The streams are the channels themselves; the vertical component of each accelerometer and the lengths of its
    horizontal component and of the whole vector; the length of each gyroscope's vector; and, if a segment has both
    sensors, the angular velocity around the vertical axis and the length of its horizontal component. Sensors are
    identified by channel names. Channels that belong to no complete sensor add no further streams.
    """

    mean: Tensor
    std: Tensor
    acc: Tensor
    gyro: Tensor
    upright: Tensor
    turning: Tensor

    def __init__(self, spec: ImuSpec) -> None:
        super().__init__()
        channels = len(spec.channels)
        acc, gyro = (whole_triads(spec.channels, kind) for kind in ("acc", "gyro"))
        both = [segment for segment in gyro if segment in acc]
        derived = {
            "mean": torch.tensor(spec.mean or (0.0,) * channels),
            "std": torch.tensor(spec.std or (1.0,) * channels),
            "acc": _places(acc),
            "gyro": _places(gyro),
            "upright": torch.tensor([list(acc).index(segment) for segment in both], dtype=torch.long),
            "turning": torch.tensor([list(gyro).index(segment) for segment in both], dtype=torch.long),
        }
        for name, value in derived.items():  # derived from the spec, so not saved with the weights
            self.register_buffer(name, value, persistent=False)
        self.count = channels + 3 * len(acc) + len(gyro) + 2 * len(both)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Compute the streams: [B, L, C] -> [B, M, L]; M is `count`."""
        imu_BCL = (imu_BLC * self.std + self.mean).transpose(1, 2)
        acc_BS3L, gyro_BS3L = (_sensors(imu_BCL, places) for places in (self.acc, self.gyro))
        mean_BS31 = acc_BS3L.mean(dim=3, keepdim=True)
        up_BS31 = mean_BS31 / _length(mean_BS31)
        streams = [
            imu_BCL,
            *_along_and_across(acc_BS3L, up_BS31),
            *_along_and_across(gyro_BS3L[:, self.turning], up_BS31[:, self.upright]),
            *(_length(sensor_BS3L).squeeze(2) for sensor_BS3L in (acc_BS3L, gyro_BS3L)),
        ]
        streams_BML = torch.cat(streams, dim=1)
        return streams_BML - streams_BML.mean(dim=2, keepdim=True)


def _places(triads: Mapping[str, list[int]]) -> Tensor:
    """Return the channel indices of S sensors, [S, 3]."""
    return torch.tensor(list(triads.values()), dtype=torch.long).view(-1, 3)


def _sensors(imu_BCL: Tensor, places_S3: Tensor) -> Tensor:
    """Select the channels of S sensors, [B, S, 3, L]."""
    batch, _, samples = imu_BCL.shape
    return imu_BCL[:, places_S3.flatten()].view(batch, -1, 3, samples)


def _length(vector_BS3L: Tensor) -> Tensor:
    """Compute the lengths of vectors, [B, S, 1, L]."""
    return (vector_BS3L.square().sum(dim=2, keepdim=True) + LEAST).sqrt()


def _along_and_across(vector_BS3L: Tensor, axis_BS31: Tensor) -> tuple[Tensor, Tensor]:
    """Return the component along a unit vector and the length of the rest, [B, S, L] each."""
    along_BS1L = (vector_BS3L * axis_BS31).sum(dim=2, keepdim=True)
    across_BS1L = _length(vector_BS3L - along_BS1L * axis_BS31)
    return along_BS1L.squeeze(2), across_BS1L.squeeze(2)
