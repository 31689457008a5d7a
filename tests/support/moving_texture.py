"""Frames of one continuous motion of a textured plane, at any times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

Path2 = Callable[[float], tuple[float, float]]
"""Gives how far the content has moved to the right and down [picture widths] at a time [s]."""

SIZE = 768


def texture(seed: int = 0, *, finest: int = 3) -> Tensor:
    """[1, 1, SIZE, SIZE] grey levels with detail from `finest` px up."""
    draw = torch.Generator().manual_seed(seed)
    plane = torch.zeros(1, 1, SIZE, SIZE)
    for cell in (3, 6, 12, 24, 48, 96):
        if cell >= finest:
            noise = torch.randn(1, 1, SIZE // cell + 3, SIZE // cell + 3, generator=draw)
            plane += interpolate(noise, (SIZE, SIZE), mode="bicubic", align_corners=False)
    return (127 + 28 * plane).clamp(20, 235)


def shown(plane: Tensor, right: float, down: float, height: int = 120, width: int = 160) -> Tensor:
    """[H, W] float, the middle of a plane whose content has moved to the right and down [px]."""
    rows = torch.arange(height) + 0.5 * (SIZE - height) - down
    columns = torch.arange(width) + 0.5 * (SIZE - width) - right
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]
    return grid_sample(plane, (grid + 0.5) / SIZE * 2 - 1, mode="bicubic", align_corners=False)[0, 0]


def frames(
    path: Path2, times: Sequence[float], *, height: int = 120, width: int = 160, seed: int = 0
) -> list[npt.NDArray[np.uint8]]:
    """[H, W] uint8 grey frames of a motion, one for each time [s]."""
    plane, found = texture(seed), []
    for time in times:
        right, down = path(time)
        frame_HW = shown(plane, width * right, width * down, height, width)
        found.append(frame_HW.round().clamp(0, 255).byte().numpy())
    return found


def swaying(time: float) -> tuple[float, float]:
    """A head that nods and turns: up to 0.9 picture widths / s, at up to 2 Hz."""
    return 0.1 * float(np.sin(2 * np.pi * 1.1 * time)), 0.04 * float(np.cos(2 * np.pi * 2.0 * time + 1.0))


def jittered(duration: float, rate: float, seed: int = 0) -> list[float]:
    """Times [s] of frames whose intervals vary by up to 40%, from 0 on."""
    steps = (1 + 0.4 * np.random.default_rng(seed).uniform(-1, 1, round(duration * rate))) / rate
    return [0.0, *np.cumsum(steps).tolist()]


def coloured(grey: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.uint8]]:
    """Grey frames as RGB [H, W, 3]."""
    return [np.repeat(frame_HW[..., None], 3, axis=2) for frame_HW in grey]
