from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast.batch_norm import FastBatchNorm3d, moments
from revalexo_clip.models.encoders.fast.x3d import speed_up


def maps(dtype: torch.dtype = torch.float64) -> Tensor:
    """Return [3, 5, 2, 4, 7]: channels of different scales, the last one constant."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 2, 4, 7, generator=generator, dtype=torch.float64) * 2 + 1
    x[:, 4] = 3
    return x.to(dtype)


def plain_and_fast() -> tuple[nn.BatchNorm3d, nn.BatchNorm3d]:
    torch.manual_seed(0)
    plain = nn.BatchNorm3d(5, eps=1e-3, momentum=0.3).double()
    nn.init.uniform_(plain.weight, 0.5, 1.5)
    nn.init.normal_(plain.bias)
    fast = copy.deepcopy(plain)
    speed_up(nn.Sequential(fast))
    assert type(fast) is FastBatchNorm3d
    return plain, fast


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
def test_output_gradients_and_statistics_equal_those_of_batch_norm(training: bool, transposed: bool) -> None:
    outcomes = []
    for norm in plain_and_fast():
        norm.train(training)
        x = maps().requires_grad_()
        y = norm(x.transpose(3, 4) if transposed else x)
        norm(y.detach() + 1)
        upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        outcomes.append((y, *torch.autograd.grad(y, [x, *norm.parameters()], upstream), norm.state_dict()))
    torch.testing.assert_close(outcomes[1], outcomes[0], rtol=1e-10, atol=1e-11)


def test_frozen_parameters_get_no_gradient() -> None:
    _, norm = plain_and_fast()
    norm.requires_grad_(requires_grad=False)
    x = maps().requires_grad_()
    norm(x).square().sum().backward()
    assert x.grad is not None
    assert norm.weight.grad is None


@pytest.mark.parametrize("mean", [0.0, 30.0, 3000.0])
def test_variance_keeps_its_digits_far_from_zero(mean: float) -> None:
    x = (maps() - 1 + mean).float()
    _, variance_C = moments(x)
    expected_C = x.double().var((0, 2, 3, 4), correction=0)
    torch.testing.assert_close(variance_C, expected_C, rtol=2e-4, atol=1e-7)


def test_a_single_number_for_a_channel_is_refused_as_by_the_library() -> None:
    _, norm = plain_and_fast()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(torch.randn(1, 5, 1, 1, 1, dtype=torch.float64))


@pytest.mark.parametrize("norm", [nn.BatchNorm3d(5, affine=False), nn.BatchNorm3d(5, track_running_stats=False)])
def test_other_norms_keep_their_form(norm: nn.BatchNorm3d) -> None:
    speed_up(nn.Sequential(norm))
    assert type(norm) is nn.BatchNorm3d
