"""What an experiment asks of a contrastive objective.

Which windows show the same moments, and so are not each other's negatives.

A learnable temperature, kept as the logarithm of a bounded scale (Radford et al., 2021, arXiv:2103.00020).

The matrix of all pairs of a batch, some rows at a time: memory grows with the batch and not with its square.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from revalexo_clip.core.component import Component


class Overlap(NamedTuple):
    """Where the N windows of a batch lie in their clips, and so which of them share some time."""

    clip_N: Tensor
    """[N] int, the clip that each was cut from."""
    start_N: Tensor
    """[N], where each starts in its clip [s]."""
    window: float
    """Length of a window [s]."""

    def rows(self, rows: slice) -> Tensor:
        """[b, N] bool: whether each of b consecutive windows and each of all N are two that share some time.

        Windows that only touch do not overlap, and none overlaps itself. The whole matrix is `rows(slice(None))`; for
        large batches it is only made row by row.
        """
        place_N = torch.arange(len(self.clip_N), device=self.clip_N.device)
        same_clip_bN = self.clip_N[rows, None] == self.clip_N
        close_bN = (self.start_N[rows, None] - self.start_N).abs() < self.window
        return same_clip_bN & close_bN & (place_N[rows, None] != place_N)


class LossModule(nn.Module, ABC):
    """A contrastive objective with its learnable parameters."""

    no_weight_decay = True
    """Tells the optimizer to leave them out: a temperature that decays is another temperature."""

    @abstractmethod
    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """The loss [] of N pairs of unit vectors; row i of one is the partner of row i of the other.

        Windows that overlap are not negatives of each other.
        """

    @property
    @abstractmethod
    def temperature(self) -> Tensor:
        """What similarities are divided by, [] (detached, for logging)."""

    def chance(self, overlap: Overlap) -> Tensor | None:
        """The loss [] of embeddings that tell no window from another; None where that is no fixed number."""
        return None


class Loss(Component, ABC):
    """A contrastive objective."""

    @abstractmethod
    def build(self) -> LossModule:
        """The objective with its parameters at their initial values."""


MAX_LOG_SCALE = math.log(100)

Temperature = Annotated[float, Field(ge=0.01, le=1)]
"""Between 1 / 100 and 1."""


class WithTemperature(LossModule):
    """An objective that divides similarities by a temperature that it learns."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """What similarities are divided by, []."""
        return (-self.log_scale.detach().clamp(0, MAX_LOG_SCALE)).exp()

    def scale(self) -> Tensor:
        """1 / temperature, [], between 1 and 100.

        The parameter itself is brought back into its range, rather than only the value made of it. A clamped value has
        no gradient outside the range, so a parameter that one step carried out would stay there for good; and any
        gradient made up for it would no longer be a sum over ranks or blocks of the batch.
        """
        with torch.no_grad():
            self.log_scale.clamp_(0, MAX_LOG_SCALE)
        return self.log_scale.exp()


def at_least_float32(x: Tensor) -> Tensor:
    """What losses are computed in, also under autocast."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


Result = TypeVar("Result", bound=Tensor | tuple[Tensor, ...])

LARGE = 2**25
"""Elements of the matrix that are there at a time: 128 MiB of float32, and as much again for each step of a formula."""


def row_blocks(count: int, rows: int | None) -> list[slice]:
    """Slices of `rows` rows that cover `count`; None for as many as `LARGE` has room for."""
    size = rows or max(LARGE // count, 1)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def in_blocks(reduce: Callable[[Tensor, slice], Result], imu_ND: Tensor, blocks: list[slice]) -> list[Result]:
    """What `reduce` makes of each block of rows of `imu_ND`, and of where they are.

    It is differentiable, also in what `reduce` uses beside its arguments. A block is forgotten once it is reduced, and
    computed again in the backward pass (Chen et al., 2016, arXiv:1604.06174); a batch of one block is computed once.
    """
    if len(blocks) == 1 or not torch.is_grad_enabled():
        return [reduce(imu_ND[rows], rows) for rows in blocks]
    again = [checkpoint(reduce, imu_ND[rows], rows, use_reentrant=False, preserve_rng_state=False) for rows in blocks]
    return cast("list[Result]", again)
