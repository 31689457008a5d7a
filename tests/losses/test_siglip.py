from __future__ import annotations

import pytest
import torch
from support.plain_losses import moments, plain_siglip, unit

from revalexo_clip.losses import Overlap, SigLIP
from revalexo_clip.losses.siglip import SigLIPLoss


@pytest.mark.parametrize("block_rows", [None, 2, 4])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("overlap", [None, moments(9)], ids=["all", "without overlaps"])
def test_loss_and_all_gradients_equal_a_plain_reference(
    overlap: Overlap | None, smoothing: float, block_rows: int | None
) -> None:
    imu_ND, video_ND = unit(9, 5, seed=1).requires_grad_(), unit(9, 5, seed=2).requires_grad_()
    loss_module = SigLIPLoss(0.2, bias=-3.0, label_smoothing=smoothing, block_rows=block_rows).double()
    loss = loss_module(imu_ND, video_ND, overlap)
    found = torch.autograd.grad(loss, [imu_ND, video_ND, loss_module.log_scale, loss_module.bias])

    log_scale, bias = (x.detach().clone().requires_grad_() for x in (loss_module.log_scale, loss_module.bias))
    expected = plain_siglip(imu_ND, video_ND, log_scale.exp(), bias, overlap, smoothing=smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    wanted = torch.autograd.grad(expected, [imu_ND, video_ND, log_scale, bias])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


def test_the_loss_of_large_logits_is_exact() -> None:
    same_ND = unit(1, 3, seed=1).expand(2, 3)
    loss = SigLIPLoss(0.01, bias=0.0).double()(same_ND, same_ND)
    assert loss.item() == pytest.approx(100, rel=1e-6), "one wrong yes for each window, at a logit of 100"


def test_initial_values_are_the_published_ones() -> None:
    loss_module = SigLIP().build()
    assert loss_module.temperature.item() == pytest.approx(1 / 10)
    assert loss_module.get_parameter("bias").item() == -10
    assert loss_module.chance(moments(9)) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_change_the_precision_of_the_loss(dtype: torch.dtype) -> None:
    imu_ND, video_ND = unit(16, 8, seed=1).to(dtype), unit(16, 8, seed=2).to(dtype)
    exact = SigLIPLoss(0.1, bias=-10.0).double()(imu_ND.double(), video_ND.double())
    for block_rows in (None, 5):
        loss_module = SigLIPLoss(0.1, bias=-10.0, block_rows=block_rows)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            under_autocast = loss_module(imu_ND.requires_grad_(), video_ND)
            under_autocast.backward()
        assert under_autocast.dtype == torch.float32
        assert under_autocast.item() == pytest.approx(exact.item(), rel=1e-6)
