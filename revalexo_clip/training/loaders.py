"""The Lightning data module: loaders whose batches do not depend on the number of workers or devices."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import signal
import time
from collections.abc import Callable
from functools import cache, cached_property
from multiprocessing.synchronize import Semaphore
from typing import TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.loops.progress import _ProcessedTracker
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from revalexo_clip.augment import Augments
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.platform import existing_signals
from revalexo_clip.core.types import Sample
from revalexo_clip.data import BatchComposition, LabelledWindows
from revalexo_clip.data.batches import EpochSampler, EvaluationSampler, Key
from revalexo_clip.data.dataset import Fetch, collate
from revalexo_clip.data.texts.base import WindowTexts
from revalexo_clip.data.windows import Ints
from revalexo_clip.training.distributed import fail_on_all_ranks, rank, world_size
from revalexo_clip.training.drawn_batches import FetchAndDraw, Portable, TrainingSample, collate_training

log = logging.getLogger("revalexo_clip")

Item = TypeVar("Item")

_SIGNALS = existing_signals("SIGINT", "SIGTERM", "SIGUSR1")

_PATIENCE = 60.0
"""Time within which all workers of a loader have to start [s]."""
_ATTEMPTS = 3

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
    return _loader(_PortableFetch(dataset), collate, sampler, batch_size, workers)


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
    fetch = FetchAndDraw(dataset, augmentation, sampler.seed, texts)
    return _loader(fetch, collate_training, sampler, batch_size, workers)


def _loader(
    dataset: TorchDataset[Item],
    collate_fn: Callable[[list[Item]], object],
    sampler: Sampler[Key],
    batch_size: int,
    workers: int,
) -> DataLoader[Item]:
    if workers:
        _end_workers_at_exit()
    return _ForkingLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate_fn,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_WorkerStart(),
    )


class _ForkingLoader(DataLoader[Item]):
    """A loader that starts its workers again if one of them hangs at its start.

    Threads of collective operations enter Python for a moment, such as to release a tensor. If a process is forked at
    that moment, CPython before 3.12 waits in the child for a lock that nobody holds any more, before it runs any code
    of ours. Such threads are therefore given time to finish, and every worker has to report that it has started.
    """

    def _get_iterator(self) -> _BaseDataLoaderIter:
        if not self.num_workers or multiprocessing.get_start_method() != "fork":
            return super()._get_iterator()
        random_state = torch.get_rng_state()
        for _ in range(_ATTEMPTS):
            if world_size() > 1:
                time.sleep(0.1)
            torch.set_rng_state(random_state)  # it gives the workers their seed
            self.worker_init_fn = _WorkerStart(started := multiprocessing.Semaphore(0))
            iterator = super()._get_iterator()
            assert isinstance(iterator, _MultiProcessingDataLoaderIter)
            end = time.monotonic() + _PATIENCE
            if all(started.acquire(timeout=max(end - time.monotonic(), 0)) for _ in range(self.num_workers)):
                return iterator
            log.warning("a loader process has not started after %g s; starting all again", _PATIENCE)
            _discard(iterator)
        raise DataError(f"loader processes do not start ({_ATTEMPTS} attempts); --set data.workers=0 needs none")


def _discard(iterator: _MultiProcessingDataLoaderIter) -> None:
    """End the workers of a loader, also those that heed no signal."""
    iterator._shutdown_workers()
    for worker in iterator._workers:
        worker.kill()
        worker.join()


class _WorkerStart:
    """Ignores signals in a worker, and reports that it has started.

    Ctrl-C reaches all processes, but the current step still needs the workers.
    """

    def __init__(self, started: Semaphore | None = None) -> None:
        self.started = started

    def __call__(self, worker: int) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self.started is not None:
            self.started.release()


@cache
def _end_workers_at_exit() -> None:
    """Kill loader workers at exit: Python would send them SIGTERM, which they ignore, and wait."""

    def kill() -> None:
        for child in multiprocessing.active_children():
            if child.daemon:
                child.kill()

    atexit.register(kill)
