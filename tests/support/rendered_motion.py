"""Pictures that move as prescribed, and a plain measurement of their motion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

Floats = npt.NDArray[np.float64]

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


def prescribed(shift: tuple[float, float], zoom: float) -> Tensor:
    """Return the motion [1, 1, ROWS, COLUMNS, 3] of these pictures at the centres of cells, with full confidence."""
    y, x = np.meshgrid((np.arange(ROWS) + 0.5) / ROWS, (np.arange(COLUMNS) + 0.5) / COLUMNS, indexing="ij")
    right = shift[0] + zoom * (x - 0.5) * WIDTH
    down = shift[1] + zoom * (y - 0.5) * HEIGHT
    motion = np.stack([right / WIDTH * FPS, down / WIDTH * FPS, np.ones_like(x)], axis=-1)
    return torch.from_numpy(motion.astype(np.float32))[None, None]


def measured(frames_THW: npt.NDArray[np.uint8]) -> Tensor:
    """Measure motion between two frames by phase correlation: [1, 1, ROWS, COLUMNS, 3], [picture widths / s].

    The confidence of a cell is its texture: 1, or 0 if it is flat.
    """
    height, width = (frames_THW.shape[1] // ROWS, frames_THW.shape[2] // COLUMNS)
    cells = frames_THW[:, : ROWS * height, : COLUMNS * width].astype(np.float64)
    cells = cells.reshape(2, ROWS, height, COLUMNS, width).transpose(1, 3, 0, 2, 4)
    found = np.zeros((1, 1, ROWS, COLUMNS, 3), dtype=np.float32)
    for row, column in np.ndindex(ROWS, COLUMNS):
        first, second = cells[row, column]
        if first.std() < 1:
            continue
        right, down = _shift(first, second)
        found[0, 0, row, column] = right / frames_THW.shape[2] * FPS, down / frames_THW.shape[2] * FPS, 1
    return torch.from_numpy(found)


def _shift(first: Floats, second: Floats) -> tuple[float, float]:
    """Return the shift from one cell to the next, to the right and down [px], with sub-pixel precision."""
    height, width = first.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    one, two = (np.fft.fft2((cell - cell.mean()) * window) for cell in (first, second))
    cross = two * np.conj(one)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    peaks = np.fft.ifft2(cross / (np.abs(cross) + 1e-9) * np.exp(-(y**2 + x**2) / 0.15**2)).real
    row, column = np.unravel_index(peaks.argmax(), peaks.shape)

    def at(line: Floats, place: int) -> float:
        before, top, after = (np.log(max(line[(place + step) % len(line)], 1e-12)) for step in (-1, 0, 1))
        exact = place + 0.5 * (before - after) / (before - 2 * top + after)
        return float((exact + len(line) / 2) % len(line) - len(line) / 2)

    return at(peaks[row], int(column)), at(peaks[:, column], int(row))
