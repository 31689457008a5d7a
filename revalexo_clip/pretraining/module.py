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
from revalexo_clip.losses.terms import weighted_sum
from revalexo_clip.metrics.retrieval import retrieve, retrieve_within
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.layers import one_step
from revalexo_clip.pretraining.contrast import Contrast, Vectors, retrieval_kinds
from revalexo_clip.pretraining.micro_batch import contrast_in_parts
from revalexo_clip.pretraining.validation import BetweenSubjects, Gallery, validation_loss
from revalexo_clip.runs.resume_state import BETWEEN_SUBJECTS
from revalexo_clip.training.base_module import PendingStep, TrainingModule
from revalexo_clip.training.distributed import fail_on_all_ranks, gather, world_size
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import diverged


def named(metric: str, term: str) -> str:
    """Return the name under which a metric of a term is logged; that of a loss without terms is the metric's."""
    return f"{metric}/{term}" if term else metric


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
        self._contrast: Contrast | None = None

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Take one optimizer step, and let the loss take note of its vectors."""
        super().training_step(batch, batch_idx)
        assert self._contrast is not None
        self._contrast.update()

    def compute_gradients(self, batch: TrainingBatch) -> PendingStep:
        """Compute the gradients of one contrastive batch."""
        windows = batch.windows
        imu_BLC, video_B3THW = self.augmentation.apply(
            windows.imu_BLC, windows.video_BTHWC, batch.draws, self._video_buffer_B3THW
        )
        self._video_buffer_B3THW = video_B3THW
        sizes = [len(share_of(self.experiment.batch_size, place, world_size())) for place in range(world_size())]
        moment_N2 = gather(torch.stack([windows.recording_B.to(windows.time_B), windows.time_B], dim=1), sizes)
        overlap = Overlap(moment_N2[:, 0].long(), moment_N2[:, 1], self.window)
        contrast = self._contrast = Contrast(self.loss, overlap, sizes)
        first = contrast.rows.start
        with one_step(self.experiment.seed, self.global_step, self.experiment.batch_size) as step:

            def embed(rows: slice) -> Vectors:
                step.rows = slice(first + rows.start, first + rows.stop)
                return self.vectors(imu_BLC[rows], video_B3THW[rows])

            contrast_in_parts(
                self.model,
                rows=len(imu_BLC),
                part=self.experiment.micro_batch or len(imu_BLC),
                embed=embed,
                contrast=contrast,
                loss_parameters=list(self.loss.parameters()),
                backward=self.backward_pass,
            )
        for modality, kind in zip(self.between, retrieval_kinds(contrast.vectors), strict=True):
            self.between[modality].add(contrast.vectors[kind], overlap.recording_N)
        self._losses = contrast.total()
        loss = weighted_sum(self.loss, self._losses)
        assert loss is not None
        return PendingStep(windows, imu_BLC, video_B3THW, loss)

    def vectors(self, imu_BLC: Tensor, video_B3THW: Tensor, second_BLC: Tensor | None = None) -> Vectors:
        """Compute the vectors of B windows, as augmentation returns them; `second_BLC` is a second view of the IMU."""
        found: Vectors = {"imu": self.model.embed_imu(imu_BLC), "video": self.model.embed_frames(video_B3THW)}
        if second_BLC is not None:
            found["imu_second"] = self.model.embed_imu(second_BLC)
        return found

    def log_step(self) -> None:
        """Log the loss of each named term, each temperature, and the loss of chance if it is defined."""
        assert self._contrast is not None
        chances = self._contrast.chances()
        self._log_mean("train/chance", weighted_sum(self.loss, chances))
        for name, (_, term) in self.loss.terms().items():
            self.log(named("train/temperature", name), term.temperature)
            if name:
                self._log_mean(f"train/loss/{name}", self._losses[name])
                self._log_mean(f"train/chance/{name}", chances[name])

    def _log_mean(self, name: str, value: Tensor | None) -> None:
        """Log the mean over the steps of an epoch."""
        if value is not None:
            self.log(name, value, on_step=False, on_epoch=True, batch_size=self.experiment.batch_size)

    def divergence_error(self, step: PendingStep, norm: Tensor, where: str) -> UserError:
        """See `TrainingModule.divergence_error`. The windows are embedded again to find the bad ones."""
        names = self.window_names(step.windows)
        part = self.experiment.micro_batch or len(names)

        def embed() -> tuple[Tensor, Tensor]:
            parts = zip(torch.split(step.imu_BLC, part), torch.split(step.video_B3THW, part), strict=True)
            found = [self.vectors(*rows) for rows in parts]
            imu_BD, video_BD = (torch.cat([part[kind] for part in found]) for kind in retrieval_kinds(found[0]))
            return imu_BD, video_BD

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

    def collect(self, batch: Batch) -> Sequence[Tensor]:
        """Embed one batch."""
        vectors = self.vectors(batch.imu_BLC, self.model.frames(batch.video_BTHWC))
        read = {kind for _, term in self.loss.terms().values() if term.validated for kind in term.reads}
        kept = {kind: x_BD for kind, x_BD in vectors.items() if kind in {*read, *retrieval_kinds(vectors)}}
        self._kinds = tuple(kept)
        return [batch.window_B, batch.recording_B, batch.time_B, *kept.values()]

    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Log the loss over contrastive batches, and retrieval with all validation windows as one gallery.

        Raises `UserError` if the training has diverged.
        """
        gallery = self.gallery = Gallery.of(parts, self._kinds)
        if not all(x_ND.isfinite().all() for x_ND in gallery.vectors.values()):
            fail_on_all_ranks(
                UserError(
                    f"the training diverged: in epoch {self.current_epoch + 1} embeddings are no longer finite; "
                    "lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32"
                )
            )
        self._log_validation_loss(gallery)
        by_modality = {modality: BetweenSubjects(self.val_subjects) for modality in self.between}
        by_modality["imu"].add(gallery.imu_ND, gallery.recording_N)
        by_modality["video"].add(gallery.video_ND, gallery.recording_N)
        for modality, between in by_modality.items():
            self._log_share(f"val/between_subjects/{modality}", between)
        within = retrieve_within(gallery.imu_ND, gallery.video_ND, by_modality["imu"].of(gallery.recording_N))
        for prefix, found in (("val", retrieve(gallery.imu_ND, gallery.video_ND)), ("val/within_subject", within)):
            logged = {
                "imu_to_video": found.imu_to_video,
                "video_to_imu": found.video_to_imu,
                "retrieval_chance": found.chance,
            }
            for part, scores in logged.items():
                self.log_dict({f"{prefix}/{part}/{name}": value for name, value in asdict(scores).items()})

    def _log_validation_loss(self, gallery: Gallery) -> None:
        """Log loss and chance, of the sum and of each named term."""
        found = validation_loss(self.loss, gallery, self.window, self.experiment.batch_size, self.experiment.seed)
        for name, (loss, chance) in {"": (found.loss, found.chance), **found.terms}.items():
            self.log(named("val/loss", name), loss)
            if chance is not None:
                self.log(named("val/chance", name), chance)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the sums over the embeddings of an unfinished epoch."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[BETWEEN_SUBJECTS] = {name: between.state_dict() for name, between in self.between.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue an unfinished epoch."""
        super().on_load_checkpoint(checkpoint)
        for name, between in self.between.items():
            between.load_state_dict(checkpoint[BETWEEN_SUBJECTS][name])
