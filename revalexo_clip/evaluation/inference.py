"""What an activity classifier makes of every window of a dataset.

What encoders make of every window of a dataset: embeddings, features, and the baselines beside them.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import Batch
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.metrics.handcrafted_features import handcrafted_features
from revalexo_clip.models.classifier import ActivityClassifier
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.training.loaders import evaluation_loader
from revalexo_clip.training.trainer import devices_available


class _Part(NamedTuple):
    """Of B windows: what was predicted, what is true, and where they come from."""

    logits_BKA: Tensor
    label_BK: Tensor
    transition_BK: Tensor
    clip_B: Tensor
    start_B: Tensor


class _Predicting(pl.LightningModule):
    def __init__(self, model: ActivityClassifier) -> None:
        super().__init__()
        self.model = model

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read."""
        return arrived(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> _Part:
        """Recognise one batch."""
        logits_BKA = self.model(batch.imu_BLC, batch.video_BTHWC).logits_BKA.float()
        parts = (logits_BKA, batch.label_BK, batch.transition_BK, batch.clip_B, batch.start_B)
        return _Part(*(part.cpu() for part in parts))


class Counting(Callback):
    """Tells how many batches of a prediction are done."""

    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self.on_progress = on_progress
        self.done = 0
        self.total = total

    def on_predict_batch_end(self, *_: object, **__: object) -> None:
        """One batch more."""
        self.done += 1
        self.on_progress(self.done, self.total)


def predict_all(
    model: ActivityClassifier,
    windows: LabelledWindows,
    *,
    batch_size: int,
    workers: int,
    config: TrainerConfig,
    on_progress: OnProgress,
) -> Predictions:
    """Each window once, on one device. Raises `DataError` where one cannot be read."""
    loader = evaluation_loader(windows, batch_size, workers)
    with devices_available():
        trainer = pl.Trainer(
            accelerator=config.accelerator,
            devices=1,
            callbacks=[Counting(on_progress, len(loader))],
            logger=False,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    parts = cast("list[_Part]", trainer.predict(_Predicting(model), loader))  # what its predict_step gives
    found = _Part(*(torch.cat(rows) for rows in zip(*parts, strict=True)))
    return Predictions(
        logits_NKA=found.logits_BKA.numpy(),
        label_NK=found.label_BK.numpy(),
        transition_NK=found.transition_BK.numpy(),
        clip_N=found.clip_B.numpy(),
        start_N=found.start_B.numpy(),
        clip_subjects=windows.clip_subjects,
        clip_names=windows.clip_names,
        activities=windows.activities,
        horizons=windows.horizons,
    )


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
    handcrafted_BF: Tensor
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
            handcrafted_features(batch.imu_BLC, self.rate),
            video_features_BD,
        )
        return Extract(*(part.cpu() for part in parts))


def gathered(extracts: list[Extract]) -> Extract:
    """All batches as one, in the order of the dataset."""
    return Extract(*(torch.cat(parts) for parts in zip(*extracts, strict=True)))
