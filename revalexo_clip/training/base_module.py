"""The base of both Lightning modules: one optimizer step, validation over the whole dataset, exact resume."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from revalexo_clip.augment import Augments
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import DataError, UserError
from revalexo_clip.core.types import Batch
from revalexo_clip.data.dataset import Arrival, arrived
from revalexo_clip.models.layers import without_autocast
from revalexo_clip.runs.resume_state import DATA_POSITION, SCHEDULE, TRAINING_WEIGHTS
from revalexo_clip.training.distributed import (
    average_over_ranks,
    fail_on_all_ranks,
    gather,
    raise_on_all_ranks,
    world_size,
)
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import finite
from revalexo_clip.training.loaders import PairsDataModule
from revalexo_clip.training.restoring import refuse_other_weights, reschedule


class PendingStep(NamedTuple):
    """A step whose gradients are computed and which the optimizer has not taken yet."""

    batch: TrainingBatch
    """This process's part of the batch."""
    loss: Tensor
    """[] loss of the batch of all processes, detached."""


class TrainingModule(pl.LightningModule, ABC):
    """Trains `model` and the parameters of `loss` on batches of `batch_size` windows from all processes.

    `steps` is the number of optimizer steps of the whole run, `clips` are the names of the training clips. `described`
    is added to every checkpoint: the texts that make it self-contained.

    Subclasses define how the gradients of a step are computed, `compute_gradients`, what validation keeps of a batch,
    `collect`, and what is measured on the whole validation set, `on_collected`.
    """

    def __init__(
        self,
        experiment: PretrainExperiment | FinetuneExperiment,
        model: nn.Module,
        loss: nn.Module,
        augmentation: Augments,
        *,
        steps: int,
        described: dict[str, str],
        clips: Sequence[str],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # one optimizer step may take several backward passes
        self.model = model
        self.loss = loss
        self.augmentation = augmentation
        self.experiment = experiment
        self.steps = steps
        self.described = described
        self.clips = clips
        self._pending_step: PendingStep | None = None
        self._collected: list[tuple[Tensor, ...]] = []
        self._error: DataError | None = None
        self._statistics_names: list[str] | None = None

    # Training

    @abstractmethod
    def compute_gradients(self, batch: TrainingBatch) -> PendingStep:
        """Fill the gradients of one step."""

    @abstractmethod
    def divergence_error(self, step: PendingStep, norm: Tensor, where: str) -> UserError:
        """Return the error for a step whose loss or gradient is not finite. All processes call it."""

    def log_step(self) -> None:
        """Log other values of the step that was taken, besides its loss, gradient norm and learning rates."""

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the experiment's optimizer, with a schedule that ends at the run's last step."""
        optimizer, scheduler = self.experiment.optim.build(self, self.steps)
        schedule: LRSchedulerConfigType = {"scheduler": scheduler, "interval": "step", "name": "lr"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Seed random numbers of modules, users' own included, so that a resumed run draws the same.

        The package's own `Dropout` does not need it.
        """
        seed_step(self.experiment.seed, self.global_step, self.global_rank)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Take one optimizer step."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.zero_grad()
        step = self._pending_step = self.compute_gradients(batch)
        average_over_ranks(self._statistics())
        optimizer.step()
        scheduler = self.lr_schedulers()
        assert isinstance(scheduler, LRScheduler)
        self.log("train/loss", step.loss, on_step=True, on_epoch=True, batch_size=self.experiment.batch_size)
        self.log_step()
        self.log_dict(learning_rates(scheduler))
        scheduler.step()

    def _statistics(self) -> list[Tensor]:
        """Return the saved floating-point buffers, such as batch norm's running statistics.

        Each process updates its own by its part of the batches. They are averaged in every step, so that all processes
        validate the model that the first one saves. DDP would copy them only before an automatic optimization's step.
        """
        if world_size() == 1:
            return []
        if self._statistics_names is None:
            saved = self.state_dict().keys()
            buffers = [(name, buffer) for name, buffer in self.named_buffers() if name in saved]
            self._statistics_names = [name for name, buffer in buffers if buffer.is_floating_point()]
        return [self.get_buffer(name) for name in self._statistics_names]

    @property
    def parallel_strategy(self) -> ParallelStrategy | None:
        """The strategy of a training on several devices; None on a single one."""
        strategy = self.trainer.strategy
        return strategy if isinstance(strategy, ParallelStrategy) else None

    def backward_pass(self, loss: Tensor, last: bool) -> None:
        """Run one of the backward passes of a step; gradients are synchronised between devices in the last one.

        Each operation has a gradient in the precision of its forward pass.
        """
        parallel = self.parallel_strategy
        with without_autocast(loss.device), parallel.block_backward_sync() if parallel and not last else nullcontext():
            self.manual_backward(loss)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient. This is not done in `training_step` because fp16 gradients are unscaled only here.

        Raises `UserError` if loss or gradient is not finite.
        """
        limit = self.experiment.trainer.gradient_clip
        norm = clip_gradient(optimizer, limit)
        self.log("train/gradient_norm", norm)
        if limit:
            self.log("train/clipped", (norm > limit).float(), on_step=False, on_epoch=True, batch_size=1)
        step, self._pending_step = self._pending_step, None
        assert step is not None
        if not finite(step.loss, norm, getattr(self.trainer.precision_plugin, "scaler", None)):
            where = f"in epoch {self.current_epoch + 1}, step {self.global_step + 1}"
            fail_on_all_ranks(self.divergence_error(step, norm, where))

    def window_names(self, windows: Batch) -> list[str]:
        """Return the clip and the start time of each training window."""
        pairs = zip(windows.clip_B.tolist(), windows.start_B.tolist(), strict=True)
        return [f"{self.clips[clip]} at {start:.3f} s" for clip, start in pairs]

    # Validation

    @abstractmethod
    def collect(self, batch: Batch) -> Sequence[Tensor]:
        """Return what to keep of a validation batch of B windows: `window_B` first, then others of B rows each."""

    @abstractmethod
    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Log metrics, on every process, given all N rows of each tensor in the order of the dataset."""

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read on any process.

        In validation, several processes raise it at the end: they may not have the same number of batches.
        """
        if world_size() == 1:
            return arrived(batch)
        if self.trainer.training:
            raise_on_all_ranks(batch if isinstance(batch, DataError) else None, self.device)
        return batch

    def validation_step(self, batch: Batch | DataError, batch_idx: int) -> None:
        """Collect one batch."""
        if isinstance(batch, DataError):
            self._error = self._error or batch
            return
        self._collected.append(tuple(part.cpu() for part in self.collect(batch)))

    def on_validation_epoch_end(self) -> None:
        """Gather what all processes have collected."""
        raise_on_all_ranks(self._error, self.device)
        own = [torch.cat(parts).to(self.device) for parts in zip(*self._collected, strict=True)]
        self._collected.clear()
        everything = [gather(part) for part in own]
        order = everything[0].argsort()
        self.on_collected([part[order] for part in everything])

    # Resume

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the metadata of the run, the settings of its optimizer, and the batch that comes next."""
        checkpoint.update(self.described)
        checkpoint[SCHEDULE] = self._schedule
        checkpoint[DATA_POSITION] = self._data.position()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue with the next batch. If optimizer or length were changed, keep only the optimizer's statistics.

        If weights are no longer averaged, continue with the training weights, which those statistics belong to.
        """
        self._data.continue_at(checkpoint[DATA_POSITION])
        if self.experiment.trainer.average is None and TRAINING_WEIGHTS in checkpoint:
            checkpoint["state_dict"] = checkpoint.pop(TRAINING_WEIGHTS)
        optimizer, scheduler = self.experiment.optim.build(self, self.steps)
        refuse_other_weights(checkpoint, self, optimizer)
        if checkpoint[SCHEDULE] != self._schedule:
            reschedule(checkpoint, optimizer, scheduler)

    @property
    def _data(self) -> PairsDataModule:
        data = getattr(self.trainer, "datamodule", None)  # Lightning sets it without declaring it
        assert isinstance(data, PairsDataModule)
        return data

    @property
    def _schedule(self) -> str:
        return f"{self.experiment.optim.model_dump_json()} {self.steps}"


def clip_gradient(optimizer: torch.optim.Optimizer, limit: float | None) -> Tensor:
    """Scale the gradient of all parameters of an optimizer to a norm of at most `limit`, and return the norm before.

    If `limit` is None or 0, the gradient is not changed.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return torch.nn.utils.clip_grad_norm_(parameters, limit or float("inf"))


def learning_rates(scheduler: LRScheduler) -> dict[str, float]:
    """Return the learning rates of the next step, by the names under which they are logged.

    `train/lr` is the rate of the first parameter group, which `optim.lr` sets. Parts of a model for which `ByPlace`
    sets another rate follow as `train/lr/imu`, or as `train/lr/imu/block_1` if it falls over the blocks of an encoder.
    """
    first, *others = scheduler.get_last_lr()
    rates = {"train/lr": float(first)}
    for group, rate in zip(scheduler.optimizer.param_groups[1:], others, strict=True):
        place, found, _ = group.get("name", "").rpartition(", ")
        if found:
            rates[f"train/lr/{place.replace(' block ', '/block_')}"] = float(rate)
    return rates


def seed_step(seed: int, step: int, process: int) -> None:
    """Seed the random generators of all devices for one step of one process.

    No random state needs to be saved: a step draws the same numbers whatever was drawn before it.
    """
    own = int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0])
    torch.manual_seed(own)
    random.seed(own)
    np.random.seed(own)  # noqa: NPY002 (for components that draw from the global generator)
