"""What encoders make of every window of a dataset: embeddings, features, and the baselines beside them."""

from __future__ import annotations

from typing import NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Batch
from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.metrics.handcrafted_features import handmade_features
from revalexo_clip.models.dual_encoder import DualEncoder


class Extract(NamedTuple):
    """Of B windows: where they come from, their labels, and what is made of them."""

    window_B: Tensor
    clip_B: Tensor
    start_B: Tensor
    label_BK: Tensor
    transition_BK: Tensor
    imu_BD: Tensor
    """Unit vectors in the shared space."""
    video_BD: Tensor
    """Unit vectors in the shared space."""
    imu_features_BD: Tensor
    """Before the projection head."""
    untrained_features_BD: Tensor
    """The same of the IMU encoder before it was trained."""
    handmade_BF: Tensor
    """Statistics and spectrum of the IMU channels."""
    video_features_BD: Tensor
    """Before the projection head."""


class FeatureModule(pl.LightningModule):
    """Predicts an `Extract` for each batch: every window is read once, whatever is to be measured on it.

    `untrained` is the dual encoder as it was before training, `rate` that of the IMU [Hz].
    """

    def __init__(self, model: DualEncoder, untrained: DualEncoder, rate: float) -> None:
        super().__init__()
        self.model = model
        self.untrained = untrained
        self.rate = rate

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read."""
        return arrived(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Extract:
        """Encode one batch."""
        model = self.model
        imu_features_BD = model.imu_features(batch.imu_BLC)
        video_features_BD = model.video_features(batch.video_BTHWC)
        parts = (
            batch.window_B,
            batch.clip_B,
            batch.start_B,
            batch.label_BK,
            batch.transition_BK,
            model.project_imu(imu_features_BD),
            model.project_video(video_features_BD),
            imu_features_BD,
            self.untrained.imu_features(batch.imu_BLC),
            handmade_features(batch.imu_BLC, self.rate),
            video_features_BD,
        )
        return Extract(*(part.cpu() for part in parts))


def gathered(extracts: list[Extract]) -> Extract:
    """All batches as one, in the order of the dataset."""
    return Extract(*(torch.cat(parts) for parts in zip(*extracts, strict=True)))
