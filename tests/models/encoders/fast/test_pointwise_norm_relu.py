from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast.pointwise_norm_relu import normed_pointwise


def plain(x_BCP: Tensor, weight_OC: Tensor, affine_2O: Tensor, eps: float) -> Tensor:
    y_BOP = weight_OC @ x_BCP
    deviation = y_BOP - y_BOP.mean((0, 2), keepdim=True)
    normed = deviation / (deviation.square().mean((0, 2), keepdim=True) + eps).sqrt()
    return (normed * affine_2O[0, :, None] + affine_2O[1, :, None]).relu()


@pytest.mark.long
@pytest.mark.parametrize("places", [20, 2])
def test_output_gradients_and_statistics_equal_those_of_three_steps(places: int) -> None:
    torch.manual_seed(0)
    x = (torch.randn(3, 4, places, dtype=torch.float64) + 2).requires_grad_()
    weight = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    affine = torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    got, statistics_2O = normed_pointwise(x, weight, affine, 1e-3)
    want = plain(x, weight, affine, 1e-3)
    upstream = torch.randn_like(want)
    found = [torch.autograd.grad(y, [x, weight, affine], upstream) for y in (got, want)]
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)
    norm = nn.BatchNorm1d(7, momentum=1).double()
    norm(weight @ x)
    unbiased = statistics_2O[1] * (3 * places / (3 * places - 1))
    torch.testing.assert_close(torch.stack((statistics_2O[0], unbiased)), torch.stack([*norm.buffers()][:2]))


def test_single_precision_holds_far_from_zero() -> None:
    torch.manual_seed(0)
    x, weight, affine = torch.randn(2, 24, 500).abs() + 30, torch.randn(54, 24), torch.ones(2, 54)
    got, _ = normed_pointwise(x, weight, affine, 1e-5)
    torch.testing.assert_close(
        got.double(), plain(x.double(), weight.double(), affine.double(), 1e-5), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("shared", [False, True], ids=["a constant", "a signal that cancels"])
def test_single_precision_holds_for_small_differences_of_a_thousandfold(shared: bool) -> None:
    torch.manual_seed(0)
    differences = torch.randn(3, 4, 500)
    weight = torch.randn(7, 4)
    if shared:
        weight[:, 0] = -weight[:, 1:].sum(dim=1)  # the outputs do not see the signal
    x = differences + 1000 * (torch.randn(3, 1, 500) if shared else 1)
    affine = torch.ones(2, 7)
    single = [part.requires_grad_() for part in (x, weight, affine)]
    double = [part.detach().double().requires_grad_() for part in single]
    got, _ = normed_pointwise(single[0], single[1], single[2], 1e-5)
    want = plain(double[0], double[1], double[2], 1e-5)
    assert (got - want).abs().max() < 1e-3
    upstream = torch.randn_like(want)
    for found, expected in zip(
        torch.autograd.grad(got, single, upstream.float()), torch.autograd.grad(want, double, upstream), strict=True
    ):
        assert (found - expected).norm() < 1e-3 * expected.norm()
