"""Fused pointwise convolution, batch norm in training and ReLU, fast on a CPU if few channels become many.

The mean and covariance of a linear map's output follow from those of its input. Therefore the wide output maps, which
are large in the first stages of X3D, are written only once, already normalised, and read once in the backward pass.
A separate norm would write and read them several times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable

NARROW = 32
"""Input channels up to which the input's covariance costs less time than it saves."""


CANCELS = 1e-3
"""Share of its largest possible value below which an output's variance has lost too many digits in single precision."""


def centred(x_BCP: Tensor) -> tuple[Tensor, Tensor]:
    """Centre `x` and append a channel of ones, [B, C + 1, P]; also return the means [C] in double precision."""
    batch, channels, places = x_BCP.shape
    mean_C = x_BCP.mean(2).mean(0)
    x1_BDP = x_BCP.new_empty(batch, channels + 1, places)
    torch.sub(x_BCP, mean_C[:, None], out=x1_BDP[:, :channels])
    x1_BDP[:, channels] = 1
    return x1_BDP, mean_C.double()


def spread(x1_BDP: Tensor, weight_OC: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the covariance of outputs and inputs [O, C] and the variance of outputs [O], given centred inputs.

    If channels nearly cancel in an output, its variance is a small difference of large covariances. These are then
    computed in double precision.
    """
    for deviations_BCP in (x1_BDP[:, :-1], x1_BDP[:, :-1].double()):
        products_CC = torch.bmm(deviations_BCP, deviations_BCP.transpose(1, 2)).double().sum(0)
        covariance_CC = products_CC / (len(x1_BDP) * x1_BDP.shape[2])
        spread_OC = weight_OC @ covariance_CC
        variance_O = (spread_OC * weight_OC).sum(1).clamp(min=0)
        largest_O = (weight_OC.abs() @ covariance_CC.diagonal().sqrt()).square()
        if (variance_O >= CANCELS * largest_O).all():
            break
    return spread_OC, variance_O


class _NormedPointwise(torch.autograd.Function):
    """The fused operation. Small matrices are in double precision. C: channels in, O: out, D: C + 1, P: positions."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x_BCP: Tensor, weight_OC: Tensor, affine_2O: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        x1_BDP, mean_C = centred(x_BCP)
        weight_OC, (gain_O, bias_O) = weight_OC.double(), affine_2O.double()
        spread_OC, variance_O = spread(x1_BDP, weight_OC)
        inverse_O = (variance_O + eps).rsqrt()
        scaled_OC = (gain_O * inverse_O)[:, None] * weight_OC
        matrix_OD = torch.cat((scaled_OC, bias_O[:, None]), dim=1).to(x_BCP.dtype)
        y_BOP = x_BCP.new_empty(len(x_BCP), len(weight_OC), x_BCP.shape[2])
        for x1_DP, y_OP in zip(x1_BDP, y_BOP, strict=True):
            torch.mm(matrix_OD, x1_DP, out=y_OP).relu_()
        ctx.save_for_backward(x1_BDP, y_BOP, weight_OC, scaled_OC, gain_O, inverse_O, spread_OC)
        statistics_2O = torch.stack((weight_OC @ mean_C, variance_O))
        ctx.mark_non_differentiable(statistics_2O)
        return y_BOP, statistics_2O

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        x1_BDP, y_BOP, weight_OC, scaled_OC, gain_O, inverse_O, spread_OC = saved
        grad_OD, grad_BCP = _through_the_product(grads[0], y_BOP, x1_BDP, scaled_OC.to(y_BOP.dtype))
        grad_OC, grad_bias_O = grad_OD[:, :-1], grad_OD[:, -1]
        grad_gain_O = inverse_O * (grad_OC * weight_OC).sum(1)
        grad_weight_OC = (gain_O * inverse_O)[:, None] * (grad_OC - (inverse_O * grad_gain_O)[:, None] * spread_OC)
        by_variance_CC = weight_OC.T @ ((gain_O * grad_gain_O * inverse_O.square())[:, None] * weight_OC)
        by_mean_C = scaled_OC.T @ grad_bias_O
        statistics_CD = torch.cat((by_variance_CC, by_mean_C[:, None]), dim=1) / -(len(y_BOP) * y_BOP.shape[2])
        grad_BCP.baddbmm_(statistics_CD.to(y_BOP.dtype).expand(len(y_BOP), -1, -1), x1_BDP)
        grad_affine_2O = torch.stack((grad_gain_O, grad_bias_O)).to(y_BOP.dtype)
        return grad_BCP, grad_weight_OC.to(y_BOP.dtype), grad_affine_2O, None


def _through_the_product(grad_BOP: Tensor, y_BOP: Tensor, x1_BDP: Tensor, matrix_OC: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the gradients of y = relu(matrix x1) with respect to the matrix and to x1 without its ones.

    Samples are processed one by one, so that intermediate results are still in the cache when they are read.
    """
    grad_OD = torch.zeros(len(matrix_OC), x1_BDP.shape[1], dtype=torch.float64)
    grad_BCP = x1_BDP.new_empty(len(x1_BDP), matrix_OC.shape[1], x1_BDP.shape[2])
    for grad_OP, y_OP, x1_DP, grad_CP in zip(grad_BOP, y_BOP, x1_BDP, grad_BCP, strict=True):
        inner_OP = torch.ops.aten.threshold_backward(grad_OP, y_OP, 0)
        grad_OD += torch.mm(inner_OP, x1_DP.T)
        torch.mm(matrix_OC.T, inner_OP, out=grad_CP)
    return grad_OD, grad_BCP


normed_pointwise = cast("Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]", _NormedPointwise.apply)
"""[B, C, P], weight [O, C], gain and bias [2, O], eps -> [B, O, P], and the mean and variance [2, O] of the
convolution's output, in double precision."""
