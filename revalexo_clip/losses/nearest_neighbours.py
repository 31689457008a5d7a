"""Nearest neighbours as further positives: what earlier batches had that is most like a window.

Contrast with nearest neighbours follows NNCLR (Dwibedi et al., 2021, arXiv:2104.14548); for IMU and video, beside
other terms, PRIMUS (Das et al., 2024, arXiv:2411.15127).
"""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from revalexo_clip.losses.base import (
    READS,
    Loss,
    LossModule,
    On,
    Temperature,
    Vector,
    at_least_float32,
    row_blocks,
)
from revalexo_clip.losses.info_nce import Direction, InfoNCELoss
from revalexo_clip.losses.overlap import Overlap, sharing_time
from revalexo_clip.losses.queue import WithQueue


class NearestNeighbours(Loss):
    """Classify the partner of each window, searched with the window's nearest neighbour in earlier batches.

    The neighbour is the most similar vector of the same modality in a queue of the windows of earlier steps, without
    those that share time with the window. The loss is 0 until the queue is full. It depends on the windows of the last
    steps, so that the term is left out of the validation loss.
    """

    queue: PositiveInt = 4096
    """Windows in the queue: those of the last queue / batch_size steps."""
    temperature: Temperature = 0.1
    """Initial temperature by which similarities are divided; it is learned and stays between 0.01 and 1."""
    direction: Direction = "both"
    """`imu_to_video`: the neighbour of each IMU window searches the window's video; `video_to_imu`: the neighbour of
    each video window searches the window's IMU; or the mean of both."""
    on: On = "pooled"
    """What is compared: `pooled` embeddings of the whole window, or the `tokens` of all of its moments."""
    block_rows: PositiveInt | None = None
    """Rows of the similarity matrix in memory at a time. Changes only the memory use; null for as many as fit into
    128 MiB."""

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return NearestNeighboursLoss(
            self.temperature,
            queue=self.queue,
            reads=READS[self.on],
            direction=self.direction,
            block_rows=self.block_rows,
        )


class NearestNeighboursLoss(WithQueue, InfoNCELoss):
    """See `NearestNeighbours`."""

    validated = False

    imu_bits_QD: Tensor
    """[Q, D] int32, unit vectors of IMU, see `WithQueue.add_queue`."""
    video_bits_QD: Tensor
    """[Q, D] int32, those of video."""
    recording_Q: Tensor
    """[Q] int64."""
    time_bits_Q: Tensor
    """[Q] int64, the bits of float64: start in the recording [s]."""

    def __init__(
        self,
        temperature: float,
        *,
        queue: int,
        reads: tuple[Vector, Vector] = READS["pooled"],
        direction: Direction = "both",
        block_rows: int | None = None,
    ) -> None:
        super().__init__(temperature, reads=reads, direction=direction, block_rows=block_rows)
        self.add_queue(queue, "imu_bits_QD", "video_bits_QD")
        self.register_buffer("recording_Q", torch.zeros(queue, dtype=torch.int64))
        self.register_buffer("time_bits_Q", torch.zeros(queue, dtype=torch.int64))

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """See `LossModule.share`. Without `overlap`, no entry of the queue shares time with a window."""
        if not self.is_full:
            return 0 * self.log_scale  # a gradient of 0, which other processes wait for
        with torch.autocast(imu_ND.device.type, enabled=False):
            scale, x_ND, y_ND = self.scale(), at_least_float32(imu_ND), at_least_float32(video_ND)
            ways = {"imu_to_video": (x_ND, self.imu_bits_QD, y_ND), "video_to_imu": (y_ND, self.video_bits_QD, x_ND)}
            selected = ways.values() if self.direction == "both" else [ways[self.direction]]
            costs = []
            for query_ND, bits_QD, other_ND in selected:
                neighbour_ND = self._neighbours(query_ND, bits_QD.view(torch.float32), overlap, rows)
                costs.append(self.search(scale * neighbour_ND, other_ND, overlap, rows))
            return torch.stack(costs).mean()

    @torch.no_grad()
    def _neighbours(self, query_ND: Tensor, queue_QD: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """Return [N, D], with the nearest neighbours of the queries of `rows`.

        A query that shares time with all of the queue is its own neighbour.
        """
        neighbour_ND = query_ND.detach().clone()
        for block in row_blocks(self.size, self.block_rows, rows):
            similarity_bQ = query_ND[block].float() @ queue_QD.T
            if overlap is not None:
                windows = overlap.recording_N[block], overlap.time_N[block]
                queued = self.recording_Q, self.time_bits_Q.view(torch.float64)
                shared = sharing_time(*windows, *queued, overlap.window)
                similarity_bQ.masked_fill_(shared.rows(slice(None)), -torch.inf)
            nearest = similarity_bQ.max(dim=1)
            found_b1 = nearest.values.isfinite()[:, None]
            neighbour_ND[block] = torch.where(found_b1, queue_QD[nearest.indices].to(query_ND), query_ND[block])
        return neighbour_ND

    @torch.no_grad()
    def update(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap) -> None:
        """Push the windows of a training step into the queue."""
        place_n = self.push({"imu_bits_QD": imu_ND, "video_bits_QD": video_ND})
        newest = slice(len(imu_ND) - len(place_n), None)
        self.recording_Q[place_n] = overlap.recording_N[newest].long()
        self.time_bits_Q[place_n] = overlap.time_N[newest].double().contiguous().view(torch.int64)

    def chance(self, overlap: Overlap) -> Tensor | None:
        """See `InfoNCELoss.chance`; 0 as long as the loss is off."""
        return super().chance(overlap) if self.is_full else torch.zeros((), device=self.pushed.device)
