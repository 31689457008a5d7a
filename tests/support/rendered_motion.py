"""Pictures that move as prescribed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

HEIGHT, WIDTH = 240, 320
ROWS, COLUMNS = 3, 4
FPS = 30.0


def texture(seed: int = 0, size: int = 512) -> Tensor:
    """Return a random texture [size, size] from 0 to 1 without structure finer than a few pixels."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((size, size)))
    y, x = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
    smooth = np.fft.irfft2(spectrum * np.exp(-((y**2 + x**2) / 0.15**2)), s=(size, size))
    return torch.from_numpy((smooth - smooth.min()) / np.ptp(smooth))


def moving_pictures(shift: tuple[float, float], zoom: float, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return two frames [2, HEIGHT, WIDTH, 3] uint8. What is seen at x moves by `shift` [px] + `zoom` * (x - middle).

    `shift` is to the right and down.
    """
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    grey = texture(seed)
    frames = []
    for moment in (0.0, 1.0):
        # A point p is seen at p + (shift + zoom * (p - middle)) * moment; look up where each pixel comes from.
        from_x = ((x - WIDTH / 2) - shift[0] * moment) / (1 + zoom * moment) + WIDTH / 2
        from_y = ((y - HEIGHT / 2) - shift[1] * moment) / (1 + zoom * moment) + HEIGHT / 2
        place = torch.stack([(from_x + 64) / 256 - 1, (from_y + 64) / 256 - 1], dim=-1)
        frames.append(grid_sample(grey[None, None], place[None].double(), mode="bicubic", align_corners=False)[0, 0])
    return (torch.stack(frames).clamp(0, 1) * 255).round().byte().unsqueeze(-1).repeat(1, 1, 1, 3).numpy()
