"""The Lightning module of finetuning: a step of an activity classifier, and its scores on the whole validation set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
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
from revalexo_clip.training.base_module import TrainingModule
from revalexo_clip.training.distributed import fail_on_all_ranks, rank, world_size
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.outcomes import Outcome, PendingStep, StepWindows

MONITORED = "val/weighted_f1"
"""Metric that checkpoints are chosen by: the weighted F1 of the validation windows at the first horizon."""


class ClassifierModule(TrainingModule):
    """Trains an `ActivityClassifier` on batches of `batch_size` windows from all processes.

    The `teacher`, if there is one, is neither trained nor saved, and always in eval mode. See `TrainingModule` for the
    rest.
    """

    model: ActivityClassifier
    experiment: FinetuneExperiment

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
        super().__init__(experiment, model, loss, augmentation, steps=steps, described=described, clips=clips)
        self._teacher = [] if teacher is None else [teacher.eval().requires_grad_(requires_grad=False)]
        self._num_frozen_blocks = -1

    def on_fit_start(self) -> None:
        """Move the teacher to the device of the windows."""
        for teacher in self._teacher:
            teacher.to(self.device)

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Update which blocks are frozen, and seed the step."""
        self._update_frozen()
        super().on_train_batch_start(batch, batch_idx)

    def compute_gradients(self, batch: TrainingBatch) -> PendingStep:
        """Compute the gradients of one batch, in parts of `micro_batch` windows."""
        windows = batch.windows
        size, rows = self.experiment.batch_size, len(windows.window_B)
        part = self.experiment.micro_batch or rows
        first = share_of(size, rank(), world_size()).start
        total = torch.zeros((), device=self.device)
        with one_step(self.experiment.seed, self.global_step, size) as step:
            for start in range(0, rows, part):
                own = slice(start, min(start + part, rows))
                step.rows = slice(first + own.start, first + own.stop)
                imu_bLC, video_b3THW, motion_bMYX3, _ = batch.augmented(own, self.augmentation)
                with self._frozen_without_gradients():
                    output = self.model.classify(imu_bLC, video_b3THW, motion_bMYX3)
                taught = self._teacher_output(imu_bLC, video_b3THW, motion_bMYX3)
                # DDP averages gradients over processes, so each loss is scaled for the mean over the whole batch.
                loss = self.loss(output, windows.label_BK[own], taught).sum() * (world_size() / size)
                total += loss.detach()
                self.backward_pass(loss, last=own.stop == rows)
        for parameter in self._frozen_parameters():
            parameter.grad = None
        sound = torch.empty(0, 0, dtype=torch.bool)
        return PendingStep(StepWindows(windows.clip_B, windows.start_B, sound), {"": total / world_size()})

    def total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See `TrainingModule.total_loss`."""
        return losses[""]

    def _teacher_output(self, imu_BLC: Tensor, video_B3THW: Tensor, motion_BMYX3: Tensor) -> ClassifierOutput | None:
        with torch.no_grad():
            return next((teacher.classify(imu_BLC, video_B3THW, motion_BMYX3) for teacher in self._teacher), None)

    def _update_frozen(self) -> None:
        """Put the blocks that the experiment freezes in this epoch into eval mode."""
        freezing, epoch = self.experiment.freezing, self.current_epoch
        towers = self.model.towers().values()
        frozen = [block for blocks in towers for block in blocks[: freezing.num_frozen_blocks(epoch, len(blocks))]]
        if len(frozen) != self._num_frozen_blocks:
            self._num_frozen_blocks = len(frozen)
            self.model.keep_in_eval_mode(frozen)

    def _frozen_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained in other epochs but not in this one."""
        return [parameter for parameter in self.model.frozen_parameters() if parameter.requires_grad]

    @contextmanager
    def _frozen_without_gradients(self) -> Iterator[None]:
        """Keep no graph for the gradients of frozen parameters."""
        frozen = self._frozen_parameters()
        for parameter in frozen:
            parameter.requires_grad = False
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad = True

    def backward_pass(self, loss: Tensor, last: bool) -> None:
        """See `TrainingModule.backward_pass`."""
        if self.parallel_strategy and last:  # DDP waits for a gradient of every parameter
            loss = loss + sum((parameter.sum() * 0 for parameter in self._frozen_parameters()), start=loss * 0)
        super().backward_pass(loss, last)

    def divergence_error(self, step: Outcome, loss: float, norm: float) -> UserError:
        """See `TrainingModule.divergence_error`."""
        names = ", ".join(step.windows.names(self.clips)[:8])
        return UserError(
            f"the training diverged: {step.where}, the loss is {loss:g} and the gradient norm {norm:g}; the batch "
            f"starts with {names}\n"
            "The step was not taken. Lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32"
        )

    def collect(self, batch: Batch) -> Sequence[Tensor]:
        """Classify one batch."""
        return (
            batch.window_B,
            self.model(batch.imu_BLC, batch.video_BTHWC, batch.motion_BMYX3).logits_BKA,
            batch.label_BK,
        )

    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Log the cross-entropy over all horizons, and the scores at the first.

        Raises `UserError` if the training has diverged.
        """
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
