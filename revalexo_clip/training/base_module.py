"""The base of both Lightning modules: one optimizer step, validation over the whole dataset, exact resume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import lightning.pytorch as pl
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
from revalexo_clip.runs.resume_state import DATA_POSITION, EPOCH_AVERAGES, SCHEDULE, TRAINING_WEIGHTS
from revalexo_clip.training.distributed import (
    fail_on_all_ranks,
    gather,
    raise_on_all_ranks,
    reduce_over_ranks,
    world_size,
)
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import finite
from revalexo_clip.training.loaders import PairsDataModule
from revalexo_clip.training.outcomes import (
    FLAGS,
    Ballot,
    HostCopy,
    Outcome,
    PendingStep,
    StepWindows,
    Substitute,
    WeightsBefore,
)
from revalexo_clip.training.restoring import refuse_other_weights, reschedule
from revalexo_clip.training.step_functions import (
    clip_gradient,
    gradient_scale,
    learning_rates,
    names_of_statistics,
    seed_step,
    trained_parameters,
)
from revalexo_clip.training.step_log import EPOCH, ROW, StepLog


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
        self.lag = 0
        """Number of steps by which the host reads their outcomes later; 1 if it would have to wait for the device."""
        self.ask: Callable[[], Ballot] = Ballot
        """Returns what this process asks of all processes after a step."""
        self.agreed = Ballot()
        """What all processes have agreed on, in the last step whose outcome was read."""
        self._log = StepLog()
        self._step: tuple[StepWindows, Tensor, Tensor] | None = None
        self._outcomes: deque[Outcome] = deque()
        self._weights_before = WeightsBefore()
        self._substitute: Substitute | None = None
        self._collected: list[tuple[Tensor, ...]] = []
        self._error: DataError | None = None
        self._statistics_names: list[str] | None = None

    # Training

    @abstractmethod
    def compute_gradients(self, batch: TrainingBatch) -> PendingStep:
        """Fill the gradients of one step."""

    @abstractmethod
    def total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the loss [] of a step, given that of each term over all processes."""

    @abstractmethod
    def divergence_error(self, step: Outcome, loss: float, norm: float) -> UserError:
        """Return the error for a step whose loss or gradient is not finite. All processes call it."""

    def log_step(self, losses: Mapping[str, Tensor]) -> None:
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

    def on_train_start(self) -> None:
        """Read outcomes later where reading them would make the host wait."""
        self.lag = int(self.device.type == "cuda")

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Take one optimizer step. Processes exchange what they have to know of each other in one operation."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.zero_grad()
        step = self.compute_gradients(batch)
        flags_F = self.ask()._replace(unreadable=self._error is not None).encode(self.device)
        share_T = torch.stack(list(step.shares.values()))
        total = reduce_over_ranks(torch.cat([flags_F, share_T]), self._statistics())
        losses = dict(zip(step.shares, total[FLAGS:].to(share_T.dtype), strict=True))
        self._step = step.windows, self.total_loss(losses), total[:FLAGS]
        optimizer.step()
        scheduler = self.lr_schedulers()
        assert isinstance(scheduler, LRScheduler)
        self.log_step(losses)
        self._write_log(learning_rates(scheduler))
        scheduler.step()

    def _write_log(self, rates: dict[str, Tensor]) -> None:
        """Log a row of `metrics.csv` every `trainer.log_every` steps, and the means of an epoch at its end."""
        last = self.trainer.is_last_batch
        if last or self.global_step % self.experiment.trainer.log_every == 0:
            self.settle()
            self.trainer._logger_connector.log_metrics(self._log.take(ROW) | rates)
        if last:
            for name, mean in self._log.take(EPOCH).items():
                self.log(name, mean, on_step=False, on_epoch=True, batch_size=1)

    def _statistics(self) -> list[Tensor]:
        if world_size() == 1:
            return []
        if self._statistics_names is None:
            self._statistics_names = names_of_statistics(self)
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
        """Clip the gradient, which is not done earlier because fp16 gradients are unscaled only here. See `settle`."""
        limit = self.experiment.trainer.gradient_clip
        norm = clip_gradient(optimizer, limit)
        assert self._step is not None
        windows, loss, flags_F = self._step
        epoch = {"train/loss_epoch": loss, **({"train/clipped": (norm > limit).float()} if limit else {})}
        self._log.add(row={"train/loss_step": loss}, finite={"train/gradient_norm": norm}, epoch=epoch)
        values = torch.stack([loss, norm, gradient_scale(self.trainer.precision_plugin, norm)])
        where = f"in epoch {self.current_epoch + 1}, step {self.global_step + 1}"
        self._outcomes.append(Outcome(where, HostCopy(torch.cat([values, flags_F])), windows))
        self.settle(self.lag)
        if self.lag:
            self._weights_before.keep(trained_parameters(optimizer))

    def settle(self, lag: int = 0) -> None:
        """Read the outcomes of all steps, except of the last `lag` ones. All processes call it.

        Raises the `DataError` of a window that any process could not read, or `UserError` if loss or gradient is not
        finite. The weights are then those before that step.
        """
        while len(self._outcomes) > lag:
            outcome = self._outcomes.popleft()
            loss, norm, scale, *flags = outcome.values.read()
            self.agreed = self.agreed.followed_by(Ballot.decode(flags))
            if not self.agreed.unreadable and finite(loss, norm, scale):
                continue
            self._weights_before.restore()
            if self.agreed.unreadable:
                raise_on_all_ranks(self._error, self.device)
            fail_on_all_ranks(self.divergence_error(outcome, loss, norm))

    # Validation

    @abstractmethod
    def collect(self, batch: Batch) -> Sequence[Tensor]:
        """Return what to keep of a validation batch of B windows: `window_B` first, then others of B rows each."""

    @abstractmethod
    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Log metrics, on every process, given all N rows of each tensor in the order of the dataset."""

    def on_before_batch_transfer(
        self, batch: Arrival | DataError, dataloader_idx: int
    ) -> Arrival | TrainingBatch | DataError:
        """Raise the `DataError` of a window that could not be read.

        Several processes exchange it first: in training after the step, for which this one gets a substitute, and in
        validation at the end, because they may not have the same number of batches.
        """
        if world_size() == 1:
            return arrived(batch)
        if self.trainer.training:
            error = batch if isinstance(batch, DataError) else None
            if self._substitute is None:  # the first batch, before which there is no substitute
                raise_on_all_ranks(error, self.device)
                assert isinstance(batch, TrainingBatch)
                self._substitute = Substitute(batch)
            elif error is not None:
                self._error = self._error or error
                return self._substitute.batch()
        return batch

    def validation_step(self, batch: Batch | DataError, batch_idx: int) -> None:
        """Collect a copy of what to keep of one batch: no view keeps the buffer in which it has arrived."""
        if isinstance(batch, DataError):
            self._error = self._error or batch
            return
        self._collected.append(tuple(part.to("cpu", copy=True) for part in self.collect(batch)))

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
        checkpoint[EPOCH_AVERAGES] = self._log.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue with the next batch. If optimizer or length were changed, keep only the optimizer's statistics.

        If weights are no longer averaged, continue with the training weights, which those statistics belong to.
        """
        self._data.continue_at(checkpoint[DATA_POSITION])
        self._log.load_state_dict(checkpoint[EPOCH_AVERAGES], checkpoint[DATA_POSITION]["batch"])
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
