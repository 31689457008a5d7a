"""The Lightning data module: loaders whose batches do not depend on workers or devices."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from revalexo_clip.augment import Augments
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import Sample
from revalexo_clip.data import BatchComposition, LabelledWindows
from revalexo_clip.data.batches import EpochSampler, EvaluationSampler, Key
from revalexo_clip.data.dataset import Fetch, collate
from revalexo_clip.data.windows import Ints
from revalexo_clip.training.distributed import fail_on_all_ranks, rank, world_size
from revalexo_clip.training.drawn_batches import FetchAndDraw, Portable, TrainingSample, collate_training

Item = TypeVar("Item")


class PairsDataModule(pl.LightningDataModule):
    """Loaders for training and validation. `batch_size` counts the windows of all processes together.

    `batches` says which windows meet in a batch, of no others than `rows` where these are given, `micro_batch` how many
    a process encodes at a time; `workers` are its loader processes. It knows where in the run it stands: `state_dict`
    and `load_state_dict` are how Lightning lets a resumed run go on with the very batch that comes next, without
    loading those that were done.
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
        self.start = (0, 0)

    def state_dict(self) -> dict[str, int]:
        """The epoch and the batch of it that come next."""
        assert self.trainer is not None
        loop = self.trainer.fit_loop
        epochs = loop.epoch_progress.current
        assert isinstance(epochs, _ProcessedTracker)
        done, batches = loop.epoch_loop.batch_progress.current.completed, self.steps_per_epoch
        return {"epoch": epochs.processed, "batch": done % batches, "batches": batches}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on there. Raises `ConfigError` in the middle of an epoch whose batches are others now."""
        if state_dict["batch"]:
            self.refuse_other_epoch(state_dict["batches"])
        self.start = state_dict["epoch"], state_dict["batch"]

    def refuse_other_epoch(self, steps: int) -> None:
        """Raise `ConfigError` where the epoch under way, which had so many steps, would have others now."""
        if steps != self.steps_per_epoch:
            fail_on_all_ranks(
                ConfigError(
                    f"an epoch of {steps} steps is under way; what makes it one of {self.steps_per_epoch} can only be "
                    "changed where an epoch has ended"
                )
            )

    def train_dataloader(self) -> DataLoader[TrainingSample | DataError]:
        """Its part of every batch, for each process."""
        sampler = self._sampler(rank(), world_size())
        return training_loader(self.train, self.augmentation, sampler, len(sampler.share), self.workers)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
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
        """Its part of the validation windows, for each process."""
        size = self.micro_batch or max(self.batch_size // world_size(), 1)
        return evaluation_loader(self.val, size, self.workers)


def evaluation_loader(dataset: LabelledWindows, batch_size: int, workers: int) -> DataLoader[Sample | DataError]:
    """Each window once, in order, over all processes together."""
    sampler = EvaluationSampler(len(dataset), rank(), world_size())
    return _loader(_PortableFetch(dataset), collate, sampler, batch_size, workers)


class _PortableFetch(Portable, Fetch):
    """See `Fetch` and `Portable`."""


def training_loader(
    dataset: LabelledWindows, augmentation: Augments, sampler: EpochSampler, batch_size: int, workers: int
) -> DataLoader[TrainingSample | DataError]:
    """What the sampler asks for, with draws for its augmentation."""
    return _loader(FetchAndDraw(dataset, augmentation, sampler.seed), collate_training, sampler, batch_size, workers)


def _loader(
    dataset: TorchDataset[Item],
    collate_fn: Callable[[list[Item]], object],
    sampler: Sampler[Key],
    batch_size: int,
    workers: int,
) -> DataLoader[Item]:
    if workers:
        _end_workers_at_exit()
    return _RestedLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate_fn,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_leave_signals_to_the_run,
    )


class _RestedLoader(DataLoader[Item]):
    """Lets the threads of collective operations come to rest before workers are forked.

    Lightning has processes wait for each other just before that. A thread of gloo's that lets go of a Python object in
    the moment of a fork leaves a lock held in the child, in which CPython before 3.12 then waits for ever.
    """

    def __iter__(self) -> _BaseDataLoaderIter:
        if self.num_workers and world_size() > 1:
            time.sleep(0.1)
        return super().__iter__()


@cache
def _end_workers_at_exit() -> None:
    """Python ends a process's daemons with SIGTERM and waits for them; these would not heed it."""

    def kill() -> None:
        for child in multiprocessing.active_children():
            if child.daemon:
                child.kill()

    atexit.register(kill)


def _leave_signals_to_the_run(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; workers are still needed for the step that is under way."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
