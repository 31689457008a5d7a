"""Augmentation of measured motion: what a part of the picture, or a covered rectangle, does to a grid of motion.

Measured motion always covers the whole upright picture, also if frames show only its centre crop. A part of the picture
is given by the box that `View.part` takes, so that one box acts on frames and on motion alike.
"""

from __future__ import annotations

import torch
from torch import Tensor


def resample_motion(motion_BMYX3: Tensor, box_B4: Tensor) -> Tensor:
    """Return the motion of a part of each picture as if the part were the picture: [B, M, Y, X, 3] -> the same.

    `box_B4` are its edges: top, left, bottom, right as shares of the picture. Motion is interpolated linearly between
    the centres of cells, weighted by confidence, and divided by the width of the part, because it is measured in
    picture widths. Cells that lie outside of the picture in part lose that share of their confidence. A part whose left
    edge is greater than its right edge is mirrored: cells swap sides, and motion to the right becomes motion to the
    left. The whole picture does not change, bit for bit.
    """
    top_B, left_B, bottom_B, right_B = box_B4.unbind(1)
    mirrored_B, (left_B, right_B) = left_B > right_B, (left_B.minimum(right_B), left_B.maximum(right_B))
    whole_B = (top_B == 0) & (left_B == 0) & (bottom_B == 1) & (right_B == 1)
    shown = motion_BMYX3
    if shown.device.type != "cpu" or not whole_B.all():  # a GPU would have to wait for the answer
        part = _part(motion_BMYX3, torch.stack([top_B, left_B, bottom_B, right_B], dim=1))
        shown = torch.where(_along(whole_B, part), motion_BMYX3, part)
    return torch.where(_along(mirrored_B, shown), mirror_motion(shown), shown)


def _part(motion_BMYX3: Tensor, box_B4: Tensor) -> Tensor:
    """Return the motion of parts that are not mirrored."""
    top_B, left_B, bottom_B, right_B = box_B4.unbind(1)
    rows, columns = motion_BMYX3.shape[2:4]
    motion, confidence = motion_BMYX3[..., :2], motion_BMYX3[..., 2:]
    weighted = torch.cat([motion * confidence, confidence], dim=-1)
    weighted = _between_cells(weighted, 2, top_B, bottom_B)
    weighted = _between_cells(weighted, 3, left_B, right_B)
    sums, weight = weighted[..., :2], weighted[..., 2:]
    mean = torch.where(weight > 0, sums / weight.clamp(min=torch.finfo(weight.dtype).tiny), 0)
    inside_BY, inside_BX = _inside(top_B, bottom_B, rows), _inside(left_B, right_B, columns)
    inside = inside_BY[:, None, :, None, None] * inside_BX[:, None, None, :, None]
    width = _along(right_B - left_B, motion)
    return torch.cat([mean * (inside > 0) / width, weight * inside], dim=-1)


def mirror_motion(motion_BMYX3: Tensor) -> Tensor:
    """Mirror pictures left to right: cells swap sides, and motion to the right changes sign."""
    return motion_BMYX3.flip(3) * motion_BMYX3.new_tensor([-1, 1, 1])


def cover_motion(motion_BMYX3: Tensor, box_B4: Tensor) -> Tensor:
    """Cover a rectangle of each picture: [B, M, Y, X, 3] -> the same.

    `box_B4` are its edges: top, left, bottom, right as shares of the picture. A cell loses the covered share of its
    confidence; one that is covered completely has no motion either.
    """
    top_B, left_B, bottom_B, right_B = box_B4.unbind(1)
    rows, columns = motion_BMYX3.shape[2:4]
    covered_BY, covered_BX = _covered(top_B, bottom_B, rows), _covered(left_B, right_B, columns)
    open_B1YX1 = 1 - covered_BY[:, None, :, None, None] * covered_BX[:, None, None, :, None]
    open_B1YX1 = open_B1YX1.where(open_B1YX1 > _ROUNDING, 0)
    motion, confidence = motion_BMYX3[..., :2], motion_BMYX3[..., 2:]
    return torch.cat([motion * (open_B1YX1 > 0), confidence * open_B1YX1], dim=-1)


_ROUNDING = 1e-5
"""Share of a cell below which it counts as covered: edges are float32."""


def _between_cells(grid_BMYX3: Tensor, axis: int, first_B: Tensor, last_B: Tensor) -> Tensor:
    """Interpolate along rows or columns at the centres of the cells of a part with the edges `first` and `last`.

    Outside of the outermost centres, their values continue.
    """
    count = grid_BMYX3.shape[axis]
    centre_n = (torch.arange(count, device=grid_BMYX3.device) + 0.5) / count
    place_Bn = ((first_B[:, None] + centre_n * (last_B - first_B)[:, None]) * count - 0.5).clamp(0, count - 1)
    # Cells are added one by one instead of by a matrix product, whose rounding depends on the batch size.
    size = [1 if dim not in {0, axis} else length for dim, length in enumerate(grid_BMYX3.shape)]
    found = torch.zeros_like(grid_BMYX3)
    for cell in range(count):
        weight_Bn = (1 - (place_Bn - cell).abs()).clamp(min=0)
        found.addcmul_(weight_Bn.view(size), grid_BMYX3.narrow(axis, cell, 1))
    return found


def _inside(first_B: Tensor, last_B: Tensor, count: int) -> Tensor:
    """Return [B, count], the share of each cell of a part along one axis that lies inside the picture."""
    edge_n1 = torch.arange(count + 1, device=first_B.device) / count
    edge_Bn1 = first_B[:, None] + edge_n1 * (last_B - first_B)[:, None]
    length_Bn = edge_Bn1.clamp(0, 1).diff(dim=1)
    return (length_Bn / edge_Bn1.diff(dim=1)).clamp(0, 1)


def _covered(first_B: Tensor, last_B: Tensor, count: int) -> Tensor:
    """Return [B, count], the share of each cell of the picture along one axis that lies between two edges."""
    start_n = torch.arange(count, device=first_B.device) / count
    low_Bn = first_B[:, None].maximum(start_n)
    high_Bn = last_B[:, None].minimum(start_n + 1 / count)
    return ((high_Bn - low_Bn) * count).clamp(0, 1)


def _along(x_B: Tensor, like: Tensor) -> Tensor:
    return x_B.view(-1, *(1 for _ in like.shape[1:]))
