"""Gradient checkpointing (Chen et al., 2016, arXiv:1604.06174): less memory for more time, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Store only the input of each block, and compute its activations again in the backward pass.

    Dropout masks are the same both times, running statistics of batch norm are updated once per batch, and the names
    of weights do not change.
    """
    for block in blocks:
        block.forward = _Recomputed(block, block.forward)


def is_recomputed(block: nn.Module) -> bool:
    """Return whether `recompute` was applied to a block."""
    return isinstance(block.forward, _Recomputed)


@dataclass
class _Recomputed:
    """The forward pass of a block that stores only its inputs.

    It is an object instead of a closure, so that a copy of a block runs its own weights.
    """

    block: nn.Module
    forward: Callable[..., Tensor]

    def __call__(self, *inputs: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.forward(*inputs)
        again = partial(_contexts, self.block)
        output: Tensor = checkpoint(self.forward, *inputs, use_reentrant=False, context_fn=again)
        return output


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of a block's first and second pass."""
    return nullcontext(), running_statistics_untouched(block)


@contextmanager
def running_statistics_untouched(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norm in training mode unchanged inside the block.

    Batch norm gets temporary buffers to update: without buffers, autograd would record the pass differently.
    """
    live = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    kept = [(norm, dict(norm.named_buffers(recurse=False))) for norm in live]
    for norm, buffers in kept:
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in kept:
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
