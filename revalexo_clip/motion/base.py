"""Interface of fronts, which measure image motion between two frames on a grid of cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

MIN_CELL = 12
"""Smallest height and width of a cell in which motion is measured [px]."""


class Front(nn.Module, ABC):
    """Measures image motion between two grey frames, without learned weights. Its subclasses define `measure`.

    Frames are divided into Y x X cells of equal size; up to one row or column of cells, less one pixel, is left out
    evenly on both sides if the size cannot be divided.
    """

    version: ClassVar[int]
    """Increased with every change of what a front measures, so that stored motion is measured again."""

    def __init__(self, height: int, width: int, rows: int, columns: int) -> None:
        """Set the size of frames [px] and of the grid. Raises `ValueError` if cells are smaller than 12 x 12 px."""
        super().__init__()
        self.height, self.width = height, width
        self.rows, self.columns = rows, columns
        self.cell_height, self.cell_width = height // rows, width // columns
        if min(self.cell_height, self.cell_width) < MIN_CELL:
            raise ValueError(
                f"frames of {width} x {height} px have cells of {self.cell_width} x {self.cell_height} px in {rows} "
                f"rows and {columns} columns; motion needs cells of at least {MIN_CELL} x {MIN_CELL} px"
            )
        self.top = (height - rows * self.cell_height) // 2
        self.left = (width - columns * self.cell_width) // 2

    @abstractmethod
    def measure(self, first_BHW: Tensor, second_BHW: Tensor) -> Tensor:
        """Measure shifts of float32 frames; see `forward`, but shifts are in pixels."""

    def forward(self, first_BHW: Tensor, second_BHW: Tensor) -> Tensor:
        """Measure how the image moves from the first frames to the second, [B, Y, X, 3] float32.

        The last axis is the shift of the content to the right and down, in picture widths, and its confidence from 0 to
        1. Frames are [B, H, W], uint8 or float on the scale 0 to 255. Computed in float32, also under autocast.
        """
        kind = first_BHW.device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._in_widths(first_BHW, second_BHW)
        return self._in_widths(first_BHW, second_BHW)

    def _in_widths(self, first_BHW: Tensor, second_BHW: Tensor) -> Tensor:
        measured_BYX3 = self.measure(first_BHW.float(), second_BHW.float())
        return torch.cat([measured_BYX3[..., :2] / self.width, measured_BYX3[..., 2:].clamp(0, 1)], dim=-1)


def hann(length: int) -> Tensor:
    """Return a Hann window [length] without its zeros."""
    return torch.hann_window(length + 2, periodic=False, dtype=torch.float64)[1:-1]
