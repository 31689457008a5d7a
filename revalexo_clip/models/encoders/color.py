"""A small 2-D network on single frames, for what motion does not show: places and things."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.models.layers import initialize


class ColorNet(nn.Module):
    """Frames [B, 3, T, H, W] -> features of their moments [B, V, K]; T is K bursts of one or two frames.

    Of a burst of two it takes the first frame, and the difference to the second.
    """

    def __init__(self, width: int, burst: int) -> None:
        """Build it for V = `width` features. Raises `ConfigError` if a burst has more than two frames."""
        super().__init__()
        if burst > 2:
            raise ConfigError(
                f"MotionTower.color takes one or two frames a moment, not {burst}; --set data.burst=2, or "
                "video.color=null"
            )
        self.burst = burst
        widths = (3 * burst, width // 4, width // 2, width)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), nn.GroupNorm(1, after), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(width, width)
        self.apply(initialize)

    def forward(self, video_B3THW: Tensor) -> Tensor:
        """Compute features [B, V, K] of video windows in normalised colour."""
        batch, _, images, height, width = video_B3THW.shape
        frames_BKb3HW = video_B3THW.transpose(1, 2).reshape(batch, -1, self.burst, 3, height, width)
        if self.burst == 2:
            first, second = frames_BKb3HW.unbind(dim=2)
            frames_BKb3HW = torch.stack((first, second - first), dim=2)
        maps = self.layers(frames_BKb3HW.flatten(2, 3).flatten(0, 1))
        features: Tensor = self.output(maps.mean(dim=(2, 3)))
        return features.view(batch, images // self.burst, -1).transpose(1, 2)
