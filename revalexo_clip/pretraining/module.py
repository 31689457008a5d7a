"""The Lightning module: one contrastive step, and validation over the whole set as one gallery."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import Tensor

from revalexo_clip.augment import Augmentation
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import UserError
from revalexo_clip.core.types import Batch
from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import LossModule, Overlap
from revalexo_clip.metrics.retrieval import retrieve, retrieve_within
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.layers import one_step
from revalexo_clip.pretraining.micro_batch import contrast_in_parts
from revalexo_clip.pretraining.validation import BetweenSubjects, EmbeddingModule, Gallery
from revalexo_clip.training.base_module import clip_gradient, learning_rates, reschedule, seed_step
from revalexo_clip.training.distributed import fail_on_all_ranks, gather, gather_with_gradient, rank, world_size
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import diverged, finite


class ContrastiveModule(EmbeddingModule):
    """Trains a `DualEncoder` with a contrastive loss over `batch_size` pairs from all processes.

    `window` is the length of a window [s], `steps` the optimizer steps of the whole run, `subjects` whose each clip is,
    of training and of validation, `clips` the names of the training clips; `described` is added to every checkpoint:
    the texts that make it self-contained.
    """

    def __init__(
        self,
        experiment: PretrainExperiment,
        model: DualEncoder,
        loss: LossModule,
        augmentation: Augmentation,
        *,
        window: float,
        steps: int,
        subjects: tuple[Sequence[str], Sequence[str]],
        described: dict[str, str],
        clips: Sequence[str],
    ) -> None:
        super().__init__(model)
        self.automatic_optimization = False  # one optimizer step may take several backward passes
        self.loss = loss
        self.augmentation = augmentation
        self.experiment = experiment
        self.window = window
        self.steps = steps
        self.described = described
        self.clips = clips
        train_subjects, self.val_subjects = subjects
        self.between = {modality: BetweenSubjects(train_subjects) for modality in ("imu", "video")}
        self.last_video_B3THW: Tensor | None = None
        self._pending_step: tuple[Batch, Tensor, Tensor, Tensor] | None = None

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The experiment's optimizer; its schedule ends with the run's last step."""
        optimizer, scheduler = self.experiment.optim.build(self, self.steps)
        schedule: LRSchedulerConfigType = {"scheduler": scheduler, "interval": "step", "name": "lr"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Let modules of users, too, draw random numbers that a resumed run draws again.

        The package's own `Dropout` does not need it.
        """
        seed_step(self.experiment.seed, self.global_step, self.global_rank)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """One optimizer step on the contrastive batch."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.zero_grad()
        windows = batch.windows
        imu_BLC, video_B3THW = self.augmentation.apply(
            windows.imu_BLC, windows.video_BTHWC, batch.draws, self.last_video_B3THW
        )
        self.last_video_B3THW = video_B3THW
        overlap = Overlap(gather(windows.clip_B), gather(windows.start_B), self.window)
        first = share_of(self.experiment.batch_size, rank(), world_size()).start
        with one_step(self.experiment.seed, self.global_step, self.experiment.batch_size) as step:

            def embed(rows: slice) -> tuple[Tensor, Tensor]:
                step.rows = slice(first + rows.start, first + rows.stop)
                return self.model.embed_imu(imu_BLC[rows]), self.model.embed_frames(video_B3THW[rows])

            def contrast(imu_BD: Tensor, video_BD: Tensor) -> Tensor:
                imu_ND, video_ND = gather_with_gradient(imu_BD), gather_with_gradient(video_BD)
                self.between["imu"].add(imu_ND, overlap.clip_N)
                self.between["video"].add(video_ND, overlap.clip_N)
                loss: Tensor = self.loss(imu_ND, video_ND, overlap)
                return loss

            loss = contrast_in_parts(
                self.model,
                rows=len(imu_BLC),
                part=self.experiment.micro_batch or len(imu_BLC),
                embed=embed,
                contrast=contrast,
                loss_parameters=list(self.loss.parameters()),
                backward=self._backward,
            )
        self._pending_step = batch.windows, imu_BLC, video_B3THW, loss
        optimizer.step()
        scheduler = self.lr_schedulers()
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
        self.log("train/loss", loss, on_step=True, on_epoch=True, batch_size=self.experiment.batch_size)
        if (chance := self.loss.chance(overlap)) is not None:
            self.log("train/chance", chance, on_step=False, on_epoch=True, batch_size=self.experiment.batch_size)
        self.log("train/temperature", self.loss.temperature)
        self.log_dict(learning_rates(scheduler))
        scheduler.step()

    def on_train_epoch_end(self) -> None:
        """Log how much of the epoch's embeddings told the subjects apart."""
        for modality, between in self.between.items():
            self._log_share(f"train/between_subjects/{modality}", between)
            between.reset()

    def _log_share(self, name: str, between: BetweenSubjects) -> None:
        share = between.share()
        if share is not None:
            self.log(name, share)

    def _backward(self, loss: Tensor, synchronise: bool) -> None:
        strategy = self.trainer.strategy
        distributed = strategy if isinstance(strategy, ParallelStrategy) else None
        with distributed.block_backward_sync() if distributed and not synchronise else nullcontext():
            self.manual_backward(loss)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient. Here, and not in the step, because under fp16 it has just been unscaled.

        Raises `UserError` where loss or gradient are no finite numbers.
        """
        norm = clip_gradient(optimizer, self.experiment.trainer.gradient_clip)
        self.log("train/gradient_norm", norm)
        self._stop_unless_finite(norm)

    def _stop_unless_finite(self, norm: Tensor) -> None:
        assert self._pending_step is not None
        windows, imu_BLC, video_B3THW, loss = self._pending_step
        self._pending_step = None
        if finite(loss, norm, getattr(self.trainer.precision_plugin, "scaler", None)):
            return
        names = [
            f"{self.clips[clip]} at {start:.3f} s"
            for clip, start in zip(windows.clip_B.tolist(), windows.start_B.tolist(), strict=True)
        ]
        part = self.experiment.micro_batch or len(names)

        def embed() -> tuple[Tensor, Tensor]:
            imu = [self.model.embed_imu(rows) for rows in torch.split(imu_BLC, part)]
            video = [self.model.embed_frames(rows) for rows in torch.split(video_B3THW, part)]
            return torch.cat(imu), torch.cat(video)

        fail_on_all_ranks(
            diverged(f"in epoch {self.current_epoch + 1}, step {self.global_step + 1}", loss, norm, names, embed)
        )

    def on_gallery(self, gallery: Gallery) -> None:
        """Loss over contrastive batches, and retrieval with all validation windows as one gallery.

        Raises `UserError` where the training has diverged.
        """
        if not (gallery.imu_ND.isfinite().all() and gallery.video_ND.isfinite().all()):
            fail_on_all_ranks(
                UserError(
                    f"the training diverged: in epoch {self.current_epoch + 1} embeddings are no longer finite "
                    "numbers; lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32"
                )
            )
        self.log("val/loss", self._validation_loss(gallery))
        whose = {modality: BetweenSubjects(self.val_subjects) for modality in self.between}
        whose["imu"].add(gallery.imu_ND, gallery.clip_N)
        whose["video"].add(gallery.video_ND, gallery.clip_N)
        for modality, between in whose.items():
            self._log_share(f"val/between_subjects/{modality}", between)
        within = retrieve_within(gallery.imu_ND, gallery.video_ND, whose["imu"].of(gallery.clip_N))
        for prefix, found in (("val", retrieve(gallery.imu_ND, gallery.video_ND)), ("val/within_subject", within)):
            for direction, scores in (("imu_to_video", found.imu_to_video), ("video_to_imu", found.video_to_imu)):
                self.log_dict({f"{prefix}/{direction}/{name}": value for name, value in asdict(scores).items()})

    def _validation_loss(self, gallery: Gallery) -> Tensor:
        """Mean over batches of `batch_size` windows, composed at random but alike in every epoch."""
        count = len(gallery.window_N)
        size = min(self.experiment.batch_size, count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.experiment.seed))
        losses = []
        for start in range(0, count - size + 1, size):
            rows = order[start : start + size].to(self.device)
            overlap = Overlap(gallery.clip_N[rows], gallery.start_N[rows], self.window)
            losses.append(self.loss(gallery.imu_ND[rows], gallery.video_ND[rows], overlap))
        return torch.stack(losses).mean()

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Put the run's description into the checkpoint."""
        checkpoint.update(self.described)
        checkpoint["schedule"] = self._schedule
        checkpoint["between_subjects"] = {name: between.state_dict() for name, between in self.between.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with an epoch; where optimizer or length were changed since, keep only what was learned of the past."""
        for name, between in self.between.items():
            between.load_state_dict(checkpoint.get("between_subjects", {}).get(name, {}))
        if checkpoint.get("schedule", self._schedule) != self._schedule:
            reschedule(checkpoint, *self.experiment.optim.build(self, self.steps))

    @property
    def _schedule(self) -> str:
        return f"{self.experiment.optim.model_dump_json()} {self.steps}"
