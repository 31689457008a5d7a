"""The matrix of all pairs of a batch, some rows at a time: memory grows with the batch and not with its square."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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
