"""Gradient checkpointing (Chen et al., 2016, arXiv:1604.06174): memory for time, and nothing else changed by it."""

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
    """Let each block keep no more than its input, and compute the rest again when the backward pass needs it.

    Dropout is the same both times. Running statistics of batch norm see a batch once. Names of weights stay.
    """
    for block in blocks:
        block.forward = _Recomputed(block, block.forward)


def is_recomputed(block: nn.Module) -> bool:
    """Whether `recompute` was told to."""
    return isinstance(block.forward, _Recomputed)


@dataclass
class _Recomputed:
    """A block's forward pass that keeps its inputs only; an object, so that a copy of a block runs its own weights."""

    block: nn.Module
    forward: Callable[..., Tensor]

    def __call__(self, *inputs: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.forward(*inputs)
        again = partial(_contexts, self.block)
        output: Tensor = checkpoint(self.forward, *inputs, use_reentrant=False, context_fn=again)
        return output


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Those that a block's first pass runs in, and its second."""
    return nullcontext(), running_statistics_untouched(block)


@contextmanager
def running_statistics_untouched(module: nn.Module) -> Iterator[None]:
    """Batch norm in training mode normalises as ever, and forgets what it has seen.

    It is given buffers of its own to write to: without any, the backward pass would be recorded differently.
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
