from __future__ import annotations

import pytest
import torch
from support.plain_losses import WINDOW, moments, plain_nearest_neighbours, unit
from torch import Tensor

from revalexo_clip.losses import Overlap
from revalexo_clip.losses.nearest_neighbours import NearestNeighboursLoss

COUNT, QUEUE = 9, 12


def elsewhere(count: int) -> Overlap:
    """Windows of recordings that no other windows are of."""
    return Overlap(100 + torch.arange(count), torch.zeros(count, dtype=torch.float64), WINDOW)


def pushed(batches: list[tuple[Tensor, Tensor, Overlap]], queue: int = QUEUE) -> NearestNeighboursLoss:
    module = NearestNeighboursLoss(0.2, queue=queue)
    for batch in batches:
        module.update(*batch)
    return module


def entries(batches: list[tuple[Tensor, Tensor, Overlap]], queue: int) -> list[tuple[Tensor, Tensor, int, float]]:
    """Return the newest entries, in order."""
    found = [
        entry
        for imu_ND, video_ND, overlap in batches
        for entry in zip(imu_ND, video_ND, overlap.recording_N.tolist(), overlap.time_N.tolist(), strict=True)
    ]
    return found[-queue:]


BATCHES = [(unit(5, 4, seed=seed), unit(5, 4, seed=10 + seed), moments(5)) for seed in range(4)]
SCALE = torch.tensor(5.0, dtype=torch.float64)


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("queue", [3, 7, 12])
@pytest.mark.parametrize("overlap", [None, moments(COUNT), elsewhere(COUNT)], ids=["all", "overlapping", "elsewhere"])
def test_the_loss_is_that_of_a_plain_loop_over_the_newest_windows(
    overlap: Overlap | None, queue: int, count: int
) -> None:
    module = pushed(BATCHES[:count], queue)
    imu_ND, video_ND = unit(COUNT, 4, seed=1), unit(COUNT, 4, seed=2)
    expected = plain_nearest_neighbours(imu_ND, video_ND, SCALE, overlap, entries(BATCHES[:count], queue))
    torch.testing.assert_close(module(imu_ND, video_ND, overlap), expected, rtol=1e-6, atol=0, check_dtype=False)


def test_a_window_that_shares_time_with_all_of_the_queue_is_its_own_neighbour() -> None:
    first = Overlap(torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.float64), WINDOW)
    batch = (*BATCHES[0][:2], first)
    overlap = Overlap(torch.tensor([0, 1, 2]), torch.ones(3, dtype=torch.float64), WINDOW)
    imu_ND, video_ND = unit(3, 4, seed=1), unit(3, 4, seed=2)
    expected = plain_nearest_neighbours(imu_ND, video_ND, SCALE, overlap, entries([batch], 5))
    found = pushed([batch], 5)(imu_ND, video_ND, overlap)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0, check_dtype=False)
    neighbour_ND = pushed([batch], 5)._neighbours(imu_ND, batch[0].float(), overlap, slice(0, 3))
    assert torch.equal(neighbour_ND[0], imu_ND[0])
    assert not (neighbour_ND[1:] == imu_ND[1:]).any()


@pytest.mark.long
def test_neighbours_are_constants_and_partners_have_gradients() -> None:
    module = pushed(BATCHES)
    module.direction = "imu_to_video"
    imu_ND, video_ND = unit(COUNT, 4, seed=1).requires_grad_(), unit(COUNT, 4, seed=2).requires_grad_()
    module(imu_ND, video_ND).backward()
    assert imu_ND.grad is None
    assert video_ND.grad is not None
    assert module.log_scale.grad is not None
    assert (video_ND.grad != 0).any(dim=1).all()


def test_until_the_queue_is_full_loss_gradient_and_chance_are_zero() -> None:
    module = pushed(BATCHES[:2])
    loss = module(unit(COUNT, 4, seed=1).requires_grad_(), unit(COUNT, 4, seed=2))
    loss.backward()
    assert loss == 0
    assert module.log_scale.grad == 0
    assert module.chance(moments(COUNT)) == 0
    module.update(*BATCHES[2])
    assert module(unit(COUNT, 4, seed=1), unit(COUNT, 4, seed=2)) > 0
    assert module.chance(moments(COUNT)) == moments(COUNT).candidates().float().log().mean()


def test_computing_the_loss_does_not_change_the_queue() -> None:
    module = pushed(BATCHES)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    for mode in (True, False):
        module.train(mode)(unit(COUNT, 4, seed=1), unit(COUNT, 4, seed=2), moments(COUNT))
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())


def test_a_state_is_restored_bit_for_bit_and_stays_float32() -> None:
    module, restored = pushed(BATCHES), NearestNeighboursLoss(0.5, queue=QUEUE)
    restored.load_state_dict(module.double().state_dict())
    for name, buffer in module.named_buffers():
        assert torch.equal(restored.get_buffer(name), buffer), name
    imu_ND, video_ND = unit(COUNT, 4, seed=1).float(), unit(COUNT, 4, seed=2).float()
    torch.testing.assert_close(restored(imu_ND, video_ND), module(imu_ND, video_ND), check_dtype=False)
    assert restored.imu_bits_QD.view(torch.float32).norm(dim=1).allclose(torch.ones(QUEUE))


@pytest.mark.parametrize("saved", [0, 4])
def test_a_queue_of_another_length_starts_anew(saved: int) -> None:
    longer = NearestNeighboursLoss(0.5, queue=20)
    longer.load_state_dict(pushed(BATCHES[:saved]).state_dict())
    assert longer.temperature.item() == pytest.approx(0.2)
    assert longer.pushed == 0
    longer.update(*BATCHES[0])
    assert longer.imu_bits_QD.shape == (20, 4)
