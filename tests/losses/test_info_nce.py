from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from support.plain_losses import WINDOW, moments, plain_info_nce, unit
from torch import Tensor

from revalexo_clip.losses import InfoNCE, Overlap
from revalexo_clip.losses.info_nce import Direction, InfoNCELoss


@pytest.mark.parametrize("block_rows", [None, 2, 4])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("direction", ["both", "imu_to_video", "video_to_imu"])
@pytest.mark.parametrize("overlap", [None, moments(9)], ids=["all", "without overlaps"])
def test_loss_and_all_gradients_equal_a_plain_reference(
    overlap: Overlap | None, direction: Direction, smoothing: float, block_rows: int | None
) -> None:
    imu_ND, video_ND = unit(9, 5, seed=1).requires_grad_(), unit(9, 5, seed=2).requires_grad_()
    loss_module = InfoNCELoss(0.07, direction=direction, label_smoothing=smoothing, block_rows=block_rows).double()
    loss = loss_module(imu_ND, video_ND, overlap)
    found = torch.autograd.grad(loss, [imu_ND, video_ND, loss_module.log_scale])

    log_scale = loss_module.log_scale.detach().clone().requires_grad_()
    expected = plain_info_nce(imu_ND, video_ND, log_scale.exp(), overlap, direction=direction, smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    wanted = torch.autograd.grad(expected, [imu_ND, video_ND, log_scale])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_of_a_single_pair_is_zero(smoothing: float) -> None:
    imu_ND, video_ND = unit(1, 3, seed=1).requires_grad_(), unit(1, 3, seed=2)
    loss = InfoNCELoss(0.1, label_smoothing=smoothing)(imu_ND, video_ND)
    loss.backward()
    assert loss == 0
    assert imu_ND.grad is not None
    assert (imu_ND.grad == 0).all()


@pytest.mark.parametrize("block_rows", [None, 1])
def test_the_loss_is_zero_if_all_other_windows_overlap(block_rows: int | None) -> None:
    imu_ND, video_ND = unit(4, 3, seed=1).requires_grad_(), unit(4, 3, seed=2)
    together = Overlap(torch.zeros(4), torch.arange(4) / 4, WINDOW)
    loss = InfoNCELoss(0.1, block_rows=block_rows)(imu_ND, video_ND, together)
    loss.backward()
    assert loss == 0
    assert imu_ND.grad is not None
    assert (imu_ND.grad == 0).all()


def test_the_loss_of_equal_embeddings_is_the_log_of_the_batch_size() -> None:
    same_ND = unit(1, 3, seed=1).expand(8, 3)
    assert InfoNCELoss(0.1)(same_ND, same_ND).item() == pytest.approx(math.log(8))
    loss_module = InfoNCELoss(0.1, label_smoothing=0.2, block_rows=3)
    found = loss_module.chance(moments(8))
    assert found is not None
    chance = found.item()
    assert loss_module(same_ND, same_ND, moments(8)).item() == pytest.approx(chance)
    assert chance < math.log(8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_change_the_precision_of_the_loss(dtype: torch.dtype) -> None:
    loss_module = InfoNCELoss(0.02)
    imu_ND, video_ND = unit(16, 8, seed=1).to(dtype), unit(16, 8, seed=2).to(dtype)
    exact = InfoNCELoss(0.02).double()(imu_ND.double(), video_ND.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = loss_module(imu_ND, video_ND)
    assert under_autocast.dtype == torch.float32
    assert under_autocast.item() == pytest.approx(exact.item(), rel=1e-6)


def test_temperature_starts_at_its_setting() -> None:
    assert InfoNCE(temperature=0.25).build().temperature.item() == pytest.approx(0.25)


@pytest.mark.parametrize("temperature", [0.009, 1.1, 0.0, -0.1])
def test_temperature_outside_its_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        InfoNCE(temperature=temperature)


@pytest.mark.parametrize(("found", "bound"), [(True, 0.01), (False, 1.0)])
def test_temperature_stays_in_its_range_and_comes_back_when_the_gradient_turns(found: bool, bound: float) -> None:
    imu_ND = unit(8, 4, seed=1)
    # A lower temperature reduces the loss if every partner is the nearest, and raises it if every one is the farthest.
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
def test_a_temperature_out_of_bounds_has_the_loss_and_the_gradient_of_the_bound(overshoot: float, bound: float) -> None:
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
