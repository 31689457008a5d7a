"""Dropout that knows its place in the batch, so that how the batch is divided changes nothing.

`nn.Dropout` draws from its process's stream of random numbers: what a window loses then depends on how many windows its
process embedded before it, and so on the number of processes and the size of a micro-batch. Here the whole contrastive
batch is drawn, as a function of (seed, step), and a part of the batch takes its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

Draw = Callable[["Step", int, float, Tensor], Tensor]


@dataclass
class Step:
    """One step of a training, and the part of its batch that is being embedded."""

    seed: int
    number: int
    batch_size: int
    rows: slice


# Not a context variable: what is computed again in the backward pass on a GPU is computed in another thread.
_steps: list[Step] = []


@contextmanager
def one_step(seed: int, number: int, batch_size: int) -> Iterator[Step]:
    """Within it, `Dropout` draws for a batch of `batch_size` windows; set `rows` of the result before each part."""
    _steps.append(Step(seed, number, batch_size, slice(0, batch_size)))
    try:
        yield _steps[-1]
    finally:
        _steps.pop()


def number_dropouts(model: nn.Module) -> None:
    """Give each `Dropout` in `model` draws of its own."""
    for number, module in enumerate(module for module in model.modules() if isinstance(module, Dropout)):
        module.number = number


def _factors(step: Step, number: int, p: float, x_B: Tensor) -> Tensor:
    """What the features are multiplied by: zero, or what keeps their mean."""
    key = np.random.SeedSequence([step.seed, step.number, number]).generate_state(1, np.uint64)
    generator = torch.Generator(x_B.device).manual_seed(int(key[0] >> 1))
    uniform_N = torch.rand(step.batch_size, *x_B.shape[1:], generator=generator, device=x_B.device)
    own_B = uniform_N[step.rows]
    assert len(own_B) == len(x_B)
    return (own_B >= p).to(x_B.dtype) / (1 - p)


# A compiled graph would keep the draws of the step in which it was compiled.
_draw = cast("Callable[[Draw], Draw]", torch.compiler.disable)(_factors)


class Dropout(nn.Module):
    """Dropout of features [B, ...], for encoders that are trained here; elsewhere it is `nn.Dropout`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p
        self.number = 0

    def forward(self, x_B: Tensor) -> Tensor:
        """[B, ...] -> [B, ...]; in training, each value is zero with probability `p`, else divided by `1 - p`."""
        if not (self.training and self.p and _steps):
            return nn.functional.dropout(x_B, self.p, self.training)
        return x_B * _draw(_steps[-1], self.number, self.p, x_B)

    def extra_repr(self) -> str:
        """As `nn.Dropout` has it."""
        return f"p={self.p}"
