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


def gather(x_B: Tensor) -> Tensor:
    """[B, ...] on each process -> [N, ...] on all. No gradient; B may differ between processes."""
    if world_size() == 1:
        return x_B
    own = torch.tensor([len(x_B)], device=x_B.device)
    sizes = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(sizes, own)
    rows = [int(size) for size in sizes]
    padded = x_B.new_zeros((max(rows), *x_B.shape[1:]))
    padded[: len(x_B)] = x_B
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, rows, strict=True)])


def gather_with_gradient(x_BD: Tensor) -> Tensor:
    """[B, D] on each process -> [N, D] on all, differentiable; B must be the same everywhere.

    Every process must compute the same loss from what it gets. DDP then averages parameter gradients over the W
    processes, each of which sees only the part of the gradient that flows through its own rows; so the backward
    pass hands those rows W times their gradient, and the average is the gradient of that one loss.
    """
    return x_BD if world_size() == 1 else cast("Callable[[Tensor], Tensor]", _Gather.apply)(x_BD)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x_BD: Tensor) -> Tensor:
        parts = [torch.empty_like(x_BD) for _ in range(world_size())]
        dist.all_gather(parts, x_BD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Tensor:
        own = grads[0].chunk(world_size())[rank()]
        return own * world_size()
