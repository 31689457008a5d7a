"""The Lightning module of pretraining: a contrastive step, and validation with the whole set as one gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
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
from revalexo_clip.pretraining.validation import BetweenSubjects, Gallery
from revalexo_clip.runs.resume_state import BETWEEN_SUBJECTS
from revalexo_clip.training.base_module import PendingStep, TrainingModule
from revalexo_clip.training.distributed import fail_on_all_ranks, gather, gather_with_gradient, rank, world_size
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import diverged


class ContrastiveModule(TrainingModule):
    """Trains a `DualEncoder` with a contrastive loss over `batch_size` pairs from all processes.

    `window` is the length of a window [s]; `subjects` are the subjects of the training clips and of the validation
    clips, one for each clip. See `TrainingModule` for the rest.
    """

    model: DualEncoder
    loss: LossModule
    experiment: PretrainExperiment

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
        super().__init__(experiment, model, loss, augmentation, steps=steps, described=described, clips=clips)
        self.window = window
        train_subjects, self.val_subjects = subjects
        self.between = {modality: BetweenSubjects(train_subjects) for modality in ("imu", "video")}
        self.gallery: Gallery | None = None
        """The validation windows, after a validation."""
        self._video_buffer_B3THW: Tensor | None = None
        self._overlap: Overlap | None = None

    def compute_gradients(self, batch: TrainingBatch) -> PendingStep:
        """Compute the gradients of one contrastive batch."""
        windows = batch.windows
        overlap = self._overlap = Overlap(gather(windows.recording_B), gather(windows.time_B), self.window)
        first = share_of(self.experiment.batch_size, rank(), world_size()).start
        with one_step(self.experiment.seed, self.global_step, self.experiment.batch_size) as step:

            def embed(rows: slice) -> tuple[Tensor, Tensor]:
                step.rows = slice(first + rows.start, first + rows.stop)
                return self._embed_augmented(batch, rows)

            def contrast(imu_BD: Tensor, video_BD: Tensor) -> Tensor:
                imu_ND, video_ND = gather_with_gradient(imu_BD), gather_with_gradient(video_BD)
                self.between["imu"].add(imu_ND, overlap.recording_N)
                self.between["video"].add(video_ND, overlap.recording_N)
                loss: Tensor = self.loss(imu_ND, video_ND, overlap)
                return loss

            loss = contrast_in_parts(
                self.model,
                rows=len(windows.window_B),
                part=self.experiment.micro_batch or len(windows.window_B),
                embed=embed,
                contrast=contrast,
                loss_parameters=list(self.loss.parameters()),
                backward=self.backward_pass,
            )
        return PendingStep(batch, loss)

    def _embed_augmented(self, batch: TrainingBatch, rows: slice) -> tuple[Tensor, Tensor]:
        """Augment and embed some windows: (imu [b, D], video [b, D]). The last part's video is overwritten."""
        buffer = self._video_buffer_B3THW
        into = None if buffer is None else buffer[: rows.stop - rows.start]
        imu_bLC, video_b3THW, _, _ = batch.augmented(rows, self.augmentation, into)
        if buffer is None or len(buffer) < len(video_b3THW):
            self._video_buffer_B3THW = video_b3THW
        return self.model.embed_imu(imu_bLC), self.model.embed_frames(video_b3THW)

    def log_step(self) -> None:
        """Log the temperature, and the loss of chance if it is defined."""
        assert self._overlap is not None
        if (chance := self.loss.chance(self._overlap)) is not None:
            self.log("train/chance", chance, on_step=False, on_epoch=True, batch_size=self.experiment.batch_size)
        self.log("train/temperature", self.loss.temperature)

    def divergence_error(self, step: PendingStep, norm: Tensor, where: str) -> UserError:
        """See `TrainingModule.divergence_error`. The windows are embedded again to find the bad ones."""
        names = self.window_names(step.batch.windows)
        part = self.experiment.micro_batch or len(names)

        def embed() -> tuple[Tensor, Tensor]:
            slices = [slice(start, start + part) for start in range(0, len(names), part)]
            imu, video = zip(*(self._embed_augmented(step.batch, rows) for rows in slices), strict=True)
            return torch.cat(imu), torch.cat(video)

        return diverged(where, step.loss, norm, names, embed)

    def on_train_epoch_end(self) -> None:
        """Log the share of the variance of the epoch's embeddings that lies between subjects."""
        for modality, between in self.between.items():
            self._log_share(f"train/between_subjects/{modality}", between)
            between.reset()

    def _log_share(self, name: str, between: BetweenSubjects) -> None:
        share = between.share()
        if share is not None:
            self.log(name, share)

    def collect(self, batch: Batch) -> Gallery:
        """Embed one batch."""
        imu_BD, video_BD = self.model(batch.imu_BLC, batch.video_BTHWC)
        return Gallery(batch.window_B, batch.recording_B, batch.time_B, imu_BD, video_BD)

    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Log the loss over contrastive batches, and retrieval with all validation windows as one gallery.

        Raises `UserError` if the training has diverged.
        """
        gallery = self.gallery = Gallery(*parts)
        if not (gallery.imu_ND.isfinite().all() and gallery.video_ND.isfinite().all()):
            fail_on_all_ranks(
                UserError(
                    f"the training diverged: in epoch {self.current_epoch + 1} embeddings are no longer finite; "
                    "lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32"
                )
            )
        self.log("val/loss", self._validation_loss(gallery))
        by_modality = {modality: BetweenSubjects(self.val_subjects) for modality in self.between}
        by_modality["imu"].add(gallery.imu_ND, gallery.recording_N)
        by_modality["video"].add(gallery.video_ND, gallery.recording_N)
        for modality, between in by_modality.items():
            self._log_share(f"val/between_subjects/{modality}", between)
        within = retrieve_within(gallery.imu_ND, gallery.video_ND, by_modality["imu"].of(gallery.recording_N))
        for prefix, found in (("val", retrieve(gallery.imu_ND, gallery.video_ND)), ("val/within_subject", within)):
            for direction, scores in (("imu_to_video", found.imu_to_video), ("video_to_imu", found.video_to_imu)):
                self.log_dict({f"{prefix}/{direction}/{name}": value for name, value in asdict(scores).items()})

    def _validation_loss(self, gallery: Gallery) -> Tensor:
        """Return the mean loss of batches of `batch_size` windows, composed at random but the same in every epoch."""
        count = len(gallery.window_N)
        size = min(self.experiment.batch_size, count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.experiment.seed))
        losses = []
        for start in range(0, count - size + 1, size):
            rows = order[start : start + size].to(self.device)
            overlap = Overlap(gallery.recording_N[rows], gallery.time_N[rows], self.window)
            losses.append(self.loss(gallery.imu_ND[rows], gallery.video_ND[rows], overlap))
        return torch.stack(losses).mean()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the sums over the embeddings of an unfinished epoch."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[BETWEEN_SUBJECTS] = {name: between.state_dict() for name, between in self.between.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue an unfinished epoch."""
        super().on_load_checkpoint(checkpoint)
        for name, between in self.between.items():
            between.load_state_dict(checkpoint[BETWEEN_SUBJECTS][name])
