"""Image motion by phase correlation (Kuglin and Hines, 1975), as real products of matrices.

A shift of an image multiplies its Fourier transform by a phase. The normalised cross-power spectrum of two frames keeps
the phase only, and its inverse transform has a peak at the shift. Brightness and contrast do not matter. The transforms
are products with matrices of cosines and sines, so that the module has neither complex tensors nor FFTs, and can be
compiled and exported to ONNX. Only low frequencies are used: noise and compression spoil the others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from revalexo_clip.motion.base import Front, hann

PASS = 0.1
"""Standard deviation of the Gaussian weight of frequencies [cycles / px]. The peak is a Gaussian, too, so that a
parabola through the logarithms of its heights finds its summit between pixels. Wider ones follow noise, narrower ones
are less exact (see benchmarks/motion.py)."""
CUT = 2.3
"""Frequencies beyond this many standard deviations are left out; their weight is below 0.07."""
FLOOR = 0.5
"""Power of noise that has no say [grey levels squared per pixel]."""


class PhaseCorrelation(Front):
    """Phase correlation of each cell, at no shift and at the shift of the whole image; the higher peak counts.

    Large shifts leave little of a cell's content in the cell at the same place, and cannot be told from shifts by half
    a cell the other way. Therefore cells are also compared after they are moved by the shift of the whole image, which
    is measured at half the size: by half of it against the motion in the first frame, and with it in the second. At the
    edge of the image both are moved inwards, so that they show the same content.
    """

    version = 1
    top_Y: Tensor
    left_X: Tensor

    def __init__(self, height: int, width: int, rows: int, columns: int, *, coarse: bool = True) -> None:
        """Set the sizes, see `Front`. If not `coarse`, the shift of the whole image is not used."""
        super().__init__(height, width, rows, columns)
        self.cells = _Correlation(self.cell_height, self.cell_width)
        self.whole = _Correlation(height // 2, width // 2) if coarse else None
        self.register_buffer("top_Y", self.top + self.cell_height * torch.arange(rows), persistent=False)
        self.register_buffer("left_X", self.left + self.cell_width * torch.arange(columns), persistent=False)

    def measure(self, first_BHW: Tensor, second_BHW: Tensor) -> Tensor:
        """See `Front.measure`."""
        still_BYX3: Tensor = self.cells(self._at_rest(first_BHW), self._at_rest(second_BHW))
        if self.whole is None:
            return still_BYX3
        half = [avg_pool2d(frame_BHW[:, None], 2)[:, 0] for frame_BHW in (first_BHW, second_BHW)]
        shift_B2 = (2 * self.whole(*half)[:, :2]).round().long()
        left_BX2 = _moved(self.left_X, shift_B2[:, :1], self.width - self.cell_width)
        top_BY2 = _moved(self.top_Y, shift_B2[:, 1:], self.height - self.cell_height)
        moved_BYX3 = self.cells(
            self._cut(first_BHW, top_BY2[..., 0], left_BX2[..., 0]),
            self._cut(second_BHW, top_BY2[..., 1], left_BX2[..., 1]),
        )
        right_BYX = _length(left_BX2)[:, None, :].expand(-1, self.rows, -1)
        down_BYX = _length(top_BY2)[:, :, None].expand(-1, -1, self.columns)
        offset_BYX2 = torch.stack([right_BYX, down_BYX], dim=-1)
        moved_BYX3 = torch.cat([moved_BYX3[..., :2] + offset_BYX2, moved_BYX3[..., 2:]], dim=-1)
        return torch.where(moved_BYX3[..., 2:] > still_BYX3[..., 2:], moved_BYX3, still_BYX3)

    def _at_rest(self, image_BHW: Tensor) -> Tensor:
        """Cut out the cells of the grid [B, Y, X, h, w]."""
        h, w = self.cell_height, self.cell_width
        inside_BHW = image_BHW[:, self.top : self.top + self.rows * h, self.left : self.left + self.columns * w]
        return inside_BHW.reshape(-1, self.rows, h, self.columns, w).transpose(2, 3)

    def _cut(self, image_BHW: Tensor, top_BY: Tensor, left_BX: Tensor) -> Tensor:
        """Cut out cells [B, Y, X, h, w] at any places."""
        row_BYh = top_BY[:, :, None] + torch.arange(self.cell_height, device=image_BHW.device)
        column_BXw = left_BX[:, :, None] + torch.arange(self.cell_width, device=image_BHW.device)
        place_BYXhw = row_BYh[:, :, None, :, None] * self.width + column_BXw[:, None, :, None, :]
        return image_BHW.flatten(1).gather(1, place_BYXhw.flatten(1)).reshape(place_BYXhw.shape)


def _moved(place_Y: Tensor, shift_B1: Tensor, last: int) -> Tensor:
    """Return where cells along one axis begin in the first and the second frame [B, Y, 2], from 0 to `last`."""
    second_BY = (place_Y + shift_B1 // 2).clamp(0, last)
    first_BY = (second_BY - shift_B1).clamp(0, last)
    return torch.stack([first_BY, (first_BY + shift_B1).clamp(0, last)], dim=-1)


def _length(place_BY2: Tensor) -> Tensor:
    return (place_BY2[..., 1] - place_BY2[..., 0]).float()


class _Correlation(nn.Module):
    """Phase correlation of images of one size."""

    window_hw: Tensor
    across_wK: Tensor
    down_Jh: Tensor
    up_hJ: Tensor
    back_Kw: Tensor
    weight_JK: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width
        down_J = torch.arange(-_last(height), _last(height) + 1, dtype=torch.float64)
        across_K = torch.arange(_last(width) + 1, dtype=torch.float64)
        angle_Jh = 2 * math.pi / height * down_J[:, None] * torch.arange(height)
        angle_Kw = 2 * math.pi / width * across_K[:, None] * torch.arange(width)
        power_JK = (down_J[:, None] / height) ** 2 + (across_K / width) ** 2
        weight_JK = torch.exp(-power_JK / (2 * PASS**2)) * (power_JK > 0)
        twice_K = torch.where(across_K > 0, 2.0, 1.0)  # frequencies to the left are conjugate to those to the right
        window_hw = hann(height)[:, None] * hann(width)
        self.floor = FLOOR * float((window_hw**2).sum())
        for name, matrix in (
            ("window_hw", window_hw),
            ("across_wK", torch.cat([angle_Kw.cos(), -angle_Kw.sin()]).T),
            ("down_Jh", torch.cat([angle_Jh.cos(), angle_Jh.sin()])),
            ("up_hJ", torch.cat([angle_Jh.cos(), -angle_Jh.sin()]).T),
            ("back_Kw", torch.cat([angle_Kw.cos(), -angle_Kw.sin()])),
            ("weight_JK", weight_JK * twice_K / (weight_JK * twice_K).sum()),
        ):
            self.register_buffer(name, matrix.float().contiguous(), persistent=False)

    def _transform(self, image_hw: Tensor) -> tuple[Tensor, Tensor]:
        """Compute real and imaginary part [..., J, K] of the transform of images [..., h, w]."""
        centred_hw = (image_hw - image_hw.mean(dim=(-1, -2), keepdim=True)) * self.window_hw
        across_hK = centred_hw @ self.across_wK
        real_hK, imaginary_hK = across_hK.chunk(2, dim=-1)
        cos_Jh, sin_Jh = self.down_Jh.chunk(2)
        return cos_Jh @ real_hK + sin_Jh @ imaginary_hK, cos_Jh @ imaginary_hK - sin_Jh @ real_hK

    def forward(self, first_hw: Tensor, second_hw: Tensor) -> Tensor:
        """Find the shift to the right and down [px] and the height of the peak, [..., 3], of images [..., h, w]."""
        first, second = self._transform(first_hw), self._transform(second_hw)
        real = second[0] * first[0] + second[1] * first[1]
        imaginary = second[1] * first[0] - second[0] * first[1]
        magnitude = (real.square() + imaginary.square()).sqrt()
        scale = self.weight_JK / (magnitude + 1e-3 * magnitude.mean(dim=(-1, -2), keepdim=True) + self.floor)
        return self._peak(self._inverse(real * scale, imaginary * scale))

    def _inverse(self, real_JK: Tensor, imaginary_JK: Tensor) -> Tensor:
        cos_hJ, minus_sin_hJ = self.up_hJ.chunk(2, dim=-1)
        real_hK = cos_hJ @ real_JK + minus_sin_hJ @ imaginary_JK
        imaginary_hK = cos_hJ @ imaginary_JK - minus_sin_hJ @ real_JK
        heights_hw: Tensor = torch.cat([real_hK, imaginary_hK], dim=-1) @ self.back_Kw
        return heights_hw

    def _peak(self, heights_hw: Tensor) -> Tensor:
        h, w = self.height, self.width
        heights_n = heights_hw.flatten(-2)
        place = heights_n.argmax(dim=-1, keepdim=True)
        row, column = place // w, place % w

        def height(down: int, right: int) -> Tensor:
            at = (row + down) % h * w + (column + right) % w
            return heights_n.gather(-1, at)

        top = height(0, 0)
        down = row + _summit(height(-1, 0), top, height(1, 0))
        right = column + _summit(height(0, -1), top, height(0, 1))
        return torch.cat([(right + w / 2) % w - w / 2, (down + h / 2) % h - h / 2, top], dim=-1)


def _last(length: int) -> int:
    """Return the highest frequency that is used [cycles per image]; never Nyquist's."""
    return min(math.floor(PASS * CUT * length), (length - 1) // 2)


def _summit(before: Tensor, top: Tensor, after: Tensor) -> Tensor:
    """Return where the Gaussian through three neighbouring heights is highest, from -0.5 to 0.5."""
    before, top, after = (height.clamp(min=1e-6).log() for height in (before, top, after))
    curve = before - 2 * top + after
    offset = 0.5 * (before - after) / curve.clamp(max=-1e-6)
    return offset.clamp(-0.5, 0.5)
