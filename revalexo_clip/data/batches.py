"""Which windows meet in a batch.

With uniform batches most negatives come from other recordings, and a loss can fall by telling recordings or people
apart. Negatives from the same clip or the same person leave only what happens to tell windows apart by.

Which windows a loader asks for, in which order. Keys are (epoch, index), so every worker knows the epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from pydantic import PositiveInt
from torch.utils.data import Sampler

from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data.base import LabelledWindows
from revalexo_clip.data.windows import Ints

Compose = Callable[[int, np.random.Generator], Ints]
"""Draws the batches of one epoch, which is told: [batches, batch size] indices of windows. How many batches there are
does not depend on the draw."""


class BatchComposition(Component, ABC):
    """How the windows of an epoch are put together into batches."""

    @abstractmethod
    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """Composes batches of `batch_size` windows of `dataset`, of no others than `rows` if these are given.

        Raises `ConfigError` where there are too few for one, or the batch size does not suit.
        """


class UniformBatches(BatchComposition):
    """Any windows, as they come."""

    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """See `BatchComposition.of`. An incomplete last batch is dropped.

        An epoch is as long as with all windows: `rows` come several times where they are fewer.
        """
        if rows is None:
            return uniform(len(dataset), batch_size)
        batches = _whole_batches(len(dataset), batch_size)
        turns = -(-batches * batch_size // len(rows))

        def draw(epoch: int, rng: np.random.Generator) -> Ints:
            order = np.concatenate([rng.permutation(rows) for _ in range(turns)])
            return order[: batches * batch_size].reshape(batches, batch_size)

        return draw


class BalancedBatches(BatchComposition):
    """Every activity as often as any other: windows are drawn by the inverse frequency of theirs.

    They are drawn with replacement, so that an epoch is as long as with uniform batches. An activity is that at the
    first horizon; windows without one do not come.
    """

    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """See `BatchComposition.of`."""
        row_M = np.arange(len(dataset)) if rows is None else rows
        batches = _whole_batches(len(dataset), batch_size)

        def draw(epoch: int, rng: np.random.Generator) -> Ints:
            label_M = dataset.labels(epoch)[row_M, 0]
            labelled_M = label_M != UNLABELLED
            if not labelled_M.any():
                raise DataError(f"epoch {epoch + 1}: no training window has a label at the first of data.horizons")
            weight_M = np.zeros(len(row_M))
            weight_M[labelled_M] = 1 / np.bincount(label_M[labelled_M])[label_M[labelled_M]]
            return rng.choice(row_M, size=(batches, batch_size), p=weight_M / weight_M.sum())

        return draw


class GroupedBatches(BatchComposition):
    """Several windows from each of a few clips, or of a few subjects."""

    by: Literal["clip", "subject"] = "clip"
    """What the windows of a group share."""
    windows: PositiveInt = 8
    """Windows from each group in a batch. Those that overlap in time are still not negatives of each other."""

    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """See `BatchComposition.of`. Of each group, what does not fill another `windows` is left for other epochs."""
        groups, remainder = divmod(batch_size, self.windows)
        if remainder or not groups:
            raise ConfigError(
                f"batches.windows: a batch of {batch_size} does not divide into groups of {self.windows} windows"
            )
        row_M = np.arange(len(dataset)) if rows is None else rows
        group_M = _groups(dataset, self.by)[row_M]
        shares = np.bincount(group_M) // self.windows
        if np.count_nonzero(shares) < groups:
            raise ConfigError(
                f"batches: a batch of {batch_size} takes {self.windows} windows from each of {groups} {self.by}s, and "
                f"only {np.count_nonzero(shares)} training {self.by}s have as many; lower batch_size, or change "
                "batches.windows or data.windows_per_clip"
            )
        return lambda epoch, rng: row_M[_grouped(group_M, self.windows, groups, rng)]


def uniform(windows: int, batch_size: int) -> Compose:
    """Batches of any of `windows` windows."""
    batches = _whole_batches(windows, batch_size)
    return lambda epoch, rng: rng.permutation(windows)[: batches * batch_size].reshape(batches, batch_size)


def _whole_batches(windows: int, batch_size: int) -> int:
    if batch_size > windows:
        raise ConfigError(f"a batch of {batch_size} windows is larger than the training set of {windows} windows")
    return windows // batch_size


def _groups(dataset: LabelledWindows, by: Literal["clip", "subject"]) -> Ints:
    """[N] the number of each window's group."""
    if by == "clip":
        return dataset.windows.clip_N
    number = {subject: place for place, subject in enumerate(sorted(set(dataset.clip_subjects)))}
    return np.array([number[subject] for subject in dataset.clip_subjects])[dataset.windows.clip_N]


def _grouped(group_N: Ints, windows: int, groups: int, rng: np.random.Generator) -> Ints:
    """[batches, groups * windows]: shares of `windows` windows of one group, no group twice in a batch.

    Groups take turns: the batches draw from those that have most shares left, so that none is left over at the end
    that could not meet others.
    """
    order_N = rng.permutation(len(group_N))
    order_N = order_N[np.argsort(group_N[order_N], kind="stable")]  # by group, shuffled within
    size_G = np.bincount(group_N)
    next_G = np.cumsum(size_G) - size_G
    left_G = size_G // windows
    batches = []
    while np.count_nonzero(left_G) >= groups:
        chosen = np.lexsort((rng.random(len(left_G)), -left_G))[:groups]
        batches.append(np.concatenate([order_N[next_G[group] : next_G[group] + windows] for group in chosen]))
        next_G[chosen] += windows
        left_G[chosen] -= 1
    return np.stack(batches)[rng.permutation(len(batches))]


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
