"""Reading a whole dataset in validation, on any number of devices, and bringing together what was made of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import lightning.pytorch as pl
import torch
from torch import Tensor

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Batch
from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.training.agreement import raise_together
from revalexo_clip.training.distributed import gather, world_size


class CollectingModule(pl.LightningModule, ABC):
    """Does something with every window that validation loads, and has the result on every process.

    Subclasses say what is made of a batch, `collect`, and what becomes of all of it, `on_collected`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[tuple[Tensor, ...]] = []
        self._error: DataError | None = None

    @abstractmethod
    def collect(self, batch: Batch) -> Sequence[Tensor]:
        """What is to be brought together of B windows: `window_B` first, then others of B rows each."""

    @abstractmethod
    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Called on every process with all N rows of each, in the order of the dataset."""

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read, wherever among the processes that was.

        In validation, several processes wait with it for the end: they may not have the same number of batches.
        """
        if world_size() == 1:
            return arrived(batch)
        if self.trainer.training:
            raise_together(batch if isinstance(batch, DataError) else None, self.device)
        return batch

    def validation_step(self, batch: Batch | DataError, batch_idx: int) -> None:
        """One batch."""
        if isinstance(batch, DataError):
            self._error = self._error or batch
            return
        self._parts.append(tuple(part.cpu() for part in self.collect(batch)))

    def on_validation_epoch_end(self) -> None:
        """Bring together what all processes have made."""
        raise_together(self._error, self.device)
        own = [torch.cat(parts).to(self.device) for parts in zip(*self._parts, strict=True)]
        self._parts.clear()
        everything = [gather(part) for part in own]
        order = everything[0].argsort()
        self.on_collected([part[order] for part in everything])
