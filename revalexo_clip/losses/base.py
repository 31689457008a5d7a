"""The interface of contrastive losses, and what they share.

`WithTemperature` holds a learnable temperature as the logarithm of a bounded scale (Radford et al., 2021,
arXiv:2103.00020). `in_blocks` computes the similarity matrix a block of rows at a time, so that memory grows linearly
with the batch size, not quadratically.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from revalexo_clip.core.component import Component
from revalexo_clip.losses.overlap import Overlap

Vector = Literal["imu", "video", "imu_tokens", "video_tokens", "imu_frames", "video_frames", "imu_second", "text"]
"""Kinds of unit vectors that a loss can compare, one per window: embeddings of the whole window of IMU or video; tokens
of IMU or video, those of all moments as one vector; vectors of the moments that have frames, K unit vectors after one
another; embeddings of a second augmentation of the IMU window; embeddings of the window's sentence, with the number of
its meaning, see `with_meaning`."""

On = Literal["pooled", "tokens"]
"""What of the windows a loss compares."""
READS: Mapping[On, tuple[Vector, Vector]] = {"pooled": ("imu", "video"), "tokens": ("imu_tokens", "video_tokens")}
"""The vectors that a loss of IMU and video reads."""


class LossModule(nn.Module, ABC):
    """A contrastive loss with its learnable parameters."""

    reads: tuple[Vector, Vector] = ("imu", "video")
    """Kinds of vectors that `forward` compares, in this order."""

    validated = True
    """Whether the loss of validation windows is meaningful. If not, it is left out of the validation loss."""

    no_weight_decay = True
    """Excludes the parameters from weight decay, which would change the temperature."""

    is_loss = True
    """Lets optimizers give the parameters a learning rate of their own, `loss_lr_scale`."""

    @abstractmethod
    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """Compute the loss [] of N pairs of unit vectors; rows with the same index are partners.

        Windows that overlap are not negatives of each other.
        """

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """Compute the part of the loss [] that belongs to some consecutive windows.

        `rows` has a start and a stop. The sum over slices that divide all N windows is the loss. Each process computes
        the share of its own windows, and gradients are added up. Unless a loss overrides this method, shares are
        proportional to the number of rows.
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

    def chance_of(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap) -> Tensor | None:
        """Return `chance` of windows with these vectors, whose candidates may depend on what vectors say of them.

        Unless a loss overrides this method, that is `chance`.
        """
        return self.chance(overlap)


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


def is_all(rows: slice, count: int) -> bool:
    """Return whether a slice takes all of `count` rows."""
    return rows == slice(0, count)


Result = TypeVar("Result", bound=Tensor | tuple[Tensor, ...])

LARGE = 2**25
"""Maximum elements of the similarity matrix in memory at a time: 128 MiB of float32 for each intermediate result."""


def row_blocks(count: int, rows: int | None, within: slice | None = None) -> list[slice]:
    """Divide `count` rows, or those `within` a slice of them, into slices of `rows` rows.

    If `rows` is None, a slice has as many rows of `count` columns as `LARGE` permits.
    """
    size = rows or max(LARGE // count, 1)
    own = within or slice(0, count)
    return [slice(start, min(start + size, own.stop)) for start in range(own.start, own.stop, size)]


def in_blocks(reduce: Callable[[Tensor, slice], Result], x_ND: Tensor, blocks: list[slice]) -> list[Result]:
    """Call `reduce` with each block of rows of `x_ND` and its slice, and return the results.

    The result is differentiable, also with respect to tensors that `reduce` uses beside its arguments. A block's
    intermediate results are not stored but computed again in the backward pass (Chen et al., 2016, arXiv:1604.06174);
    if there is only one block, it is computed once.
    """
    if len(blocks) == 1 or not torch.is_grad_enabled():
        return [reduce(x_ND[rows], rows) for rows in blocks]
    again = [checkpoint(reduce, x_ND[rows], rows, use_reentrant=False, preserve_rng_state=False) for rows in blocks]
    return cast("list[Result]", again)


def fill_overlaps(x_bN: Tensor, overlap: Overlap | None, rows: slice, value: float) -> Tensor:
    """Set the elements of windows that overlap to `value`, in place; `rows` are the rows of `x_bN` among all N."""
    return x_bN if overlap is None else x_bN.masked_fill_(overlap.rows(rows), value)
