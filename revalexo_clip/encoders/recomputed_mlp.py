"""A transformer's two-layer network that keeps one of its two wide activations for the backward pass, not both."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from revalexo_clip.encoders.forms import suits_cpu_forms

NARROW = 96
"""Channels up to which the first matrix product is repeated as well: there it is cheap beside what it would keep."""


class RecomputedMlp(nn.Module):
    """Takes the place of PyTorchVideo's `Mlp`, with its submodules under their names.

    [..., C] -> fc1 -> GELU -> fc2 -> [..., C']; on a CPU the GELU is computed again where its result is needed (Chen
    et al., 2016, arXiv:1604.06174). That ends as soon as the result is there: the second product is not repeated.
    """

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        assert plain.dropout_rate == 0
        self.fc1, self.act, self.fc2 = (plain.get_submodule(name) for name in ("fc1", "act", "fc2"))

    def forward(self, x: Tensor) -> Tensor:
        """The same as fc2(act(fc1(x)))."""
        if not suits_cpu_forms(x) or not x.requires_grad or not torch.is_grad_enabled():
            return self._last(self.fc1(x))
        if x.shape[-1] <= NARROW:
            return _recomputed(self._all, x)
        return _recomputed(self._last, self.fc1(x))

    def _all(self, x: Tensor) -> Tensor:
        return self._last(self.fc1(x))

    def _last(self, hidden: Tensor) -> Tensor:
        narrow: Tensor = self.fc2(self.act(hidden))
        return narrow


def _recomputed(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    y: Tensor = checkpoint(function, x, use_reentrant=False, preserve_rng_state=False)
    return y
