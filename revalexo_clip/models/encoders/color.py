"""A small 2-D network on single frames, for what motion does not show: places and things."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.models.layers import initialize

LAYOUT = 4
"""Largest height and width of the maps that are read, so that a frame's features tell where things are."""


class ColorNet(nn.Module):
    """Frames [B, 3, T, H, W] -> features of their moments [B, V, K]; T is K bursts of one or two frames.

    Of a burst of two it takes the first frame, and the difference to the second. Strided convolutions halve frames
    until they have at most `LAYOUT` rows; the features are a linear map of all of these.
    """

    def __init__(self, width: int, burst: int, crop: int) -> None:
        """Build it for V = `width` features of frames of `crop` rows and columns.

        Raises `ConfigError` if a burst has more than two frames.
        """
        super().__init__()
        if burst > 2:
            raise ConfigError(
                f"MotionTower.color takes one or two frames a moment, not {burst}; --set data.burst=2, or "
                "video.color=null"
            )
        self.burst = burst
        size, widths = crop, [3 * burst]
        while size > LAYOUT or len(widths) < 2:
            size = (size + 1) // 2
            widths.append(min(16 * len(widths), width))
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(1, after), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(widths[-1] * size**2, width)
        self.apply(initialize)

    def forward(self, video_B3THW: Tensor) -> Tensor:
        """Compute features [B, V, K] of video windows in normalised colour."""
        batch, _, images, height, width = video_B3THW.shape
        frames_BKb3HW = video_B3THW.transpose(1, 2).reshape(batch, -1, self.burst, 3, height, width)
        if self.burst == 2:
            first, second = frames_BKb3HW.unbind(dim=2)
            frames_BKb3HW = torch.stack((first, second - first), dim=2)
        frames = frames_BKb3HW.flatten(2, 3).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.output(self.layers(frames).flatten(1))
        return features.view(batch, images // self.burst, -1).transpose(1, 2)
