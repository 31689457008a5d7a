"""HARNet: a residual network along time, pretrained by others on accelerometers worn at the wrist.

Yuan et al., "Self-supervised learning for human activity recognition using 700,000 person-days of wearable data", npj
Digital Medicine, 2024 (arXiv:2206.02909). Blocks begin with batch norm (He et al., arXiv:1603.05027); maps are low-pass
filtered before each stride (Zhang, arXiv:1904.11486).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.layers import initialize

KERNEL = 5
"""Length of all convolutions [samples of their input]."""
CHANNELS = 3
"""Axes of the accelerometer."""


class Stage(NamedTuple):
    """A convolution, residual blocks, and a stride."""

    maps: int
    blocks: int
    stride: int
    order: int
    """The filter before the stride is a box of the stride's length, convolved this often with itself."""

    @property
    def filter_length(self) -> int:
        """Length of the filter [samples]."""
        return (self.order + 1) * (self.stride - 1) + 1


STAGES: Mapping[int, tuple[Stage, ...]] = {
    5: (Stage(64, 2, 2, 2), Stage(128, 2, 2, 2), Stage(256, 2, 3, 1), Stage(256, 2, 3, 1), Stage(512, 0, 3, 1)),
    10: (Stage(64, 2, 2, 2), Stage(128, 2, 2, 2), Stage(256, 2, 5, 1), Stage(512, 2, 5, 1), Stage(1024, 0, 3, 1)),
    30: (Stage(64, 2, 3, 1), Stage(128, 2, 3, 1), Stage(256, 2, 5, 1), Stage(512, 2, 5, 1), Stage(1024, 0, 4, 0)),
}
"""Published networks, by the length of their windows [s]."""


class HARNet(ImuEncoder):
    """The network of imported HARNet weights, for one accelerometer [g] at 30 Hz. It has no sequence.

    It has batch norm: to finetune it with small batches, keep it frozen (`frozen="all"`).
    """

    seconds: Literal[5, 10, 30] = 10
    """Length of the windows that it was published for [s]."""

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: the number of maps of the last stage, 512 for 5 s, else 1024."""
        return STAGES[self.seconds][-1].maps

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`; `embed_dim` has no effect. Raises `ConfigError` if the input is another one."""
        if len(spec.channels) != CHANNELS:
            raise ConfigError(f"HARNet: takes {CHANNELS} channels, an accelerometer [g], not {len(spec.channels)}")
        steps = spec.samples
        for stage in STAGES[self.seconds]:
            steps = max((steps + stage.order * (stage.stride - 1) - stage.filter_length) // stage.stride + 1, 0)
        if steps != 1:
            raise ConfigError(
                f"HARNet: seconds={self.seconds} takes windows of {self.seconds} s at 30 Hz, not {spec.window:g} s at "
                f"{spec.rate:g} Hz"
            )
        return HARNetNet(STAGES[self.seconds])

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the five stages."""
        return list(module.children())


class HARNetNet(nn.Sequential):
    """[B, L, 3] -> [B, F]. Names and shapes of the tensors are those that HARNet saves, without `feature_extractor`."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        super().__init__()
        before = CHANNELS
        for number, stage in enumerate(stages, start=1):
            blocks = [Residual(stage.maps) for _ in range(stage.blocks)]
            layers = [_convolution(before, stage.maps), *blocks, nn.BatchNorm1d(stage.maps), nn.ReLU(), Blur(stage)]
            self.add_module(f"layer{number}", nn.Sequential(*layers))
            before = stage.maps
        self.apply(initialize)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Compute features [B, F] of windows [B, L, 3]."""
        x_BWT = imu_BLC.transpose(1, 2)
        for stage in self:
            x_BWT = stage(x_BWT)
        return x_BWT.squeeze(2)


class Residual(nn.Module):
    """Two convolutions, each after batch norm and ReLU, [B, W, T] -> [B, W, T]."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm1d(maps)
        self.bn2 = nn.BatchNorm1d(maps)
        self.conv1 = _convolution(maps, maps)
        self.conv2 = _convolution(maps, maps)

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Apply the block: [B, W, T] -> [B, W, T]."""
        inner_BWT: Tensor = self.conv1(functional.relu(self.bn1(x_BWT)))
        added_BWT: Tensor = self.conv2(functional.relu(self.bn2(inner_BWT)))
        return x_BWT + added_BWT


class Blur(nn.Module):
    """A fixed low-pass filter with a stride, [B, W, T] -> [B, W, T / stride]."""

    kernel: Tensor

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stride = stage.stride
        self.padding = stage.order * (stage.stride - 1) // 2
        box = torch.ones(1, 1, stage.stride)
        kernel = box
        for _ in range(stage.order):
            kernel = functional.conv1d(kernel, box, padding=stage.stride - 1)
        self.register_buffer("kernel", (kernel / kernel.sum()).repeat(stage.maps, 1, 1))

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Filter and stride."""
        return functional.conv1d(
            x_BWT, self.kernel, stride=self.stride, padding=self.padding, groups=self.kernel.shape[0]
        )


def _convolution(inputs: int, maps: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, maps, KERNEL, padding=KERNEL // 2, bias=False, padding_mode="circular")
