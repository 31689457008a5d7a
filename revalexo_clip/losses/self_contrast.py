"""Contrast of IMU with itself: two augmentations of a window are partners.

Self-supervision of one modality as in SimCLR (Chen et al., 2020, arXiv:2002.05709), beside the contrast of two
modalities as in PRIMUS (Das et al., 2024, arXiv:2411.15127).
"""

from __future__ import annotations

from pydantic import PositiveInt

from revalexo_clip.losses.base import Loss, LossModule, Temperature
from revalexo_clip.losses.info_nce import InfoNCELoss


class SelfContrast(Loss):
    """Classify the second augmentation of each IMU window among those of all windows of the batch, and vice versa.

    It needs augmentations of the IMU that are random. Validation windows are not augmented, so that the term is left
    out of the validation loss.
    """

    temperature: Temperature = 0.1
    """Initial temperature by which similarities are divided; it is learned and stays between 0.01 and 1."""
    block_rows: PositiveInt | None = None
    """Rows of the similarity matrix in memory at a time. Changes only the memory use; null for as many as fit into
    128 MiB."""

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return SelfContrastLoss(self.temperature, reads=("imu", "imu_second"), block_rows=self.block_rows)


class SelfContrastLoss(InfoNCELoss):
    """See `SelfContrast`."""

    validated = False
