"""Validation: the gallery of all windows, its loss, and the share of variance that lies between subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from revalexo_clip.losses import LossModule, Overlap, Vector
from revalexo_clip.losses.terms import has_validation_loss, weighted_sum
from revalexo_clip.pretraining.contrast import Vectors, retrieval_kinds


class Gallery(NamedTuple):
    """Vectors of N windows in the order of the dataset, the same on every process."""

    window_N: Tensor
    """[N] int64, 0 to N-1."""
    recording_N: Tensor
    """[N] int64."""
    time_N: Tensor
    """[N] float64, start in the recording [s]."""
    vectors: Vectors
    """[N, D] float32 unit vectors of each kind that retrieval or a term of the validation loss reads."""
    imu_ND: Tensor
    """[N, D], those of IMU that retrieval compares."""
    video_ND: Tensor
    """[N, D], those of video that retrieval compares; [N, 0] if there is no video."""

    @classmethod
    def of(cls, parts: Sequence[Tensor], kinds: Sequence[Vector]) -> Gallery:
        """Combine window, recording, time and the vectors of each kind, in this order."""
        window_N, recording_N, time_N, *vectors_ND = parts
        vectors = dict(zip(kinds, vectors_ND, strict=True))
        imu_ND, *others = (vectors[kind] for kind in retrieval_kinds(vectors))
        return cls(window_N, recording_N, time_N, vectors, imu_ND, others[0] if others else imu_ND[:, :0])


class ValidationLoss(NamedTuple):
    """The loss of validation windows, beside that of chance."""

    loss: Tensor | None
    """[], the sum of the terms that validation windows have; None if no such term has a weight above 0."""
    chance: Tensor | None
    """[], the loss of embeddings that are all equal; None if it is not a fixed number, or if there is no loss."""
    terms: dict[str, tuple[Tensor, Tensor | None]]
    """Loss and chance of each of the terms, not weighted, by name."""


def validation_loss(
    loss: LossModule,
    gallery: Gallery,
    *,
    window: float,
    frame_times: tuple[float, ...],
    batch_size: int,
    seed: int,
) -> ValidationLoss:
    """Compute the mean loss of batches of `batch_size` windows, composed at random but the same for each seed.

    `window` is the length of a window [s], `frame_times` are those of `Overlap`. Terms that are not
    `LossModule.validated` are left out.
    """
    terms = {name: term for name, (_, term) in loss.terms().items() if term.validated}
    count = len(gallery.window_N)
    size = min(batch_size, count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    losses: dict[str, list[Tensor]] = {name: [] for name in terms}
    chances: dict[str, list[Tensor | None]] = {name: [] for name in terms}
    for start in range(0, count - size + 1, size):
        rows = order[start : start + size].to(gallery.window_N.device)
        overlap = Overlap(gallery.recording_N[rows], gallery.time_N[rows], window, frame_times)
        for name, term in terms.items():
            one, other = (gallery.vectors[kind][rows] for kind in term.reads)
            losses[name].append(term(one, other, overlap))
            chances[name].append(term.chance_of(one, other, overlap))
    means = {name: (torch.stack(losses[name]).mean(), _mean(chances[name])) for name in terms}
    if not has_validation_loss(loss):
        return ValidationLoss(None, None, means)
    total = weighted_sum(loss, {name: value for name, (value, _) in means.items()})
    return ValidationLoss(total, weighted_sum(loss, {name: chance for name, (_, chance) in means.items()}), means)


def _mean(values: Sequence[Tensor | None]) -> Tensor | None:
    there = [value for value in values if value is not None]
    return torch.stack(there).mean() if len(there) == len(values) else None


class BetweenSubjects:
    """The share of the variance of embeddings that lies between subjects, over all windows that were added.

    It is 0 if all subjects have the same mean, and 1 if all windows of a subject are equal: the correlation ratio eta
    squared (Pearson, 1905) of embeddings and subjects. A contrastive loss over batches of many subjects can fall just
    because embeddings identify subjects, which does not help on unseen subjects.
    """

    def __init__(self, recording_subjects: Sequence[str]) -> None:
        """`recording_subjects` are the subjects of all recordings, in the order of the recordings."""
        self.names = sorted(set(recording_subjects))
        place = {name: index for index, name in enumerate(self.names)}
        self._subject_of_recording = torch.tensor([place[name] for name in recording_subjects])
        self.reset()

    def reset(self) -> None:
        """Forget all windows."""
        self._count_S: Tensor | None = None
        self._sum_SD = self._squares = torch.zeros(())

    def of(self, recording_N: Tensor) -> Tensor:
        """Return [N] int64, the index in `names` of the subject of each recording."""
        self._subject_of_recording = self._subject_of_recording.to(recording_N.device)
        return self._subject_of_recording[recording_N]

    def add(self, x_ND: Tensor, recording_N: Tensor) -> None:
        """Add the embeddings [N, D] of windows of these recordings."""
        x_ND = x_ND.detach().to(torch.float32 if x_ND.device.type == "mps" else torch.float64)
        if self._count_S is None:
            self._count_S = x_ND.new_zeros(len(self.names))
            self._sum_SD = x_ND.new_zeros(len(self.names), x_ND.shape[1])
            self._squares = x_ND.new_zeros(())
        subject_N = self.of(recording_N)
        self._count_S = self._count_S.to(x_ND).index_add(0, subject_N, x_ND.new_ones(len(x_ND)))
        self._sum_SD = self._sum_SD.to(x_ND).index_add(0, subject_N, x_ND)
        self._squares = self._squares.to(x_ND) + x_ND.square().sum()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sums over the windows so far, for the checkpoint of an unfinished epoch."""
        if self._count_S is None:
            return {}
        return {"count": self._count_S.cpu(), "sum": self._sum_SD.cpu(), "squares": self._squares.cpu()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Continue with the sums of a checkpoint."""
        if state_dict:
            self._count_S, self._sum_SD = state_dict["count"], state_dict["sum"]
            self._squares = state_dict["squares"]

    def share(self) -> float | None:
        """Return the share, from 0 to 1; None if all windows are of one subject or all embeddings are equal."""
        if self._count_S is None or (self._count_S > 0).sum() < 2:
            return None
        seen_S = self._count_S > 0
        count_S, sum_SD = self._count_S[seen_S], self._sum_SD[seen_S]
        center = sum_SD.sum(0).square().sum() / count_S.sum()
        between = (sum_SD.square().sum(1) / count_S).sum() - center
        total = self._squares - center
        return (between / total).item() if total > 1e-12 * self._squares else None
