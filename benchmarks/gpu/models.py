"""Encoders as this project has them, and the same with PyTorchVideo's own modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from torch import nn

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders import mvit, x3d

SEGMENTS = ("Pelvis", "LeftFoot", "RightFoot", "LeftShank", "RightShank", "LeftThigh", "RightThigh")
IMU = ImuSpec(
    tuple(f"{kind}_{segment}_{axis}" for segment in SEGMENTS for kind in ("acc", "gyro") for axis in "xyz"),
    (*("m/s^2",) * 3, *("rad/s",) * 3) * len(SEGMENTS),
    rate=60.0,
    window=2.0,
    mean=(0.0,) * (6 * len(SEGMENTS)),
    std=(1.0,) * (6 * len(SEGMENTS)),
)
"""The IMU windows of RevalExo: 42 channels at 60 Hz."""


@contextmanager
def own_modules_of_pytorchvideo() -> Iterator[None]:
    """Let X3D and MViT be built from PyTorchVideo's own modules, without any fast form."""
    with patch.object(x3d, "speed_up", _keep), patch.object(mvit, "speed_up", _keep):
        yield


def _keep(model: nn.Module) -> None:
    """Leave a model as PyTorchVideo built it."""
