"""Which windows a loader asks for, in which order. Keys are (epoch, index), so every worker knows the epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from revalexo_clip.errors import ConfigError

Key = tuple[int, int]


class EpochSampler(Sampler[Key]):
    """Every window once an epoch, in an order that is a function of (seed, epoch).

    `batch_size` counts the windows of one step over all `world` ranks. Each rank yields its contiguous part of every
    such batch, so the sequence of batches does not depend on the number of ranks. An incomplete last batch is dropped.
    """

    def __init__(self, windows: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        assert 0 <= rank < world
        if batch_size % world:
            raise ConfigError(f"a batch of {batch_size} windows cannot be shared equally by {world} devices")
        if batch_size > windows:
            raise ConfigError(f"a batch of {batch_size} windows is larger than the training set of {windows} windows")
        self.windows = windows
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields. Lightning calls it before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.windows // self.batch_size * (self.batch_size // self.world)

    def __iter__(self) -> Iterator[Key]:
        order_N = np.random.default_rng([self.seed, self.epoch]).permutation(self.windows)
        batches = self.windows // self.batch_size
        shares = order_N[: batches * self.batch_size].reshape(batches, self.world, -1)
        epoch = self.epoch  # an iteration keeps the epoch it began with
        return ((epoch, index) for index in shares[:, self.rank].ravel().tolist())


class EvaluationSampler(Sampler[Key]):
    """Every window exactly once over all ranks, in order: rank r takes windows r, r + world, r + 2 world, ..."""

    def __init__(self, windows: int, rank: int = 0, world: int = 1) -> None:
        assert 0 <= rank < world
        self.indices = range(rank, windows, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Key]:
        return ((0, index) for index in self.indices)
