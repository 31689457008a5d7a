"""Image motion by least squares on image gradients (Lucas and Kanade, 1981), from coarse to fine (Bouguet, 2000)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from revalexo_clip.motion.base import Front, hann

LEVELS = 3
"""Levels of the pyramid; each has half the size of the one before."""
STEPS = 2
"""Steps of Newton's method at each level."""
NOISE = 4.0
"""Squared gradient that counts as noise [grey levels squared per pixel squared]."""


class GradientFlow(Front):
    """One shift for each cell, which brings the second frame nearest to the first.

    The confidence is the smaller eigenvalue of the structure tensor against noise, times the share of the first cell's
    gradients that the shifted second cell explains.
    """

    version = 1
    window_hw: Tensor
    place_hw2: Tensor
    corner_YX2: Tensor

    def __init__(self, height: int, width: int, rows: int, columns: int) -> None:
        """Set the sizes, see `Front`."""
        super().__init__(height, width, rows, columns)
        h, w = self.cell_height, self.cell_width
        window_hw = hann(h)[:, None] * hann(w)
        corner = torch.stack(
            torch.meshgrid(self.left + w * torch.arange(columns), self.top + h * torch.arange(rows), indexing="xy"),
            dim=-1,
        )
        place = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), dim=-1)
        self.register_buffer("window_hw", (window_hw / window_hw.sum()).float(), persistent=False)
        self.register_buffer("corner_YX2", corner.float(), persistent=False)
        self.register_buffer("place_hw2", place.float(), persistent=False)

    def measure(self, first_BHW: Tensor, second_BHW: Tensor) -> Tensor:
        """See `Front.measure`."""
        pyramid = [(first_BHW[:, None], second_BHW[:, None])]
        for _ in range(LEVELS - 1):
            pyramid.append((avg_pool2d(pyramid[-1][0], 2), avg_pool2d(pyramid[-1][1], 2)))
        shift_BYX2 = self.corner_YX2.new_zeros((first_BHW.shape[0], self.rows, self.columns, 2))
        confidence_BYX = shift_BYX2[..., 0]
        for level in reversed(range(LEVELS)):
            first, second = pyramid[level]
            gradient_B2HW = _gradient(first)
            cells = self._sampled(torch.cat([first, gradient_B2HW], dim=1), torch.zeros_like(shift_BYX2), level)
            for _ in range(STEPS):
                moved = self._sampled(second, shift_BYX2, level)
                step_BYX2, confidence_BYX = self._step(cells, moved)
                shift_BYX2 = shift_BYX2 + step_BYX2 * 2**level
        return torch.cat([shift_BYX2, confidence_BYX[..., None]], dim=-1)

    def _sampled(self, image_BCHW: Tensor, shift_BYX2: Tensor, level: int) -> Tensor:
        """Cut out cells [B, C, Y, X, h, w] of a level, moved by shifts [px at level 0], at every 2**level-th pixel."""
        step = 2**level
        place_hw2 = self.place_hw2[step // 2 :: step, step // 2 :: step]
        point = (self.corner_YX2 + shift_BYX2)[:, :, :, None, None] + place_hw2
        height, width = image_BCHW.shape[-2:]
        right, down = ((point + 0.5) * 2).unbind(dim=-1)
        grid = torch.stack([right / (width * step) - 1, down / (height * step) - 1], dim=-1)
        batch, rows, columns, h, w, _ = grid.shape
        flat = grid.transpose(2, 3).reshape(batch, rows * h, columns * w, 2)
        sampled = grid_sample(image_BCHW, flat, mode="bilinear", padding_mode="border", align_corners=False)
        return sampled.reshape(batch, -1, rows, h, columns, w).transpose(3, 4)

    def _step(self, first: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Return the step [B, Y, X, 2] towards the least difference [px at this level], and the confidence."""
        image, right, down = first.unbind(dim=1)
        step_h, step_w = self.window_hw.shape[-2] // image.shape[-2], self.window_hw.shape[-1] // image.shape[-1]
        window = self.window_hw[step_h // 2 :: step_h, step_w // 2 :: step_w][: image.shape[-2], : image.shape[-1]]
        window = window / window.sum()

        def mean(values: Tensor) -> Tensor:
            return (values * window).sum(dim=(-1, -2))

        difference = image - moved[:, 0]
        difference = difference - mean(difference)[..., None, None]  # brightness may change
        xx, xy, yy = mean(right * right), mean(right * down), mean(down * down)
        xt, yt = mean(right * difference), mean(down * difference)
        regular = 0.05 * NOISE
        determinant = (xx + regular) * (yy + regular) - xy * xy
        x = ((yy + regular) * xt - xy * yt) / determinant
        y = ((xx + regular) * yt - xy * xt) / determinant
        smaller = 0.5 * (xx + yy) - (0.25 * (xx - yy).square() + xy.square()).sqrt()
        left_over = mean(difference.square())
        explained = (xx + yy) / (xx + yy + left_over + 1e-6)
        confidence = smaller / (smaller + NOISE) * explained
        limit = 2.0
        return torch.stack([x, y], dim=-1).clamp(-limit, limit), confidence


def _gradient(image_B1HW: Tensor) -> Tensor:
    """Compute the gradient to the right and down [B, 2, H, W], by central differences."""
    padded = pad(image_B1HW, (1, 1, 1, 1), mode="replicate")
    right = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    down = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    return torch.cat([right, down], dim=1)
