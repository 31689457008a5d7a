"""Dropout that knows its place in the batch, so that how the batch is divided changes nothing.

`nn.Dropout` draws from its process's stream of random numbers: what a window loses then depends on how many windows its
process embedded before it, and so on the number of processes and the size of a micro-batch. Here the whole contrastive
batch is drawn, as a function of (seed, step), and a part of the batch takes its rows.

How layers that are trained from scratch begin.

PyTorch's defaults let a signal shrink from layer to layer until biases outweigh it: windows then begin with almost the
same embedding, and a contrastive loss takes long to tell them apart.

Modules of which some parts are not trained, or not yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, cast

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


def initialize(module: nn.Module) -> None:
    """For `nn.Module.apply`: keep the variance through ReLU layers (He et al., 2015, arXiv:1502.01852).

    Recurrent weights begin orthogonal (Saxe et al., 2014, arXiv:1312.6120), biases at zero.
    """
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LSTM):
        for name, parameter in module.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)


def remember(lstm: nn.LSTM, steps: int) -> None:
    """Let the units of an LSTM of one layer begin with memories of all lengths up to `steps`.

    Chrono initialization (Tallec & Ollivier, 2018, arXiv:1804.11188). A forget gate that begins at a bias of 1 forgets
    within four steps; what came before then hardly reaches the last step, and is learned late or never.
    """
    assert lstm.num_layers == 1
    hidden = lstm.hidden_size
    with torch.no_grad():
        lasting = torch.empty(hidden).uniform_(1.0, max(steps - 1.0, 1.0)).log()
        bias = lstm.get_parameter("bias_ih_l0")
        bias[:hidden] = -lasting  # of the input gate
        bias[hidden : 2 * hidden] = lasting  # of the forget gate


class PartlyFrozen(nn.Module):
    """Keeps parts of itself in eval mode, whatever the rest does: statistics there stay, and nothing is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._frozen: frozenset[str] = frozenset()

    def freeze(self, parts: Iterable[nn.Module]) -> None:
        """Take parts out of training for good, beside those that are: they get no gradients, and stay in eval mode."""
        inside = list(parts)
        for part in inside:
            part.requires_grad_(requires_grad=False)
        self._rest(self._frozen | self._names(inside))

    def rest(self, parts: Iterable[nn.Module]) -> None:
        """Let these parts and no others stay in eval mode from now on."""
        self._rest(self._names(parts))

    def frozen_parameters(self) -> list[nn.Parameter]:
        """Those of what is kept in eval mode."""
        return [parameter for name in self._frozen for parameter in self.get_submodule(name).parameters(recurse=False)]

    def train(self, mode: bool = True) -> Self:
        """As any module, but for what is frozen."""
        super().train(mode)
        for name in self._frozen:  # names, because Lightning replaces batch norm where it is to be synchronised
            self.get_submodule(name).training = False
        return self

    def _names(self, parts: Iterable[nn.Module]) -> frozenset[str]:
        inside = {module for part in parts for module in part.modules()}
        return frozenset(name for name, module in self.named_modules() if module in inside)

    def _rest(self, names: frozenset[str]) -> None:
        self._frozen = names
        self.train(self.training)
