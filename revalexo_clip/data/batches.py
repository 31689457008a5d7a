"""Batch composition and samplers.

With uniform batches, most negatives come from other recordings, so a model can lower the loss by telling recordings or
subjects apart. With negatives from the same clip or the same subject, it can only use what happens in the windows.

The samplers yield (epoch, index) keys, so that every loader worker knows the epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch.utils.data import Sampler

from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data.base import LabelledWindows
from revalexo_clip.data.grouping import grouped
from revalexo_clip.data.windows import TIME_DECIMALS, Ints

Compose = Callable[[int, np.random.Generator], Ints]
"""Function that draws the batches of the given epoch: [batches, batch size] indices of windows. Every epoch has the
same number of batches."""


class BatchComposition(Component, ABC):
    """Base class of the ways to group the windows of an epoch into batches."""

    @abstractmethod
    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """Return a function that composes batches of `batch_size` windows of `dataset`, or of its `rows` only.

        Raises `ConfigError` if there are too few windows for one batch, or if the batch size does not fit.
        """


class UniformBatches(BatchComposition):
    """Batches of randomly chosen windows."""

    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """See `BatchComposition.composer`. Drops an incomplete last batch.

        If `rows` is given, the epoch has as many batches as with all windows, so each of the `rows` may be repeated.
        """
        if rows is None:
            return uniform(len(dataset), batch_size)
        batches = whole_batches(len(dataset), batch_size)
        turns = -(-batches * batch_size // len(rows))

        def draw(epoch: int, rng: np.random.Generator) -> Ints:
            order = np.concatenate([rng.permutation(rows) for _ in range(turns)])
            return order[: batches * batch_size].reshape(batches, batch_size)

        return draw


class BalancedBatches(BatchComposition):
    """Batches in which all activities are equally frequent.

    Windows are drawn with replacement, with probability inverse to the frequency of their activity. An epoch is as long
    as with uniform batches. The activity is the label at the first horizon; unlabelled windows are not drawn.
    """

    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """See `BatchComposition.composer`."""
        row_M = np.arange(len(dataset)) if rows is None else rows
        batches = whole_batches(len(dataset), batch_size)

        def draw(epoch: int, rng: np.random.Generator) -> Ints:
            label_M = dataset.labels(epoch)[row_M, 0]
            labelled_M = label_M != UNLABELLED
            if not labelled_M.any():
                raise DataError(f"epoch {epoch + 1}: no training window has a label at the first of data.horizons")
            weight_M = np.zeros(len(row_M))
            weight_M[labelled_M] = 1 / np.bincount(label_M[labelled_M])[label_M[labelled_M]]
            return rng.choice(row_M, size=(batches, batch_size), p=weight_M / weight_M.sum())

        return draw


Grouping = Literal["clip", "recording", "subject"]


class GroupedBatches(BatchComposition):
    """Several windows from each of a few clips, or of a few subjects."""

    by: Grouping = "clip"
    """What the windows of a group have in common."""
    windows: PositiveInt = 8
    """Number of windows per group in a batch. Windows that overlap in time are not negatives of each other."""
    seconds: PositiveFloat | None = None
    """Divide each clip into parts in which windows start, of this length [s], so that the windows of a group are close
    in time; null for whole clips, or what `by` says. For clips of minutes and `TemporalContrast`."""

    @model_validator(mode="after")
    def _parts_of_clips(self) -> Self:
        if self.seconds is not None and self.by != "clip":
            raise ValueError(f'seconds: parts of clips need by="clip", not "{self.by}"')
        return self

    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """See `BatchComposition.composer`. Windows that do not fill another group of `windows` are left out."""
        groups, remainder = divmod(batch_size, self.windows)
        if remainder or not groups:
            raise ConfigError(
                f"batches.windows: batch_size {batch_size} is not a multiple of {self.windows} windows per group"
            )
        row_M = np.arange(len(dataset)) if rows is None else rows
        group_M = _groups(dataset, self.by, self.seconds)[row_M]
        full = np.count_nonzero(np.bincount(group_M) // self.windows)
        if full < groups:
            fits = _what_fits(self.windows, group_M, dataset.windows.clip_N[row_M])
            kind = f"{self.by}s" if self.seconds is None else f"parts of {self.seconds:g} s of clips"
            raise ConfigError(
                f"batches: a batch of {batch_size} needs {self.windows} windows from each of {groups} {kind}, but only "
                f"{full} training {kind} have that many; {fits}change "
                f"{'' if self.seconds is None else 'batches.seconds, '}batches.windows or data.windows_per_clip"
            )
        return lambda epoch, rng: row_M[grouped(group_M, self.windows, groups, rng)]


def _what_fits(windows: int, group_M: Ints, clip_M: Ints) -> str:
    """Return a setting with which groups of `windows` can be composed, if one of the usual ones is enough."""
    if full := np.count_nonzero(np.bincount(group_M) // windows):
        return f"--set batch_size={full * windows} fits, or "
    parts = int(np.bincount(clip_M[np.unique(group_M, return_index=True)[1]]).max(initial=0))
    # Windows are spread over clips, and the last part of a clip may be short.
    return (
        f"--set data.windows_per_clip={parts * (windows + 2)} is enough, or " if parts > 1 else "lower batch_size, or "
    )


def uniform(windows: int, batch_size: int) -> Compose:
    """Return a function that composes random batches from `windows` windows."""
    batches = whole_batches(windows, batch_size)
    return lambda epoch, rng: rng.permutation(windows)[: batches * batch_size].reshape(batches, batch_size)


def whole_batches(windows: int, batch_size: int) -> int:
    """Return how many batches there are. Raises `ConfigError` if there is none."""
    if batch_size > windows:
        raise ConfigError(f"a batch of {batch_size} windows is larger than the training set of {windows} windows")
    return windows // batch_size


def _groups(dataset: LabelledWindows, by: Grouping, seconds: float | None) -> Ints:
    """Return [N], the group number of each window."""
    if by == "clip" and seconds is not None:
        part_N = np.floor(np.round(dataset.windows.start_N / seconds, TIME_DECIMALS)).astype(np.int64)
        number_N = dataset.windows.clip_N * (int(part_N.max(initial=0)) + 1) + part_N  # much faster than pairs
        return np.asarray(np.unique(number_N, return_inverse=True)[1].reshape(-1), dtype=np.int64)
    if by == "clip":
        return dataset.windows.clip_N
    if by == "recording":
        return dataset.clip_recordings[dataset.windows.clip_N]
    number = {subject: place for place, subject in enumerate(sorted(set(dataset.clip_subjects)))}
    return np.array([number[subject] for subject in dataset.clip_subjects])[dataset.windows.clip_N]


Key = tuple[int, int]
"""Epoch and index of a window."""


def share_of(batch_size: int, rank: int, world: int) -> range:
    """Return the rows of a batch that a rank takes. The ranks' shares differ by at most one row."""
    return range(batch_size * rank // world, batch_size * (rank + 1) // world)


class EpochSampler(Sampler[Key]):
    """Sampler of the batches of an epoch, which depend only on (seed, epoch).

    `compose` draws the batches; without it, every window comes once per epoch, in random order. `batch_size` is the
    number of windows per step over all `world` ranks. Each rank yields its contiguous part of every batch, `share_of`,
    so the sequence of batches does not depend on the number of ranks. An incomplete last batch is dropped.

    `start` is the (epoch, batch) at which a run starts or resumes. The earlier batches of that epoch are skipped, and
    their windows are not read.
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

    @cached_property
    def batches(self) -> int:
        """Number of batches in an epoch. It is counted by drawing one, which takes time with many windows."""
        return len(self._draw(0))

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration. Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of windows of a full epoch on this rank."""
        return self.batches * len(self.share)

    def __iter__(self) -> Iterator[Key]:
        epoch = self.epoch  # a later `set_epoch` does not affect this iteration
        done = self.start[1] if epoch == self.start[0] else 0
        return ((epoch, index) for index in self._draw(epoch)[done:, self.share].ravel().tolist())

    def _draw(self, epoch: int) -> Ints:
        return self.compose(epoch, np.random.default_rng([self.seed, epoch]))


class EvaluationSampler(Sampler[Key]):
    """Sampler of every window exactly once over all ranks. Rank r takes windows r, r + world, r + 2 world, ..."""

    def __init__(self, windows: int, rank: int = 0, world: int = 1) -> None:
        assert 0 <= rank < world
        self.indices = range(rank, windows, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Key]:
        return ((0, index) for index in self.indices)
