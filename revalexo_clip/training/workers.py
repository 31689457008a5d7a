"""Loader processes: how they start, end, ignore signals, and pass batches to the training process."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.synchronize import Semaphore
from typing import Protocol, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.platform import existing_signals
from revalexo_clip.core.types import Stack
from revalexo_clip.data.batches import Key
from revalexo_clip.training.buffers import BatchBuffers, Filled, Task, Tasks
from revalexo_clip.training.distributed import world_size

log = logging.getLogger("revalexo_clip")

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)

_SIGNALS = existing_signals("SIGINT", "SIGTERM", "SIGUSR1")

_PATIENCE = 60.0
"""Time within which all workers of a loader have to start [s]."""
_ATTEMPTS = 3

_PREFETCHED = 2
"""Batches that each worker is asked for ahead of time."""
_KEPT = 3
"""Batches that a training keeps at a time: the current one, the next one, and one that may be on its way to a GPU."""


class Collate(Protocol[Item_contra]):
    """Stacks samples to a batch, by the function that it is given."""

    def __call__(self, samples: Sequence[Item_contra], stacked: Stack = ..., /) -> object:
        """Return the batch."""


def windows_loader(
    dataset: TorchDataset[Item],
    collate_fn: Collate[Item],
    sampler: Sampler[Key],
    batch_size: int,
    *,
    workers: int,
    batch_bytes: int,
) -> DataLoader[Item]:
    """Load the windows that a sampler yields in `workers` processes; a batch takes `batch_bytes` at most."""
    if workers:
        _end_workers_at_exit()
    buffers, collating = _buffers(workers, batch_bytes), cast("Callable[[list[Item]], object]", collate_fn)
    if buffers is not None:
        dataset, collating = _IntoBuffers(dataset, collate_fn, buffers), _as_it_is
    return _ForkingLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collating,
        num_workers=workers,
        prefetch_factor=_PREFETCHED if workers else None,
        persistent_workers=workers > 0,
        pin_memory=buffers is None and torch.cuda.is_available(),
        worker_init_fn=_WorkerStart(),
    )


def _buffers(workers: int, batch_bytes: int) -> BatchBuffers | None:
    """Return buffers for the batches of forked workers; None if the system refuses the memory."""
    if not workers or not _forks():
        return None
    try:
        return BatchBuffers(_PREFETCHED * workers + _KEPT, batch_bytes)
    except OSError:
        return None


def _forks() -> bool:
    return multiprocessing.get_start_method() == "fork"


class _IntoBuffers(TorchDataset[Item]):
    """A dataset whose batches are stacked in buffers by the workers."""

    def __init__(self, dataset: TorchDataset[Item], collate_fn: Collate[Item], buffers: BatchBuffers) -> None:
        self.dataset = dataset
        self.collate_fn = collate_fn
        self.buffers = buffers

    def __getitem__(self, key: Key) -> Item:
        return self.dataset[key]

    def __getitems__(self, task: Task[Key]) -> Filled:
        return self.buffers.fill(task.buffer, lambda stacked: self.collate_fn(self._read(task), stacked))

    def _read(self, keys: Sequence[Key]) -> list[Item]:
        """Read the windows of a batch in the order in which they lie in files."""
        read = {key: self.dataset[key] for key in sorted(set(keys))}
        return [read[key] for key in keys]


def _as_it_is(filled: object) -> object:
    return filled


class _BufferedIterator(_MultiProcessingDataLoaderIter):
    """Gives the batches that workers have stacked in buffers."""

    def __init__(self, loader: DataLoader[Item], buffers: BatchBuffers) -> None:
        self.buffers = buffers
        super().__init__(loader)

    def _process_data(self, data: object, worker_idx: int) -> object:
        filled = super()._process_data(data, worker_idx)  # type: ignore[no-untyped-call]
        assert isinstance(filled, Filled)
        return self.buffers.opened(filled)


class _ForkingLoader(DataLoader[Item]):
    """A loader that starts its workers again if one of them hangs at its start.

    Threads of collective operations enter Python for a moment, such as to release a tensor. If a process is forked at
    that moment, CPython before 3.12 waits in the child for a lock that nobody holds any more, before it runs any code
    of ours. Such threads are therefore given time to finish, and every worker has to report that it has started.
    """

    @property
    def buffers(self) -> BatchBuffers | None:
        """The buffers of the batches. The dataset has them: Lightning builds the loader of a prediction anew."""
        return self.dataset.buffers if isinstance(self.dataset, _IntoBuffers) else None

    @property
    def _index_sampler(self) -> Sequence[list[Key]] | Tasks[Key]:
        batches: Sequence[list[Key]] = super()._index_sampler
        return batches if self.buffers is None else Tasks(batches, self.buffers)

    def _get_iterator(self) -> _BaseDataLoaderIter:
        if not self.num_workers or not _forks():
            return super()._get_iterator()
        random_state = torch.get_rng_state()
        for _ in range(_ATTEMPTS):
            if world_size() > 1:
                time.sleep(0.1)
            torch.set_rng_state(random_state)  # it gives the workers their seed
            self.worker_init_fn = _WorkerStart(started := multiprocessing.Semaphore(0))
            iterator = self._workers()
            end = time.monotonic() + _PATIENCE
            if all(started.acquire(timeout=max(end - time.monotonic(), 0)) for _ in range(self.num_workers)):
                return iterator
            log.warning("a loader process has not started after %g s; starting all again", _PATIENCE)
            _discard(iterator)
        raise DataError(f"loader processes do not start ({_ATTEMPTS} attempts); --set data.workers=0 needs none")

    def _workers(self) -> _MultiProcessingDataLoaderIter:
        """Start workers."""
        if self.buffers is not None:
            return _BufferedIterator(self, self.buffers)
        iterator = super()._get_iterator()
        assert isinstance(iterator, _MultiProcessingDataLoaderIter)
        return iterator


def _discard(iterator: _MultiProcessingDataLoaderIter) -> None:
    """End the workers of a loader, also those that heed no signal."""
    iterator._shutdown_workers()
    for worker in iterator._workers:
        worker.kill()
        worker.join()


class _WorkerStart:
    """Ignores signals in a worker, ends it with the training process, and reports that it has started.

    Ctrl-C reaches all processes, but the current step still needs the workers. torch ends a worker whose parent has
    ended; the parent of one that a fork server started is that server, which waits for its workers.
    """

    def __init__(self, started: Semaphore | None = None) -> None:
        self.started = started

    def __call__(self, worker: int) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if not _forks():
            threading.Thread(target=_end_with_training, daemon=True).start()
        if self.started is not None:
            self.started.release()


def _end_with_training() -> None:
    training = multiprocessing.parent_process()  # whichever process started this one in its name
    assert training is not None
    training.join()
    os._exit(1)


@cache
def _end_workers_at_exit() -> None:
    """Kill loader workers at exit: Python would send them SIGTERM, which they ignore, and wait."""

    def kill() -> None:
        for child in multiprocessing.active_children():
            if child.daemon:
                child.kill()

    atexit.register(kill)
