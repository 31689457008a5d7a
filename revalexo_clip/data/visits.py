"""Batches of random windows in an order that suits slow storage: several windows are read per visit to a clip."""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt

from revalexo_clip.data.base import LabelledWindows
from revalexo_clip.data.batches import BatchComposition, Compose, whole_batches
from revalexo_clip.data.windows import Ints


class VisitBatches(BatchComposition):
    """Batches of randomly chosen windows; windows of a clip that follow each other come in batches that do, too.

    For datasets that do not fit into memory, on disks or network file systems where every jump to another clip takes
    milliseconds: what was read for one window, and ahead of it, is still in memory when the next one is read. A batch
    has windows of as many clips as with `UniformBatches`, and every window comes once per epoch.

    Row r of each batch is a queue of visits. The batches that hold the windows of one visit are the shuffle buffer. All
    of them lie in the same row, so a visit is made by one process, however many processes share a batch.
    """

    windows_per_visit: PositiveInt = 8
    """Number of windows that follow each other in a clip, in as many batches. Visits differ from epoch to epoch."""

    def composer(self, dataset: LabelledWindows, batch_size: int, rows: Ints | None = None) -> Compose:
        """See `BatchComposition.composer`. Drops an incomplete last batch. `rows` are as in `UniformBatches`."""
        batches = whole_batches(len(dataset), batch_size)
        row_M = np.arange(len(dataset)) if rows is None else rows
        clip_M, start_M = dataset.windows.clip_N[row_M], dataset.windows.start_N[row_M]
        row_M = row_M[order_M := np.lexsort((start_M, clip_M))]
        clip_M = clip_M[order_M]
        turns = -(-batches * batch_size // len(row_M))

        def draw(epoch: int, rng: np.random.Generator) -> Ints:
            found = [row_M[_visiting(clip_M, self.windows_per_visit, rng)] for _ in range(turns)]
            queued_N = np.concatenate(found)[: batches * batch_size]
            return np.ascontiguousarray(queued_N.reshape(batch_size, batches).T)

        return draw


def _visiting(clip_M: Ints, windows: int, rng: np.random.Generator) -> Ints:
    """Return [M], an order of windows: visit by visit. `clip_M` are their clips, and ascend.

    A clip is divided anew each time: its first and its last visit may have fewer than `windows`.
    """
    is_first_M = np.diff(clip_M, prepend=-1) != 0
    first_J = np.flatnonzero(is_first_M)
    number_M = np.cumsum(is_first_M) - 1
    place_M = np.arange(len(clip_M)) - first_J[number_M] + rng.integers(windows, size=len(first_J))[number_M]
    visit_M = np.cumsum(is_first_M | (place_M % windows == 0)) - 1
    rank_V = rng.permutation(int(visit_M[-1]) + 1)
    return np.argsort(rank_V[visit_M], kind="stable")
