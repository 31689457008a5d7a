"""Reading a whole dataset in validation, on any number of devices, and bringing together what was made of it.

What the optimizer steps of all trainings have in common: clipped gradients, and which learning rates are logged.

A resumed run whose optimizer has other settings than it had, or whose length is another one.

Random numbers that layers draw, such as dropout's, as a function of where a run stands.
"""

from __future__ import annotations

import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import Batch
from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.training.distributed import fail_on_all_ranks, gather, raise_on_all_ranks, world_size


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
            raise_on_all_ranks(batch if isinstance(batch, DataError) else None, self.device)
        return batch

    def validation_step(self, batch: Batch | DataError, batch_idx: int) -> None:
        """One batch."""
        if isinstance(batch, DataError):
            self._error = self._error or batch
            return
        self._parts.append(tuple(part.cpu() for part in self.collect(batch)))

    def on_validation_epoch_end(self) -> None:
        """Bring together what all processes have made."""
        raise_on_all_ranks(self._error, self.device)
        own = [torch.cat(parts).to(self.device) for parts in zip(*self._parts, strict=True)]
        self._parts.clear()
        everything = [gather(part) for part in own]
        order = everything[0].argsort()
        self.on_collected([part[order] for part in everything])


def clip_gradient(optimizer: torch.optim.Optimizer, limit: float | None) -> Tensor:
    """Scale the gradient of all that an optimizer trains down to a norm of at most `limit`, and return what it was.

    None leaves the gradient as it is.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return torch.nn.utils.clip_grad_norm_(parameters, limit if limit is not None else float("inf"))


def learning_rates(scheduler: LRScheduler) -> dict[str, float]:
    """The learning rates of the step that comes next, by the names under which they are logged.

    `train/lr` is that of the first parameters, which `optim.lr` is for. Parts of a model that `ByPlace` gives a rate of
    their own follow as `train/lr/imu`, or `train/lr/imu/block_1` where it falls over the blocks of an encoder.
    """
    first, *others = scheduler.get_last_lr()
    rates = {"train/lr": float(first)}
    for group, rate in zip(scheduler.optimizer.param_groups[1:], others, strict=True):
        place, found, _ = group.get("name", "").rpartition(", ")
        if found:
            rates[f"train/lr/{place.replace(' block ', '/block_')}"] = float(rate)
    return rates


def reschedule(checkpoint: dict[str, Any], optimizer: torch.optim.Optimizer, scheduler: LRScheduler) -> None:
    """Give a checkpoint the settings of a new optimizer, and the place in its schedule that belongs to its step.

    What the optimizer has gathered for each parameter, such as Adam's running means, stays. Without this, restoring the
    checkpoint would bring the old settings back. Raises `ConfigError` where the parameters are grouped differently.
    """
    (saved,) = checkpoint["optimizer_states"]
    groups = optimizer.param_groups
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in saved["param_groups"]]:
        fail_on_all_ranks(
            ConfigError("optim: what it trains is grouped differently than before; start a new run without --resume")
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer step comes before those of the schedule
        for _ in range(checkpoint["global_step"]):
            scheduler.step()
    saved["param_groups"] = [
        {**group, "params": before["params"]} for group, before in zip(groups, saved["param_groups"], strict=True)
    ]
    checkpoint["lr_schedulers"] = [scheduler.state_dict()]


def seed_step(seed: int, step: int, process: int) -> None:
    """Seed what modules draw from, on all devices, for one step of one process.

    So there is no random state to save: a step draws the same whatever was drawn before it.
    """
    own = int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0])
    torch.manual_seed(own)
    random.seed(own)
    np.random.seed(own)  # noqa: NPY002 (for components that draw from the global generator)
