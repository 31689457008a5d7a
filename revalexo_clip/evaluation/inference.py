"""Run a model over all windows of a dataset: predictions of a classifier, or embeddings and features of encoders."""

from __future__ import annotations

from typing import NamedTuple, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import Batch, ImuSpec, Sample
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.metrics.handcrafted_features import handcrafted_features
from revalexo_clip.metrics.moving import moving
from revalexo_clip.models.classifier import ActivityClassifier
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.training.loaders import evaluation_loader
from revalexo_clip.training.trainer import devices_available


class _Prediction(NamedTuple):
    """Predictions for B windows, their labels, and where the windows come from."""

    logits_BKA: Tensor
    label_BK: Tensor
    transition_BK: Tensor
    clip_B: Tensor
    start_B: Tensor
    recording_B: Tensor
    time_B: Tensor


class _PredictionModule(pl.LightningModule):
    def __init__(self, model: ActivityClassifier) -> None:
        super().__init__()
        self.model = model

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read."""
        return arrived(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> _Prediction:
        """Predict one batch."""
        logits_BKA = self.model(batch.imu_BLC, batch.video_BTHWC, batch.motion_BMYX3).logits_BKA.float()
        parts = (
            logits_BKA,
            batch.label_BK,
            batch.transition_BK,
            batch.clip_B,
            batch.start_B,
            batch.recording_B,
            batch.time_B,
        )
        return _Prediction(*(part.to("cpu", copy=True) for part in parts))


class _BatchCounter(Callback):
    """Reports how many batches are done."""

    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self.on_progress = on_progress
        self.done = 0
        self.total = total

    def on_predict_batch_end(self, *_: object, **__: object) -> None:
        """Count one more batch."""
        self.done += 1
        self.on_progress(self.done, self.total)


def predict_batches(
    module: pl.LightningModule, loader: DataLoader[Sample | DataError], config: TrainerConfig, on_progress: OnProgress
) -> list[object]:
    """Return what the module's `predict_step` returns for each batch, in order, on one device."""
    with devices_available():
        trainer = pl.Trainer(
            accelerator=config.accelerator,
            devices=1,
            callbacks=[_BatchCounter(on_progress, len(loader))],
            logger=False,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    return list(trainer.predict(module, loader) or ())


def predict_all(
    model: ActivityClassifier,
    windows: LabelledWindows,
    *,
    batch_size: int,
    workers: int,
    config: TrainerConfig,
    on_progress: OnProgress,
) -> Predictions:
    """Predict the activities of all windows. Raises `DataError` if a window cannot be read."""
    loader = evaluation_loader(windows, batch_size, workers)
    batches = predict_batches(_PredictionModule(model), loader, config, on_progress)
    parts = cast("list[_Prediction]", batches)  # what its predict_step returns
    found = _Prediction(*(torch.cat(rows) for rows in zip(*parts, strict=True)))
    return Predictions(
        logits_NKA=found.logits_BKA.numpy(),
        label_NK=found.label_BK.numpy(),
        transition_NK=found.transition_BK.numpy(),
        clip_N=found.clip_B.numpy(),
        start_N=found.start_B.numpy(),
        recording_N=found.recording_B.numpy(),
        time_N=found.time_B.numpy(),
        clip_subjects=windows.clip_subjects,
        clip_names=windows.clip_names,
        activities=windows.activities,
        horizons=windows.horizons,
    )


class Extract(NamedTuple):
    """Embeddings and features of B windows, their labels, and where the windows come from."""

    window_B: Tensor
    clip_B: Tensor
    start_B: Tensor
    recording_B: Tensor
    time_B: Tensor
    label_BK: Tensor
    transition_BK: Tensor
    imu_BD: Tensor
    """Unit vectors that retrieval compares."""
    video_BD: Tensor
    """Unit vectors that retrieval compares; [B, 0] without video."""
    imu_features_BD: Tensor
    """Before the projection head."""
    untrained_features_BD: Tensor
    """Features of the IMU encoder with its initial weights."""
    handcrafted_BF: Tensor
    """Statistics and spectrum of the IMU channels."""
    video_features_BD: Tensor
    """Before the projection head; [B, 0] without video."""
    moving_B: Tensor
    """Whether the body moves."""
    supervised_features_BF: Tensor
    """Features of the supervised reference; none, F = 0, without one."""


class FeatureModule(pl.LightningModule):
    """Computes an `Extract` for each batch, so that each window is read only once.

    `untrained` is the dual encoder with its initial weights, `spec` the format of the IMU windows, `supervised` maps
    them to the features of the supervised reference if there is one.
    """

    def __init__(
        self, model: DualEncoder, untrained: DualEncoder, spec: ImuSpec, supervised: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.supervised = supervised
        self.model = model
        self.untrained = untrained
        self.spec = spec

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read."""
        return arrived(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Extract:
        """Encode one batch."""
        model = self.model
        imu = model.encode_imu(batch.imu_BLC)
        video_BD = video_features_BF = imu.retrieval[:, :0]
        if model.video is not None:
            video = model.encode_video(batch.video_BTHWC, batch.motion_BMYX3)
            video_BD, video_features_BF = video.retrieval, video.features_BF
        parts = (
            batch.window_B,
            batch.clip_B,
            batch.start_B,
            batch.recording_B,
            batch.time_B,
            batch.label_BK,
            batch.transition_BK,
            imu.retrieval,
            video_BD,
            imu.features_BF,
            self.untrained.imu_features(batch.imu_BLC),
            handcrafted_features(batch.imu_BLC, self.spec.rate),
            video_features_BF,
            moving(batch.imu_BLC, self.spec.units),
            batch.imu_BLC.new_empty(len(batch.imu_BLC), 0)
            if self.supervised is None
            else self.supervised(batch.imu_BLC),
        )
        return Extract(*(part.to("cpu", copy=True) for part in parts))


def concatenate(extracts: list[Extract]) -> Extract:
    """Concatenate all batches, in the order of the dataset."""
    return Extract(*(torch.cat(parts) for parts in zip(*extracts, strict=True)))
