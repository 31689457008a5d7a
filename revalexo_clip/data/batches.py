"""Which windows meet in a batch.

With uniform batches most negatives come from other recordings, and a loss can fall by telling recordings or people
apart. Negatives from the same clip or the same person leave only what happens to tell windows apart by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import PositiveInt

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
    def of(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """Composes batches of `batch_size` windows of `dataset`, of no others than `rows` if these are given.

        Raises `ConfigError` where there are too few for one, or the batch size does not suit.
        """


class UniformBatches(BatchComposition):
    """Any windows, as they come."""

    def of(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
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

    def of(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
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

    def of(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
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
