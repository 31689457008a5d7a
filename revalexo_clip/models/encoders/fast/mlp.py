"""A transformer's two-layer network, computed some tokens at a time: it stores at most one of its wide activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable
from torch.utils.checkpoint import checkpoint

from revalexo_clip.models.encoders.fast.convolution import are_plain, suits_cpu_forms, suits_own_gradients

NARROW = 96
"""Input channels up to which the first matrix product is also repeated, because it is cheap compared to storing it."""

WIDE = 2**21
"""Numbers of a wide activation that are computed at a time: 8 MB of floats. The allocator reuses blocks of this size;
the system clears larger ones at each allocation."""


class RecomputedMlp(nn.Module):
    """Replacement of PyTorchVideo's `Mlp`, with the same submodules under the same names.

    [..., C] -> fc1 -> GELU -> fc2 -> [..., C']. On a CPU, the GELU is computed again in the backward pass (Chen et al.,
    2016, arXiv:1604.06174).
    """

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        assert plain.dropout_rate == 0
        self.fc1, self.act, self.fc2 = (plain.get_submodule(name) for name in ("fc1", "act", "fc2"))
        assert isinstance(self.act, nn.GELU)
        assert self.act.approximate == "none"

    def forward(self, x: Tensor) -> Tensor:
        """Compute fc2(act(fc1(x)))."""
        fc1, fc2 = cast("nn.Linear", self.fc1), cast("nn.Linear", self.fc2)
        learns = torch.is_grad_enabled() and (x.requires_grad or any(each.requires_grad for each in self.parameters()))
        if suits_own_gradients(x) and are_plain(fc1, fc2):
            keeps = learns and x.shape[-1] > NARROW
            y_RO = _by_rows(x.flatten(0, -2), keeps, fc1.weight, fc1.bias, fc2.weight, fc2.bias)
            return y_RO.view(*x.shape[:-1], y_RO.shape[1])
        if suits_cpu_forms(x) and learns:
            y: Tensor = checkpoint(self._last, fc1(x), use_reentrant=False, preserve_rng_state=False)
            return y
        return self._last(fc1(x))

    def _last(self, hidden: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.act(hidden))
        return y


class _ByRows(torch.autograd.Function):
    """Both layers and the GELU, computed in parts. R: rows, P: rows of a part, C: channels in, W: wide, O: out."""

    @staticmethod
    def forward(ctx: FunctionCtx, x_RC: Tensor, keeps: bool, *parameters: Tensor) -> Tensor:
        fc1_WC, bias1_W, fc2_OW, bias2_O = parameters
        rows, wide = len(x_RC), len(fc1_WC)
        hidden_RW = x_RC.new_empty(rows if keeps else 0, wide)
        y_RO = x_RC.new_empty(rows, len(fc2_OW))
        for part in _parts(rows, wide):
            hidden_PW = torch.addmm(bias1_W, x_RC[part], fc1_WC.T, out=hidden_RW[part] if keeps else None)
            torch.addmm(bias2_O, nn.functional.gelu(hidden_PW), fc2_OW.T, out=y_RO[part])
        ctx.save_for_backward(x_RC, hidden_RW, fc1_WC, bias1_W, fc2_OW)
        return y_RO

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_RC, hidden_RW, fc1_WC, bias1_W, fc2_OW = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        grad_RO = grads[0]
        needs_x, _, *needs = cast("tuple[bool, ...]", ctx.needs_input_grad)
        grad_x_RC = torch.empty_like(x_RC)
        grad_fc1_WC, grad_fc2_OW = torch.zeros_like(fc1_WC), torch.zeros_like(fc2_OW)
        grad_bias1_W = torch.zeros_like(bias1_W)
        for part in _parts(len(x_RC), len(fc1_WC)):
            x_PC, grad_PO = x_RC[part], grad_RO[part]
            hidden_PW = hidden_RW[part] if len(hidden_RW) else torch.addmm(bias1_W, x_PC, fc1_WC.T)
            if needs[2]:
                grad_fc2_OW.addmm_(grad_PO.T, nn.functional.gelu(hidden_PW))
            grad_PW = torch.ops.aten.gelu_backward(torch.mm(grad_PO, fc2_OW), hidden_PW)
            if needs[0]:
                grad_fc1_WC.addmm_(grad_PW.T, x_PC)
            if needs[1]:
                grad_bias1_W += grad_PW.sum(0)
            if needs_x:
                torch.mm(grad_PW, fc1_WC, out=grad_x_RC[part])
        return grad_x_RC, None, grad_fc1_WC, grad_bias1_W, grad_fc2_OW, grad_RO.sum(0)


def _parts(rows: int, wide: int) -> Iterator[slice]:
    """Divide the rows evenly into parts of at most about `WIDE` numbers."""
    count = max(1, ceil(rows * wide / WIDE))
    size = max(1, ceil(rows / count))
    return (slice(first, first + size) for first in range(0, rows, size))


_by_rows = cast("Callable[..., Tensor]", _ByRows.apply)
