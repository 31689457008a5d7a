"""Random erasing (Zhong et al., 2017, arXiv:1708.04896)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.augment.base import Draw, Probability, Shown, VideoAugmentation, View
from revalexo_clip.augment.crop import Ratio, Share, draw_rectangle
from revalexo_clip.augment.motion import cover_motion
from revalexo_clip.core.types import VideoSpec


class RandomErasing(VideoAugmentation):
    """Cover a random rectangle with the mean colour, the same rectangle in all frames of a window.

    Measured motion loses its confidence there: in each cell, the share of the cell that is covered.
    """

    scale: Share = (0.02, 0.33)
    """Range of the area, as a share of the frame's area; drawn uniformly."""
    ratio: Ratio = (0.3, 3.3)
    """Range of width over height; its logarithm is drawn uniformly."""
    p: Probability = 0.3
    """Probability per window."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        """Draw the rectangle (top, left, bottom, right) [px], [4]; bottom and right are exclusive."""
        size = draw_rectangle(rng, spec.crop, spec.crop, self.scale, self.ratio) if rng.random() < self.p else None
        if size is None:
            return np.zeros(4, dtype=np.float32)
        high, wide = (max(round(side), 1) for side in size)
        top, left = rng.integers(spec.crop - high + 1), rng.integers(spec.crop - wide + 1)
        return np.array([top, left, top + high, left + wide], dtype=np.float32)

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        """See `VideoAugmentation.apply`. Writes into its input."""
        if video_B3THW.device.type == "cpu":  # writes only the rectangle; a GPU would have to wait for its edges
            for video_3THW, (top, left, bottom, right) in zip(video_B3THW, drawn.long().tolist(), strict=True):
                video_3THW[..., top:bottom, left:right] = 0
            return video_B3THW
        return video_B3THW.masked_fill_(covered(drawn, *video_B3THW.shape[3:]), 0)

    def apply_to_motion(self, motion_BMYX3: Tensor, drawn: Tensor, shown: Shown) -> Tensor:
        """See `VideoAugmentation.apply_to_motion`. Covers the place of the picture that is covered in the frames."""
        return cover_motion(motion_BMYX3, shown.in_picture(drawn))


def covered(drawn_B4: Tensor, height: int, width: int) -> Tensor:
    """Return [B, 1, 1, H, W] bool: the pixels inside each rectangle (top, left, bottom, right)."""
    top_B1, left_B1, bottom_B1, right_B1 = drawn_B4.unsqueeze(-1).unbind(1)
    row_H, column_W = (torch.arange(size, device=drawn_B4.device) for size in (height, width))
    rows_BH = (row_H >= top_B1) & (row_H < bottom_B1)
    columns_BW = (column_W >= left_B1) & (column_W < right_B1)
    covered_BHW: Tensor = rows_BH[:, :, None] & columns_BW[:, None, :]
    return covered_BHW[:, None, None]
