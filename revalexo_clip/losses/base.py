"""The interface of contrastive losses, and what they share.

`Overlap` tells which windows of a batch share some time: these are not negatives of each other. `WithTemperature`
holds a learnable temperature as the logarithm of a bounded scale (Radford et al., 2021, arXiv:2103.00020).
`in_blocks` computes the similarity matrix a block of rows at a time, so that memory grows linearly with the batch
size, not quadratically.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from revalexo_clip.core.component import Component

MICROSECOND = 1e-6
"""Times are compared to a microsecond [s]: offsets are sums of decimal fractions."""


class Overlap(NamedTuple):
    """Positions in absolute time of the N windows of a batch, which determine the windows that share some time."""

    recording_N: Tensor
    """[N] int, index of each window's recording."""
    time_N: Tensor
    """[N] float64, start of each window in its recording [s]."""
    window: float
    """Length of a window [s]."""

    def rows(self, rows: slice) -> Tensor:
        """Return [b, N] bool: whether each of b consecutive windows shares some time with each of all N windows.

        Windows of two clips overlap if the clips do. Windows that only touch do not overlap, and a window does not
        overlap itself. `rows(slice(None))` is the whole matrix; for large batches, only blocks of rows are computed.
        """
        place_N = torch.arange(len(self.recording_N), device=self.recording_N.device)
        same_recording_bN = self.recording_N[rows, None] == self.recording_N
        close_bN = (self.time_N[rows, None] - self.time_N).abs() < self.window - MICROSECOND
        return same_recording_bN & close_bN & (place_N[rows, None] != place_N)


Vector = Literal["imu", "video", "imu_tokens", "video_tokens", "imu_second"]
"""Kinds of unit vectors that a loss can compare, one per window: embeddings of the whole window of IMU or video; tokens
of IMU or video, those of all moments as one vector; embeddings of a second augmentation of the IMU window."""


class LossModule(nn.Module, ABC):
    """A contrastive loss with its learnable parameters."""

    reads: tuple[Vector, Vector] = ("imu", "video")
    """Kinds of vectors that `forward` compares, in this order."""

    no_weight_decay = True
    """Excludes the parameters from weight decay, which would change the temperature."""

    @abstractmethod
    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """Compute the loss [] of N pairs of unit vectors; rows with the same index are partners.

        Windows that overlap are not negatives of each other.
        """

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """Compute the part of the loss [] that belongs to some consecutive windows.

        The sum over slices that divide all N windows is the loss. Each process computes the share of its own windows,
        and gradients are added up. Unless a loss overrides this method, shares are proportional to the number of rows.
        """
        loss: Tensor = self(imu_ND, video_ND, overlap)
        share: Tensor = loss * ((rows.stop - rows.start) / len(imu_ND))
        return share

    def update(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap) -> None:
        """Take note of the vectors of a training step, after its update. They are the same on every process."""

    def terms(self) -> Mapping[str, tuple[float, LossModule]]:
        """Return the weighted terms that the loss is a sum of, by name; a loss without terms is its own, named ""."""
        return {"": (1.0, self)}

    @property
    @abstractmethod
    def temperature(self) -> Tensor:
        """The temperature by which similarities are divided, [] (detached, for logging)."""

    def chance(self, overlap: Overlap) -> Tensor | None:
        """Return the loss [] of embeddings that are all equal; None if it is not a fixed number."""
        return None


class Loss(Component, ABC):
    """Base class of contrastive losses."""

    @abstractmethod
    def build(self) -> LossModule:
        """Build the loss with its initial parameters."""


MAX_LOG_SCALE = math.log(100)

Temperature = Annotated[float, Field(ge=0.01, le=1)]
"""A temperature between 1 / 100 and 1."""


class WithTemperature(LossModule):
    """A loss that divides similarities by a learned temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """See `LossModule.temperature`."""
        return (-self.log_scale.detach().clamp(0, MAX_LOG_SCALE)).exp()

    def scale(self) -> Tensor:
        """Return 1 / temperature, [], between 1 and 100.

        The parameter itself is clamped in place, not only the returned value. A clamped value has no gradient outside
        the range, so a parameter that left the range in one step would never return; and a substitute gradient would
        no longer be a sum over ranks or blocks of the batch.
        """
        with torch.no_grad():
            self.log_scale.clamp_(0, MAX_LOG_SCALE)
        return self.log_scale.exp()


def at_least_float32(x: Tensor) -> Tensor:
    """Convert to float32 if the precision is lower. Losses are computed in this precision, also under autocast."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


Result = TypeVar("Result", bound=Tensor | tuple[Tensor, ...])

LARGE = 2**25
"""Maximum elements of the similarity matrix in memory at a time: 128 MiB of float32 for each intermediate result."""


def row_blocks(count: int, rows: int | None) -> list[slice]:
    """Divide `count` rows into slices of `rows` rows; None for as many rows as `LARGE` permits."""
    size = rows or max(LARGE // count, 1)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def in_blocks(reduce: Callable[[Tensor, slice], Result], imu_ND: Tensor, blocks: list[slice]) -> list[Result]:
    """Call `reduce` with each block of rows of `imu_ND` and its slice, and return the results.

    The result is differentiable, also with respect to tensors that `reduce` uses beside its arguments. A block's
    intermediate results are not stored but computed again in the backward pass (Chen et al., 2016, arXiv:1604.06174);
    if there is only one block, it is computed once.
    """
    if len(blocks) == 1 or not torch.is_grad_enabled():
        return [reduce(imu_ND[rows], rows) for rows in blocks]
    again = [checkpoint(reduce, imu_ND[rows], rows, use_reentrant=False, preserve_rng_state=False) for rows in blocks]
    return cast("list[Result]", again)
