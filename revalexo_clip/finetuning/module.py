"""The Lightning module of finetuning: one step of an activity classifier, and its figures over the whole validation set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import Tensor, nn

from revalexo_clip.augment import Augments
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.errors import UserError
from revalexo_clip.core.types import UNLABELLED, Batch
from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import ClassificationLossModule, ClassifierOutput
from revalexo_clip.metrics.classification import scores
from revalexo_clip.models.classifier import ActivityClassifier
from revalexo_clip.models.layers import one_step
from revalexo_clip.training.base_module import CollectingModule, clip_gradient, learning_rates, reschedule, seed_step
from revalexo_clip.training.distributed import fail_on_all_ranks, gather, rank, world_size
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import finite

MONITORED = "val/weighted_f1"
"""What checkpoints are chosen by: the weighted F1 of the validation windows at the first horizon."""


class ClassifierModule(CollectingModule):
    """Trains a `ActivityClassifier` on batches of `batch_size` windows from all processes.

    `steps` are the optimizer steps of the whole run, `clips` the names of the training clips; `described` is added to
    every checkpoint. The `teacher`, if there is one, is no part of what is trained or saved, and always in eval mode.
    """

    def __init__(
        self,
        experiment: FinetuneExperiment,
        model: ActivityClassifier,
        loss: ClassificationLossModule,
        augmentation: Augments,
        *,
        steps: int,
        described: dict[str, str],
        clips: Sequence[str],
        teacher: ActivityClassifier | None = None,
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
        self._teacher = [] if teacher is None else [teacher.eval().requires_grad_(requires_grad=False)]
        self._num_frozen_blocks = -1
        self._pending_step: tuple[Batch, Tensor] | None = None

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The experiment's optimizer; its schedule ends with the run's last step."""
        optimizer, scheduler = self.experiment.optim.build(self, self.steps)
        schedule: LRSchedulerConfigType = {"scheduler": scheduler, "interval": "step", "name": "lr"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_fit_start(self) -> None:
        """Let the teacher be where the windows are."""
        for teacher in self._teacher:
            teacher.to(self.device)

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Set free what is no longer frozen, and let modules draw random numbers that a resumed run draws again."""
        self._update_frozen()
        seed_step(self.experiment.seed, self.global_step, self.global_rank)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """One optimizer step."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.zero_grad()
        windows, draws = batch
        imu_BLC, video_B3THW = self.augmentation.apply(windows.imu_BLC, windows.video_BTHWC, draws)
        size, rows = self.experiment.batch_size, len(windows.window_B)
        part = self.experiment.micro_batch or rows
        first = share_of(size, rank(), world_size()).start
        total = torch.zeros((), device=self.device)
        with one_step(self.experiment.seed, self.global_step, size) as step:
            for start in range(0, rows, part):
                own = slice(start, min(start + part, rows))
                step.rows = slice(first + own.start, first + own.stop)
                with self._still():
                    found = self.model.recognise(imu_BLC[own], video_B3THW[own])
                taught = self._taught(imu_BLC[own], video_B3THW[own])
                # DDP averages over processes what is to be the mean over the whole batch.
                loss = self.loss(found, windows.label_BK[own], taught).sum() * (world_size() / size)
                total += loss.detach()
                self._backward(loss, last=own.stop == rows)
        for parameter in self._frozen_parameters():
            parameter.grad = None
        loss = gather(total[None]).mean()
        self._pending_step = windows, loss
        optimizer.step()
        scheduler = self.lr_schedulers()
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
        self.log("train/loss", loss, on_step=True, on_epoch=True, batch_size=size)
        self.log_dict(learning_rates(scheduler))
        scheduler.step()

    def _taught(self, imu_BLC: Tensor, video_B3THW: Tensor) -> ClassifierOutput | None:
        with torch.no_grad():
            return next((teacher.recognise(imu_BLC, video_B3THW) for teacher in self._teacher), None)

    def _update_frozen(self) -> None:
        """Keep in eval mode what the experiment freezes in this epoch."""
        freezing, epoch = self.experiment.freezing, self.current_epoch
        towers = self.model.towers().values()
        num_frozen_blocks = [
            block for blocks in towers for block in blocks[: freezing.num_frozen_blocks(epoch, len(blocks))]
        ]
        if len(num_frozen_blocks) != self._num_frozen_blocks:
            self._num_frozen_blocks = len(num_frozen_blocks)
            self.model.rest(num_frozen_blocks)

    def _frozen_parameters(self) -> list[nn.Parameter]:
        """Those that are trained in other epochs than this."""
        return [parameter for parameter in self.model.frozen_parameters() if parameter.requires_grad]

    @contextmanager
    def _still(self) -> Iterator[None]:
        """Within it nothing is kept for gradients of what rests."""
        num_frozen_blocks = self._frozen_parameters()
        for parameter in num_frozen_blocks:
            parameter.requires_grad = False
        try:
            yield
        finally:
            for parameter in num_frozen_blocks:
                parameter.requires_grad = True

    def _backward(self, loss: Tensor, *, last: bool) -> None:
        strategy = self.trainer.strategy
        distributed = strategy if isinstance(strategy, ParallelStrategy) else None
        if distributed and last:  # DDP waits for a gradient of every parameter
            loss = loss + sum((parameter.sum() * 0 for parameter in self._frozen_parameters()), start=loss * 0)
        with distributed.block_backward_sync() if distributed and not last else nullcontext():
            self.manual_backward(loss)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient. Here, and not in the step, because under fp16 it has just been unscaled.

        Raises `UserError` where loss or gradient are no finite numbers.
        """
        norm = clip_gradient(optimizer, self.experiment.trainer.gradient_clip)
        self.log("train/gradient_norm", norm)
        assert self._pending_step is not None
        windows, loss = self._pending_step
        self._pending_step = None
        if not finite(loss, norm, getattr(self.trainer.precision_plugin, "scaler", None)):
            starts = zip(windows.clip_B.tolist(), windows.start_B.tolist(), strict=True)
            names = ", ".join(f"{self.clips[clip]} at {start:.3f} s" for clip, start in list(starts)[:8])
            fail_on_all_ranks(
                UserError(
                    f"the training diverged: in epoch {self.current_epoch + 1}, step {self.global_step + 1}, the loss "
                    f"is {loss:g} and the gradient's norm {norm:g}; the batch begins with {names}\n"
                    "The step was not taken. Lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32"
                )
            )

    def collect(self, batch: Batch) -> Sequence[Tensor]:
        """Recognise one batch."""
        return batch.window_B, self.model(batch.imu_BLC, batch.video_BTHWC).logits_BKA, batch.label_BK

    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Cross-entropy over all horizons, and the scores at the first."""
        _, logits_NKA, label_NK = parts
        activities = logits_NKA.shape[2]
        loss = nn.functional.cross_entropy(
            logits_NKA.flatten(end_dim=1).float(), label_NK.flatten(), ignore_index=UNLABELLED
        )
        if not loss.isfinite():
            fail_on_all_ranks(
                UserError(
                    f"the training diverged: in epoch {self.current_epoch + 1} the validation loss is {loss:g}; lower "
                    "optim.lr or trainer.gradient_clip, or --set trainer.precision=32"
                )
            )
        self.log("val/loss", loss)
        label_N, predicted_N = label_NK[:, 0], logits_NKA[:, 0].argmax(dim=1)
        labelled_N = label_N != UNLABELLED
        cell_N = label_N[labelled_N] * activities + predicted_N[labelled_N]
        confusion = cell_N.bincount(minlength=activities**2).view(1, activities, activities)
        accuracy, macro_f1, weighted_f1 = scores(confusion.cpu().numpy())[0].tolist()
        self.log_dict({"val/accuracy": accuracy, "val/macro_f1": macro_f1, MONITORED: weighted_f1})

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Put the run's description into the checkpoint."""
        checkpoint.update(self.described)
        checkpoint["schedule"] = self._schedule

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where optimizer or length were changed since, keep only what was learned of the past."""
        if checkpoint.get("schedule", self._schedule) != self._schedule:
            reschedule(checkpoint, *self.experiment.optim.build(self, self.steps))

    @property
    def _schedule(self) -> str:
        return f"{self.experiment.optim.model_dump_json()} {self.steps}"
