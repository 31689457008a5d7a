"""The Lightning module of pretraining: a contrastive step, and validation with the whole set as one gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from revalexo_clip.augment import Augmented, Augments
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import UserError
from revalexo_clip.core.types import Batch
from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import LossModule, Overlap, Vector
from revalexo_clip.losses.terms import weighted_sum
from revalexo_clip.metrics.retrieval import retrieve, retrieve_within
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.layers import one_step
from revalexo_clip.pretraining.contrast import Contrast, Vectors, retrieval_kinds
from revalexo_clip.pretraining.imu_alone import selection_metrics
from revalexo_clip.pretraining.micro_batch import contrast_in_parts
from revalexo_clip.pretraining.text import TextBranch
from revalexo_clip.pretraining.validation import BetweenSubjects, Gallery, validation_loss
from revalexo_clip.runs.resume_state import BETWEEN_SUBJECTS
from revalexo_clip.training.base_module import TrainingModule
from revalexo_clip.training.callbacks.early_stopping import LAST, MRR
from revalexo_clip.training.distributed import fail_on_all_ranks, world_size
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.failures import diverged
from revalexo_clip.training.outcomes import Outcome, PendingStep, StepWindows


def named(metric: str, term: str) -> str:
    """Return the name under which a metric of a term is logged; that of a loss without terms is the metric's."""
    return f"{metric}/{term}" if term else metric


class ContrastiveModule(TrainingModule):
    """Trains a `DualEncoder` with a contrastive loss over `batch_size` pairs from all processes.

    If the model has no video encoder, the pairs are augmentations of IMU windows, and validation measures neighbours
    and rank of features instead of retrieval.

    `window` is the length of a window [s]; `subjects` are the subjects of the training clips and of the validation
    clips, one for each clip. `text` embeds the sentences of windows. See `TrainingModule` for the rest.
    """

    model: DualEncoder
    loss: LossModule
    experiment: PretrainExperiment

    def __init__(
        self,
        experiment: PretrainExperiment,
        model: DualEncoder,
        loss: LossModule,
        augmentation: Augments,
        *,
        window: float,
        steps: int,
        subjects: tuple[Sequence[str], Sequence[str]],
        described: dict[str, str],
        clips: Sequence[str],
        text: TextBranch | None = None,
    ) -> None:
        super().__init__(experiment, model, loss, augmentation, steps=steps, described=described, clips=clips)
        self.text = text
        self.window = window
        train_subjects, self.val_subjects = subjects
        modalities = ("imu",) if model.video is None else ("imu", "video")
        self.between = {modality: BetweenSubjects(train_subjects) for modality in modalities}
        self.gallery: Gallery | None = None
        """The validation windows, after a validation."""
        self._video_buffer_B3THW: Tensor | None = None
        self._contrast: Contrast | None = None
        self._kinds: tuple[Vector, ...] = ()

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Take one optimizer step, and let the loss take note of its vectors."""
        super().training_step(batch, batch_idx)
        assert self._contrast is not None
        self._contrast.update()

    def compute_gradients(self, batch: TrainingBatch) -> PendingStep:
        """Compute the gradients of one contrastive batch."""
        windows = batch.windows
        sizes = [len(share_of(self.experiment.batch_size, place, world_size())) for place in range(world_size())]
        own = Overlap(windows.recording_B, windows.time_B, self.window, self.model.frame_times)
        contrast = self._contrast = Contrast(self.loss, own, sizes)
        first = contrast.rows.start
        with one_step(self.experiment.seed, self.global_step, self.experiment.batch_size) as step:

            def embed(rows: slice) -> Vectors:
                step.rows = slice(first + rows.start, first + rows.stop)
                return self._vectors_of(batch, rows)

            contrast_in_parts(
                self.model,
                rows=len(windows.window_B),
                part=self.experiment.micro_batch or len(windows.window_B),
                embed=embed,
                contrast=contrast,
                loss_parameters=list(self.loss.parameters()),
                backward=self.backward_pass,
            )
        for modality, kind in zip(self.between, retrieval_kinds(contrast.vectors), strict=True):
            self.between[modality].add(contrast.vectors[kind], contrast.overlap.recording_N)
        kinds = retrieval_kinds(contrast.vectors)
        finite_KB = torch.stack([contrast.vectors[kind][contrast.rows].isfinite().all(dim=1) for kind in kinds])
        return PendingStep(StepWindows(windows.clip_B, windows.start_B, finite_KB), contrast.shares)

    def total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """See `TrainingModule.total_loss`."""
        loss = weighted_sum(self.loss, losses)
        assert loss is not None
        return loss

    def _vectors_of(self, batch: TrainingBatch, rows: slice) -> Vectors:
        """Augment some windows and compute their vectors. The video of the last part is overwritten."""
        buffer = self._video_buffer_B3THW
        into = None if buffer is None else buffer[: rows.stop - rows.start]
        augmented = batch.augmented(rows, self.augmentation, into)
        if buffer is None or len(buffer) < len(augmented.video_B3THW):
            self._video_buffer_B3THW = augmented.video_B3THW
        return self.vectors(augmented, batch.text_B[rows], batch.windows.features_BMP[rows])

    def vectors(self, windows: Augmented, text_B: Tensor | None = None, features_BMP: Tensor | None = None) -> Vectors:
        """Compute the vectors of windows, as augmentation returns them, and of their sentences.

        `features_BMP` are kept features of a frozen model, which replace the frames unless they are empty.
        """
        imu = self.model.encode_imu(windows.imu_BLC)
        found: Vectors = {"imu": imu.embedding_BD}
        if self.model.video is not None:
            if features_BMP is not None and features_BMP.numel():
                video = self.model.encode_features(features_BMP)
            else:
                video = self.model.encode_frames(windows.video_B3THW, windows.motion_BMYX3)
            found["video"] = video.embedding_BD
            if imu.tokens_BE is not None and video.tokens_BE is not None:
                found |= {"imu_tokens": imu.tokens_BE, "video_tokens": video.tokens_BE}
            if imu.frames_BE is not None and video.frames_BE is not None:
                found |= {"imu_frames": imu.frames_BE, "video_frames": video.frames_BE}
        if windows.second_BLC is not None:
            found["imu_second"] = self.model.encode_imu(windows.second_BLC).embedding_BD
        if self.text is not None and text_B is not None:
            found["text"] = self.text(text_B)
        return found

    def log_step(self, losses: Mapping[str, Tensor]) -> None:
        """Log the loss of each named term, each temperature, and the loss of chance if it is defined."""
        assert self._contrast is not None
        chances = self._contrast.chances()
        row: dict[str, Tensor | None] = {}
        epoch = {"train/chance": weighted_sum(self.loss, chances)}
        for name, (_, term) in self.loss.terms().items():
            row[named("train/temperature", name)] = term.temperature
            if name:
                epoch |= {f"train/loss/{name}": losses[name], f"train/chance/{name}": chances[name]}
        self._log.add(row=row, epoch=epoch)

    def divergence_error(self, step: Outcome, loss: float, norm: float) -> UserError:
        """See `TrainingModule.divergence_error`."""
        windows = step.windows
        return diverged(step.where, loss, norm, windows.names(self.clips), windows.finite_KB.tolist())

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
        """Embed one batch. Of IMU alone, also keep features and labels, by which checkpoints are chosen."""
        where = [batch.window_B, batch.recording_B, batch.time_B]
        if self.model.video is None:
            imu = self.model.encode_imu(batch.imu_BLC)
            text = [] if self.text is None else [self.text.of_validation(batch.window_B)]
            self._kinds = ("imu", "text") if text else ("imu",)
            return [*where, imu.embedding_BD, *text, imu.features_BF.float(), batch.label_BK[:, 0]]
        frames_B3THW = self.model.normalized(batch.video_BTHWC)
        text_B = None if self.text is None else self.text.validation_N[batch.window_B]
        inputs = Augmented(batch.imu_BLC, frames_B3THW, batch.motion_BMYX3, None)
        vectors = self.vectors(inputs, text_B, batch.features_BMP)
        read = {kind for _, term in self.loss.terms().values() if term.validated for kind in term.reads}
        kept = {kind: x_BD for kind, x_BD in vectors.items() if kind in {*read, *retrieval_kinds(vectors)}}
        self._kinds = tuple(kept)
        return [*where, *kept.values()]

    def on_collected(self, parts: Sequence[Tensor]) -> None:
        """Log the loss over contrastive batches, and retrieval with all validation windows as one gallery.

        Of IMU alone, log neighbours and rank of the features. Raises `UserError` if the training has diverged.
        """
        count = 3 + len(self._kinds)
        gallery = self.gallery = Gallery.of(parts[:count], self._kinds)
        if not all(x_ND.isfinite().all() for x_ND in parts[3:]):
            fail_on_all_ranks(
                UserError(
                    f"the training diverged: in epoch {self.current_epoch + 1} embeddings are no longer finite; "
                    "lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32"
                )
            )
        for modality, x_ND in zip(self.between, (gallery.imu_ND, gallery.video_ND), strict=False):
            between = BetweenSubjects(self.val_subjects)
            between.add(x_ND, gallery.recording_N)
            self._log_share(f"val/between_subjects/{modality}", between)
        subject_N = BetweenSubjects(self.val_subjects).of(gallery.recording_N)
        if self.model.video is None:
            features_NF, label_N = parts[count:]
            by_neighbours = selection_metrics(
                features_NF,
                label_N,
                subject_N=subject_N,
                recording_N=gallery.recording_N,
                time_N=gallery.time_N,
                window=self.window,
            )
            self.log_dict(by_neighbours)
        if self.text is not None or self.model.video is not None:
            self._log_validation_loss(gallery)
            self.log(LAST.name, float(self.current_epoch + 1))
        if self.model.video is None:
            return
        within = retrieve_within(gallery.imu_ND, gallery.video_ND, subject_N)
        whole = retrieve(gallery.imu_ND, gallery.video_ND)
        self.log(MRR.name, (whole.imu_to_video.mrr + whole.video_to_imu.mrr) / 2)
        for prefix, found in (("val", whole), ("val/within_subject", within)):
            logged = {
                "imu_to_video": found.imu_to_video,
                "video_to_imu": found.video_to_imu,
                "retrieval_chance": found.chance,
            }
            for part, scores in logged.items():
                self.log_dict({f"{prefix}/{part}/{name}": value for name, value in asdict(scores).items()})

    def _log_validation_loss(self, gallery: Gallery) -> None:
        """Log loss and chance, of the sum if there is one, and of each named term."""
        found = validation_loss(
            self.loss,
            gallery,
            window=self.window,
            frame_times=self.model.frame_times,
            batch_size=self.experiment.batch_size,
            seed=self.experiment.seed,
        )
        for name, (loss, chance) in {"": (found.loss, found.chance), **found.terms}.items():
            for metric, value in (("val/loss", loss), ("val/chance", chance)):
                if value is not None:
                    self.log(named(metric, name), value)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the sums over the embeddings of an unfinished epoch."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[BETWEEN_SUBJECTS] = {name: between.state_dict() for name, between in self.between.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue an unfinished epoch."""
        super().on_load_checkpoint(checkpoint)
        for name, between in self.between.items():
            between.load_state_dict(checkpoint[BETWEEN_SUBJECTS][name])
