from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from revalexo_clip.losses import InfoNCE
from revalexo_clip.losses.info_nce import InfoNCELoss


def unit(count: int, dim: int, seed: int) -> Tensor:
    x_ND = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x_ND, dim=1)


def plain_info_nce(imu_ND: Tensor, video_ND: Tensor, temperature: Tensor, excluded: list[list[bool]]) -> Tensor:
    """-log of the partner's share among all candidates that are not excluded, averaged over both directions."""
    count = len(imu_ND)
    similarity = [[(imu_ND[i] * video_ND[j]).sum() / temperature for j in range(count)] for i in range(count)]
    total = torch.zeros((), dtype=torch.float64)
    for i in range(count):
        candidates = [j for j in range(count) if j == i or not excluded[i][j]]
        total = total - similarity[i][i] + torch.stack([similarity[i][j] for j in candidates]).exp().sum().log()
        candidates = [j for j in range(count) if j == i or not excluded[j][i]]
        total = total - similarity[i][i] + torch.stack([similarity[j][i] for j in candidates]).exp().sum().log()
    return total / (2 * count)


@pytest.mark.parametrize("excluding", [False, True])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_loss_and_all_gradients_equal_a_plain_reference(count: int, excluding: bool) -> None:
    imu_ND, video_ND = unit(count, 5, seed=1).requires_grad_(), unit(count, 5, seed=2).requires_grad_()
    # Neither symmetric nor free of the diagonal: both directions and the partner have to be looked after.
    excluded_NN = torch.rand(count, count, generator=torch.Generator().manual_seed(3)) < 0.4
    loss_module = InfoNCELoss(0.07).double()
    loss = loss_module(imu_ND, video_ND, excluded_NN if excluding else None)
    gradients = torch.autograd.grad(loss, [imu_ND, video_ND, loss_module.log_scale])

    log_scale = torch.tensor(-math.log(0.07), dtype=torch.float64, requires_grad=True)
    excluded = excluded_NN.tolist() if excluding else [[False] * count] * count
    expected = plain_info_nce(imu_ND, video_ND, (-log_scale).exp(), excluded)
    expected_gradients = torch.autograd.grad(expected, [imu_ND, video_ND, log_scale])

    # log_scale starts as a float32.
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-8)


def test_with_every_other_window_excluded_nothing_is_left_to_learn() -> None:
    imu_ND, video_ND = unit(4, 3, seed=1).requires_grad_(), unit(4, 3, seed=2)
    loss = InfoNCELoss(0.1)(imu_ND, video_ND, torch.ones(4, 4, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert imu_ND.grad is not None
    assert (imu_ND.grad == 0).all()


def test_embeddings_that_are_all_alike_cost_log_of_the_batch() -> None:
    same_ND = unit(1, 3, seed=1).expand(8, 3)
    assert InfoNCELoss(0.1)(same_ND, same_ND).item() == pytest.approx(math.log(8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_touch_the_precision_of_the_loss(dtype: torch.dtype) -> None:
    loss_module = InfoNCELoss(0.02)
    imu_ND, video_ND = unit(16, 8, seed=1).to(dtype), unit(16, 8, seed=2).to(dtype)
    exact = InfoNCELoss(0.02).double()(imu_ND.double(), video_ND.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = loss_module(imu_ND, video_ND)
    assert under_autocast.dtype == torch.float32
    assert under_autocast.item() == pytest.approx(exact.item(), rel=1e-6)


def test_temperature_starts_where_it_is_set() -> None:
    assert InfoNCE(temperature=0.25).build().temperature.item() == pytest.approx(0.25)


@pytest.mark.parametrize("temperature", [0.009, 1.1, 0.0, -0.1])
def test_temperature_outside_its_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        InfoNCE(temperature=temperature)


@pytest.mark.parametrize(("found", "bound"), [(True, 0.01), (False, 1.0)])
def test_temperature_stays_in_its_range_and_comes_back_when_the_gradient_turns(found: bool, bound: float) -> None:
    imu_ND = unit(8, 4, seed=1)
    # Sharper is better where every partner is found, and worse where every partner is the farthest of all.
    video_ND, turned_ND = (imu_ND, -imu_ND) if found else (-imu_ND, imu_ND)
    loss_module = InfoNCELoss(0.1)
    optimizer = torch.optim.AdamW(loss_module.parameters(), lr=0.3, weight_decay=0)

    def step(target_ND: Tensor) -> float:
        optimizer.zero_grad()
        loss_module(imu_ND, target_ND).backward()
        optimizer.step()
        return loss_module.temperature.item()

    reached = [step(video_ND) for _ in range(50)]
    assert all(0.01 - 1e-6 <= temperature <= 1 + 1e-6 for temperature in reached)
    assert reached[-1] == pytest.approx(bound, rel=0.01)
    back = [step(turned_ND) for _ in range(40)]
    assert abs(math.log(back[-1] / bound)) > 1


@pytest.mark.parametrize(("overshoot", "bound"), [(5.0, 0.01), (-5.0, 1.0)])
def test_a_temperature_that_a_step_carried_out_has_the_loss_and_the_gradient_of_the_bound(
    overshoot: float, bound: float
) -> None:
    imu_ND, video_ND = unit(8, 4, seed=1), unit(8, 4, seed=2)
    at_bound, outside = InfoNCELoss(bound), InfoNCELoss(bound)
    with torch.no_grad():
        outside.log_scale.add_(overshoot)
    assert outside.temperature.item() == pytest.approx(bound)
    for loss_module in (at_bound, outside):
        loss_module(imu_ND, video_ND).backward()
    assert outside.log_scale.grad is not None
    assert outside.log_scale.grad != 0
    torch.testing.assert_close(outside.log_scale.grad, at_bound.log_scale.grad)


def test_validation_without_gradients_works_with_a_temperature_out_of_bounds() -> None:
    loss_module = InfoNCELoss(0.01)
    with torch.no_grad():
        loss_module.log_scale.add_(1)
    with torch.inference_mode():
        assert loss_module(unit(4, 3, seed=1), unit(4, 3, seed=2)).isfinite()
    assert loss_module.temperature.item() == pytest.approx(0.01)
