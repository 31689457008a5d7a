"""What a recogniser makes of every window of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Batch
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.metrics.predictions import Predictions
from revalexo_clip.models.classifier import Recogniser
from revalexo_clip.training.devices import devices_available
from revalexo_clip.training.loaders import evaluation_loader


class _Part(NamedTuple):
    """Of B windows: what was predicted, what is true, and where they come from."""

    logits_BKA: Tensor
    label_BK: Tensor
    transition_BK: Tensor
    clip_B: Tensor
    start_B: Tensor


class _Recognising(pl.LightningModule):
    def __init__(self, model: Recogniser) -> None:
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

    def __init__(self, on_progress: Callable[[int, int], None], total: int) -> None:
        self.on_progress = on_progress
        self.done = 0
        self.total = total

    def on_predict_batch_end(self, *_: object, **__: object) -> None:
        """One batch more."""
        self.done += 1
        self.on_progress(self.done, self.total)


def recognise_all(
    model: Recogniser,
    windows: LabelledWindows,
    *,
    batch_size: int,
    workers: int,
    config: TrainerConfig,
    on_progress: Callable[[int, int], None],
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
    parts = cast("list[_Part]", trainer.predict(_Recognising(model), loader))  # what its predict_step gives
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
