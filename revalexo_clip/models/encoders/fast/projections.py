"""Queries, keys and values of the same tokens, fast on a CPU: their gradients are added up by the matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, once_differentiable

Parameters: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Weight [C', C] and bias [C'] for queries, for keys, and for values."""


def projected(
    x_BNC: Tensor, asking: int, met_M: Tensor | None, linear: tuple[nn.Linear, nn.Linear, nn.Linear]
) -> tuple[Tensor, Tensor, Tensor]:
    """The first A tokens as queries [B, A, C'], and those at `met_M`, or all, as keys and values [B, M, C']."""
    q, k, v = linear
    return _projected(x_BNC, asking, met_M, q.weight, q.bias, k.weight, k.bias, v.weight, v.bias)


class _Projected(torch.autograd.Function):
    """R: tokens of all samples."""

    @staticmethod
    def forward(
        ctx: _Saved, x_BNC: Tensor, asking: int, met_M: Tensor | None, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        q_CC, q_C, k_CC, k_C, v_CC, v_C = parameters
        x_BAC = x_BNC[:, :asking]
        x_BMC = x_BNC if met_M is None else x_BNC.index_select(1, met_M)
        ctx.save_for_backward(x_BNC, x_BMC, q_CC, k_CC, v_CC)
        ctx.met_M = met_M
        linear = nn.functional.linear
        return linear(x_BAC, q_CC, q_C), linear(x_BMC, k_CC, k_C), linear(x_BMC, v_CC, v_C)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Saved, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_BNC, x_BMC, q_CC, k_CC, v_CC = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        q_RC, k_RC, v_RC = (grad.flatten(0, 1) for grad in grads)
        asking = grads[0].shape[1]
        needs_x, _, _, *needs = cast("tuple[bool, ...]", ctx.needs_input_grad)
        grad_x_BNC = None
        if needs_x:
            grad_x_BNC = _from_first(torch.mm(q_RC, q_CC), x_BNC, asking)
            if ctx.met_M is None:
                grad_x_BNC.view(-1, x_BNC.shape[2]).addmm_(k_RC, k_CC).addmm_(v_RC, v_CC)
            else:
                grad_x_BNC.index_add_(1, ctx.met_M, torch.mm(k_RC, k_CC).addmm_(v_RC, v_CC).view(x_BMC.shape))
        asking_RC, met_RC = x_BNC[:, :asking].flatten(0, 1), x_BMC.flatten(0, 1)
        gradients: list[Tensor | None] = []
        maps = ((q_RC, asking_RC), (k_RC, met_RC), (v_RC, met_RC))
        for (grad_RC, x_RC), needs_weight, needs_bias in zip(maps, needs[::2], needs[1::2], strict=True):
            gradients.append(torch.mm(grad_RC.T, x_RC) if needs_weight else None)
            gradients.append(grad_RC.sum(0) if needs_bias else None)
        return grad_x_BNC, None, None, *gradients


class _Saved(BackwardCFunction):
    met_M: Tensor | None


def _from_first(grad_RC: Tensor, x_BNC: Tensor, first: int) -> Tensor:
    """Gradients [R, C] of the first tokens of every sample -> those of all tokens."""
    if first == x_BNC.shape[1]:
        return grad_RC.view(x_BNC.shape)
    grad_x_BNC = x_BNC.new_zeros(x_BNC.shape)
    grad_x_BNC[:, :first] = grad_RC.view(len(x_BNC), first, x_BNC.shape[2])
    return grad_x_BNC


_projected = cast("Callable[..., tuple[Tensor, Tensor, Tensor]]", _Projected.apply)
