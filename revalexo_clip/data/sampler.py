"""Which windows a loader asks for, in which order. Keys are (epoch, index), so every worker knows the epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.batches import Compose, uniform
from revalexo_clip.data.windows import Ints

Key = tuple[int, int]


def share_of(batch_size: int, rank: int, world: int) -> range:
    """The rows of a batch that a rank takes; where they cannot be shared equally, some ranks take one row more."""
    return range(batch_size * rank // world, batch_size * (rank + 1) // world)


class EpochSampler(Sampler[Key]):
    """The batches of an epoch, which are a function of (seed, epoch).

    `compose` puts them together; without it every window comes once an epoch, in any order. `batch_size` counts the
    windows of one step over all `world` ranks. Each rank yields its contiguous part of every such batch, `share_of`
    it, so the sequence of batches does not depend on the number of ranks. An incomplete last batch is dropped.

    `start` is the epoch and the batch of it that a run begins at, or goes on at: the batches before are passed over
    without being drawn from, in that epoch alone.
    """

    def __init__(
        self,
        windows: int,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
        compose: Compose | None = None,
        start: tuple[int, int] = (0, 0),
    ) -> None:
        assert 0 <= rank < world
        if batch_size < world:
            raise ConfigError(f"a batch of {batch_size} windows cannot be shared by {world} devices")
        self.compose = compose or uniform(windows, batch_size)
        self.share = share_of(batch_size, rank, world)
        self.seed = seed
        self.epoch, _ = self.start = start
        self.batches = len(self._draw(0))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields. Lightning calls it before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Windows of a whole epoch, for this rank."""
        return self.batches * len(self.share)

    def __iter__(self) -> Iterator[Key]:
        epoch = self.epoch  # an iteration keeps the epoch it began with
        done = self.start[1] if epoch == self.start[0] else 0
        return ((epoch, index) for index in self._draw(epoch)[done:, self.share].ravel().tolist())

    def _draw(self, epoch: int) -> Ints:
        return self.compose(epoch, np.random.default_rng([self.seed, epoch]))


class EvaluationSampler(Sampler[Key]):
    """Every window exactly once over all ranks, in order: rank r takes windows r, r + world, r + 2 world, ..."""

    def __init__(self, windows: int, rank: int = 0, world: int = 1) -> None:
        assert 0 <= rank < world
        self.indices = range(rank, windows, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Key]:
        return ((0, index) for index in self.indices)
