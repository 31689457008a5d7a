"""Distillation from video to IMU: how similar a window is to the windows of earlier steps, as the video says.

A student that follows a teacher's distribution over a queue of instances is the method of SEED (Fang et al., 2021,
arXiv:2101.04731); from video to IMU, COMODO (Chen et al., 2025, arXiv:2503.07259).
"""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from revalexo_clip.losses.base import READS, Loss, LossModule, On, at_least_float32, in_blocks, row_blocks
from revalexo_clip.losses.overlap import Overlap
from revalexo_clip.losses.queue import WithQueue


class QueueDistillation(Loss):
    """Let IMU be as similar to the videos of earlier windows as the window's own video is.

    Similarities to the videos of a queue of earlier steps, and to the window's own video, become a distribution. That
    of the video is the teacher's, that of the IMU follows it. Other windows are not negatives as in contrast: if two of
    them overlap or show the same activity, the teacher says so, and no entry has to be left out.

    The video encoder gets no gradient from this term: other terms train it, such as
    `TemporalContrast(modality="video")`, or it is pretrained and frozen (`video.frozen=all`; its head is then only
    trained if another term does). The term depends on the windows of the last steps, so that it is left out of the
    validation loss.
    """

    queue: PositiveInt = 4096
    """Windows in the queue: those of the last queue / batch_size steps. As long as it is not full, it has the windows
    so far; in the first step, the loss is 0."""
    student_temperature: PositiveFloat = 0.1
    """What similarities of the IMU are divided by."""
    teacher_temperature: PositiveFloat = 0.1
    """What similarities of the video are divided by. The lower, the more only the most similar windows count; the
    window's own video is the most similar of all."""
    on: On = "pooled"
    """What is compared: `pooled` embeddings of the whole window, or the `tokens` of all of its moments."""
    block_rows: PositiveInt | None = None
    """Rows of the similarity matrix in memory at a time. Changes only the memory use; null for as many as fit into
    128 MiB."""

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return QueueDistillationLoss(self)


class QueueDistillationLoss(WithQueue):
    """Cross-entropy of the student's distribution under the teacher's, averaged over windows."""

    validated = False

    video_bits_QD: Tensor
    """[Q, D] int32, see `WithQueue.add_queue`."""

    def __init__(self, of: QueueDistillation) -> None:
        super().__init__()
        self.reads = READS[of.on]
        self.student_temperature, self.teacher_temperature = of.student_temperature, of.teacher_temperature
        self.block_rows = of.block_rows
        self.add_queue(of.queue, "video_bits_QD")

    @property
    def temperature(self) -> Tensor:
        """See `LossModule.temperature`; that of the student."""
        return torch.full((), self.student_temperature, device=self.pushed.device)

    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """See `LossModule.forward`. Computed in at least float32, also under autocast."""
        return self.share(imu_ND, video_ND, overlap, slice(0, len(imu_ND)))

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """See `LossModule.share`; `overlap` has no effect."""
        with torch.autocast(imu_ND.device.type, enabled=False):
            student_ND, teacher_ND = at_least_float32(imu_ND), at_least_float32(video_ND.detach())
            queue_QD = self.video_bits_QD.view(torch.float32).view(-1, teacher_ND.shape[1]).to(teacher_ND)
            empty_Q = torch.arange(len(queue_QD), device=queue_QD.device) >= self.pushed

            def similarities(x_bD: Tensor, own_bD: Tensor, temperature: float) -> Tensor:
                """Return [b, 1 + Q]: similarities to the own video and to the queue, divided by the temperature."""
                own_b1 = (x_bD * own_bD).sum(dim=1, keepdim=True)
                queue_bQ = (x_bD @ queue_QD.T / temperature).masked_fill(empty_Q, -torch.inf)
                return torch.cat([own_b1 / temperature, queue_bQ], dim=1)

            def reduce(student_bD: Tensor, block: slice) -> Tensor:
                own_bD = teacher_ND[block]
                target_bK = similarities(own_bD, own_bD, self.teacher_temperature).softmax(dim=1)
                logits_bK = similarities(student_bD, own_bD, self.student_temperature)
                expected_b = (target_bK * logits_bK.masked_fill(target_bK == 0, 0)).sum(dim=1)
                return logits_bK.logsumexp(dim=1) - expected_b

            blocks = row_blocks(self.size, self.block_rows, rows)
            return torch.cat(in_blocks(reduce, student_ND, blocks)).sum() / len(student_ND)

    @torch.no_grad()
    def update(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap) -> None:
        """Push the videos of a training step into the queue."""
        self.push({"video_bits_QD": video_ND})

    def chance(self, overlap: Overlap) -> Tensor | None:
        """Return the logarithm of the number of candidates, []: the loss of a uniform distribution of the student."""
        return (self.pushed.clamp(max=self.size) + 1).float().log()
