"""What a body-worn sensor measured, told in ways that do not depend on how it was strapped on.

The mean acceleration of a window points up, as gravity outlasts every movement; what is along it and what is across it
are known without knowing the sensor's axes (Mizell, 2003, doi:10.1109/ISWC.2003.1241424).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, whole_triads

LEAST = 1e-6
"""Added under roots, whose gradient at 0 would be infinite."""


class SensorStreams(nn.Module):
    """IMU windows [B, L, C], standardised or not -> streams [B, M, L] that vary around 0, in the channels' units.

    First the channels themselves; then of each accelerometer its magnitude, what is vertical of it and what is
    horizontal; the magnitude of each gyroscope; and, where a segment has both, the angular velocity around the vertical
    and that around any horizontal axis. Sensors are known by their names; channels of no complete one stay alone.
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
        for name, value in derived.items():  # the spec says all of this, so that weights need not
            self.register_buffer(name, value, persistent=False)
        self.count = channels + 3 * len(acc) + len(gyro) + 2 * len(both)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """[B, L, C] -> [B, M, L]; M is `count`."""
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
    """[S, 3]."""
    return torch.tensor(list(triads.values()), dtype=torch.long).view(-1, 3)


def _sensors(imu_BCL: Tensor, places_S3: Tensor) -> Tensor:
    """[B, S, 3, L]."""
    batch, _, samples = imu_BCL.shape
    return imu_BCL[:, places_S3.flatten()].view(batch, -1, 3, samples)


def _length(vector_BS3L: Tensor) -> Tensor:
    """[B, S, 1, L]."""
    return (vector_BS3L.square().sum(dim=2, keepdim=True) + LEAST).sqrt()


def _along_and_across(vector_BS3L: Tensor, axis_BS31: Tensor) -> tuple[Tensor, Tensor]:
    """The component along a unit vector, and the length of what is left, [B, S, L] each."""
    along_BS1L = (vector_BS3L * axis_BS31).sum(dim=2, keepdim=True)
    across_BS1L = _length(vector_BS3L - along_BS1L * axis_BS31)
    return along_BS1L.squeeze(2), across_BS1L.squeeze(2)
