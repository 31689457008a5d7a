"""Rows from all processes, in rank order, with the gradient that a single process would have."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """Processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of the training processes this is."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def part() -> None:
    """Leave the other processes: what follows is done by each on its own."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather(x_B: Tensor) -> Tensor:
    """[B, ...] on each process -> [N, ...] on all. No gradient; B may differ between processes."""
    return x_B if world_size() == 1 else torch.cat(_parts(x_B))


def gather_with_gradient(x_BD: Tensor) -> Tensor:
    """[B, D] on each process -> [N, D] on all, differentiable; B may differ between processes.

    Every process must compute the same loss from what it gets. DDP then averages parameter gradients over the W
    processes, each of which sees only the part of the gradient that flows through its own rows; so the backward
    pass hands those rows W times their gradient, and the average is the gradient of that one loss.
    """
    return x_BD if world_size() == 1 else cast("Callable[[Tensor], Tensor]", _Gather.apply)(x_BD)


def _parts(x_B: Tensor) -> list[Tensor]:
    """The rows of each process."""
    own = torch.tensor([len(x_B)], device=x_B.device)
    sizes = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(sizes, own)
    rows = [int(size) for size in sizes]
    padded = x_B.new_zeros((max(rows), *x_B.shape[1:]))
    padded[: len(x_B)] = x_B
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return [part[:size] for part, size in zip(parts, rows, strict=True)]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Rows, x_BD: Tensor) -> Tensor:
        parts = _parts(x_BD)
        first = sum(len(part) for part in parts[: rank()])
        ctx.own = slice(first, first + len(x_BD))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: _Rows, *grads: Tensor) -> Tensor:
        return grads[0][ctx.own] * world_size()


class _Rows(FunctionCtx):
    own: slice
    """Where a process's rows are among all."""
