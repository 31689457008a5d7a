"""The Lightning data module: loaders whose batches do not depend on the number of workers or devices."""

from __future__ import annotations

from functools import cached_property

import lightning.pytorch as pl
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch.utils.data import DataLoader

from revalexo_clip.augment import Augments
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import Sample
from revalexo_clip.data import BatchComposition, LabelledWindows
from revalexo_clip.data.batches import EpochSampler, EvaluationSampler
from revalexo_clip.data.dataset import Fetch, collate
from revalexo_clip.data.texts.base import WindowTexts
from revalexo_clip.data.windows import Ints
from revalexo_clip.training.buffers import window_bytes
from revalexo_clip.training.distributed import fail_on_all_ranks, rank, world_size
from revalexo_clip.training.drawn_batches import FetchAndDraw, Portable, TrainingSample, collate_training
from revalexo_clip.training.workers import windows_loader

_ENCODED_AT_ONCE = 64
"""Windows that are encoded at once without gradients if the experiment sets no `micro_batch`."""


class PairsDataModule(pl.LightningDataModule):
    """Loaders for training and validation.

    `batch_size` is the number of windows of all processes together, `micro_batch` the number that a process encodes at
    once, `workers` the number of loader processes. `batches` defines which windows form a batch, only those in `rows`
    if given. `texts` are the sentences of the training windows. `position` and `continue_at` let a resumed run start
    with the next batch, without loading earlier ones.
    """

    def __init__(
        self,
        train: LabelledWindows,
        val: LabelledWindows,
        augmentation: Augments,
        *,
        batches: BatchComposition,
        batch_size: int,
        micro_batch: int | None,
        seed: int,
        workers: int,
        rows: Ints | None = None,
        texts: WindowTexts | None = None,
    ) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.augmentation = augmentation
        self.compose = batches.composer(train, batch_size, rows)
        self.batch_size = batch_size
        self.micro_batch = micro_batch
        self.seed = seed
        self.workers = workers
        self.texts = texts
        self.start = (0, 0)

    def position(self) -> dict[str, int]:
        """Return the next epoch and batch, and the number of batches of an epoch, for the checkpoint."""
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        epochs = loop.epoch_progress.current
        assert isinstance(epochs, _ProcessedTracker)
        done, batches = loop.epoch_loop.batch_progress.current.completed, self.steps_per_epoch
        return {"epoch": epochs.processed, "batch": done % batches, "batches": batches}

    def continue_at(self, position: dict[str, int]) -> None:
        """Continue at a position. Raises `ConfigError` within an epoch if its number of batches has changed."""
        if position["batch"]:
            self.refuse_other_epoch(position["batches"])
        self.start = position["epoch"], position["batch"]

    def refuse_other_epoch(self, steps: int) -> None:
        """Raise `ConfigError` if an unfinished epoch, started with a number of steps, has another number now."""
        if steps != self.steps_per_epoch:
            fail_on_all_ranks(
                ConfigError(
                    f"the run stopped within an epoch of {steps} steps, and the experiment now gives "
                    f"{self.steps_per_epoch}; fields that change this can only be changed after a complete epoch"
                )
            )

    def train_dataloader(self) -> DataLoader[TrainingSample | DataError]:
        """Load this process's part of each batch."""
        sampler = self._sampler(rank(), world_size())
        size = len(sampler.share)
        return training_loader(self.train, self.augmentation, sampler, size, self.workers, texts=self.texts)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch, which is counted once: it takes drawing the batches of an epoch."""
        return self._sampler(rank=0, world=1).batches

    def _sampler(self, rank: int, world: int) -> EpochSampler:
        return EpochSampler(
            len(self.train),
            self.batch_size,
            self.seed,
            rank=rank,
            world=world,
            compose=self.compose,
            start=self.start,
        )

    def val_dataloader(self) -> DataLoader[Sample | DataError]:
        """Load this process's part of the validation windows."""
        size = evaluation_batch_size(max(self.batch_size // world_size(), 1), self.micro_batch)
        return evaluation_loader(self.val, size, self.workers)


def evaluation_batch_size(batch_size: int, micro_batch: int | None) -> int:
    """Return how many windows to encode at once without gradients; results do not depend on it.

    A contrastive batch of many devices, or in many parts, would not fit into the memory of one device.
    """
    return micro_batch or min(batch_size, _ENCODED_AT_ONCE)


def evaluation_loader(dataset: LabelledWindows, batch_size: int, workers: int) -> DataLoader[Sample | DataError]:
    """Load each window once, in order, over all processes together."""
    sampler = EvaluationSampler(len(dataset), rank(), world_size())
    size = batch_size * (window_bytes(dataset.imu_spec, dataset.video_spec) + dataset.feature_bytes)
    return windows_loader(_PortableFetch(dataset), collate, sampler, batch_size, workers=workers, batch_bytes=size)


class _PortableFetch(Portable, Fetch):
    """A `Fetch` that can be sent to any loader process."""


def training_loader(
    dataset: LabelledWindows,
    augmentation: Augments,
    sampler: EpochSampler,
    batch_size: int,
    workers: int,
    *,
    texts: WindowTexts | None = None,
) -> DataLoader[TrainingSample | DataError]:
    """Load the windows that a sampler yields, with draws for their augmentation and, if any, their sentences."""
    size = batch_size * (window_bytes(dataset.imu_spec, dataset.video_spec) + dataset.feature_bytes)
    windows = FetchAndDraw(dataset, augmentation, sampler.seed, texts)
    return windows_loader(windows, collate_training, sampler, batch_size, workers=workers, batch_bytes=size)
