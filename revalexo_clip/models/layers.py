"""What all models share: dropout that does not depend on how a batch is divided, initialisation, and freezing.

`nn.Dropout` draws from the random number stream of its process, so the mask of a window depends on how many windows the
process embedded before it, and therefore on the number of processes and the size of a micro-batch. `Dropout` computes
the mask of a window from (seed, step, layer, row of the batch) alone. A part of a batch draws its own rows and no
others, and all kinds of devices draw the same.

`initialize` and `remember` set the initial weights of layers that are trained from scratch. With PyTorch's defaults, a
signal shrinks from layer to layer until biases outweigh it: all windows then start with almost the same embedding, and
a contrastive loss needs long to separate them.

`PartlyFrozen` is the base class of models with parts that are frozen, for the whole run or for a time.
"""

from __future__ import annotations

import math
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
    """A training step, and the rows of its batch that are currently embedded."""

    seed: int
    number: int
    rows: slice


# Not a context variable, because on a GPU, recomputation in the backward pass runs in another thread.
_steps: list[Step] = []


@contextmanager
def one_step(seed: int, number: int, batch_size: int) -> Iterator[Step]:
    """Make `Dropout` draw for a batch of `batch_size` windows; set `rows` of the result before each part."""
    _steps.append(Step(seed, number, slice(0, batch_size)))
    try:
        yield _steps[-1]
    finally:
        _steps.pop()


def number_dropouts(model: nn.Module) -> None:
    """Assign a number to each `Dropout` in `model`, so that they draw different masks."""
    for number, module in enumerate(module for module in model.modules() if isinstance(module, Dropout)):
        module.number = number


def _factors(step: Step, number: int, p: float, x_B: Tensor) -> Tensor:
    """Draw the factors of the features: 0 with probability `p`, else 1 / (1 - p), which keeps their mean."""
    assert step.rows.stop - step.rows.start == len(x_B)
    key = np.random.SeedSequence([step.seed, step.number, number]).generate_state(1, np.uint64)
    row_B = torch.arange(step.rows.start, step.rows.stop, device=x_B.device)
    column_F = torch.arange(math.prod(x_B.shape[1:]), device=x_B.device)
    random_B = _mixed(row_B.mul_(_GAMMA).add_(int(key.astype(np.int64)[0])))
    random_BF = _mixed(random_B[:, None] + column_F.mul_(_GAMMA))
    kept_BF = random_BF >= round(p * 2**64) - 2**63
    return kept_BF.view(x_B.shape).to(x_B.dtype) / (1 - p)


def _signed(bits: int) -> int:
    """Return the int64 with the given 64 bits."""
    return bits - 2**64 if bits >= 2**63 else bits


# SplitMix64 (Steele et al., 2014, doi:10.1145/2660193.2660195): the outputs of consecutive counters pass statistical
# tests. In contrast to a generator's stream, any of them can be computed without those before it.
_GAMMA = _signed(0x9E3779B97F4A7C15)
_ROUNDS = ((30, _signed(0xBF58476D1CE4E5B9)), (27, _signed(0x94D049BB133111EB)), (31, 1))


def _mixed(counter: Tensor) -> Tensor:
    """Replace int64 counters, which are multiples of `_GAMMA` apart, by random int64 numbers."""
    for shift, factor in _ROUNDS:
        counter.bitwise_xor_((counter >> shift).bitwise_and_(2 ** (64 - shift) - 1)).mul_(factor)
    return counter


# A compiled graph would reuse the draws of the step in which it was compiled.
_draw = cast("Callable[[Draw], Draw]", torch.compiler.disable)(_factors)


class Dropout(nn.Module):
    """Dropout of features [B, ...] that does not depend on how a batch is divided. Outside `one_step`, `nn.Dropout`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p
        self.number = 0

    def forward(self, x_B: Tensor) -> Tensor:
        """Apply dropout: in training, each value is 0 with probability `p`, else divided by `1 - p`."""
        if not (self.training and self.p and _steps):
            return nn.functional.dropout(x_B, self.p, self.training)
        return x_B * _draw(_steps[-1], self.number, self.p, x_B)

    def extra_repr(self) -> str:
        """Return the representation of `nn.Dropout`."""
        return f"p={self.p}"


def without_autocast(device: torch.device) -> torch.autocast:
    """Return a context without autocast.

    Lightning runs a whole training step under autocast. A backward pass in there computes the gradients of float32
    products in half precision.
    """
    return torch.autocast(device.type, enabled=False)


def initialize(module: nn.Module) -> None:
    """Initialise a layer so that ReLU layers keep the variance (He et al., 2015, arXiv:1502.01852).

    Recurrent weights are orthogonal (Saxe et al., 2014, arXiv:1312.6120), biases zero. For use with `nn.Module.apply`.
    """
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.LSTM, nn.GRU)):
        for name, parameter in module.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)


def remember(network: nn.LSTM | nn.GRU, steps: int) -> None:
    """Initialise a recurrent network so that the units of all its layers have memories of all lengths up to `steps`.

    This is chrono initialization (Tallec & Ollivier, 2018, arXiv:1804.11188). With an initial bias of 1, the forget
    gate forgets within four steps; earlier input then hardly reaches the last step and is learned late or never.
    """
    hidden = network.hidden_size
    with torch.no_grad():
        for layer in range(network.num_layers):
            lasting = torch.empty(hidden).uniform_(1.0, max(steps - 1.0, 1.0)).log()
            bias = network.get_parameter(f"bias_ih_l{layer}")
            if isinstance(network, nn.LSTM):
                bias[:hidden] = -lasting  # of the input gate
            bias[hidden : 2 * hidden] = lasting  # of the forget gate; of a GRU, the gate that keeps its state


def freeze_unused(module: nn.Module, output: Tensor) -> None:
    """Freeze the parameters of `module` that its `output` does not depend on.

    They would get no gradient, which processes of a distributed training wait for.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(output.sum(), trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


class PartlyFrozen(nn.Module):
    """A module that keeps its frozen parts in eval mode: their running statistics stay, and they drop nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._frozen: frozenset[str] = frozenset()

    def freeze(self, parts: Iterable[nn.Module]) -> None:
        """Freeze parts for the whole run, in addition to already frozen ones: no gradients, always in eval mode."""
        inside = list(parts)
        for part in inside:
            part.requires_grad_(requires_grad=False)
        self._set_frozen(self._frozen | self._names(inside))

    def keep_in_eval_mode(self, parts: Iterable[nn.Module]) -> None:
        """Keep these parts, and no others, in eval mode from now on."""
        self._set_frozen(self._names(parts))

    def frozen_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the parts that are kept in eval mode."""
        return [parameter for name in self._frozen for parameter in self.get_submodule(name).parameters(recurse=False)]

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of all parts except the frozen ones."""
        super().train(mode)
        for name in self._frozen:  # names, because Lightning replaces batch norm modules to synchronise them
            self.get_submodule(name).training = False
        return self

    def _names(self, parts: Iterable[nn.Module]) -> frozenset[str]:
        inside = {module for part in parts for module in part.modules()}
        return frozenset(name for name, module in self.named_modules() if module in inside)

    def _set_frozen(self, names: frozenset[str]) -> None:
        self._frozen = names
        self.train(self.training)
