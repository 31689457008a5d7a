from __future__ import annotations

import math

import pytest
import torch
from support.plain_losses import moments, plain_queue_distillation, unit
from torch import Tensor

from revalexo_clip.losses import QueueDistillation
from revalexo_clip.losses.queue_distillation import QueueDistillationLoss

COUNT, DIM = 7, 4
STUDENT, TEACHER = 0.3, 0.2
VIDEOS = [unit(5, DIM, seed=10 + seed) for seed in range(4)]


def pushed(batches: int, queue: int = 12, block_rows: int | None = None) -> QueueDistillationLoss:
    settings = QueueDistillation(
        queue=queue, student_temperature=STUDENT, teacher_temperature=TEACHER, block_rows=block_rows
    )
    module = QueueDistillationLoss(settings)
    for video_ND in VIDEOS[:batches]:
        module.update(unit(5, DIM, seed=0), video_ND, moments(5))
    return module


def expected(imu_ND: Tensor, video_ND: Tensor, batches: int, queue: int = 12) -> Tensor:
    entries = torch.cat([*VIDEOS[:batches], torch.zeros(0, DIM)])[-queue:].float().double()
    return plain_queue_distillation(imu_ND, video_ND, entries, student=STUDENT, teacher=TEACHER)


@pytest.mark.parametrize("block_rows", [None, 2])
@pytest.mark.parametrize("batches", [0, 1, 3, 4])
@pytest.mark.parametrize("queue", [3, 12])
def test_the_loss_and_its_gradient_are_those_of_a_plain_loop(queue: int, batches: int, block_rows: int | None) -> None:
    imu_ND, video_ND = unit(COUNT, DIM, seed=1).requires_grad_(), unit(COUNT, DIM, seed=2)
    loss = pushed(batches, queue, block_rows)(imu_ND, video_ND, moments(COUNT))
    plain = expected(imu_ND, video_ND, batches, queue)
    torch.testing.assert_close(loss, plain, rtol=1e-10, atol=1e-14)
    (found,), (wanted,) = torch.autograd.grad(loss, imu_ND), torch.autograd.grad(plain, imu_ND)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)
    assert bool(found.any()) is (batches > 0)


def test_the_teacher_has_no_gradient() -> None:
    imu_ND, video_ND = unit(COUNT, DIM, seed=1).requires_grad_(), unit(COUNT, DIM, seed=2).requires_grad_()
    pushed(4)(imu_ND, video_ND).backward()
    assert video_ND.grad is None
    assert not list(pushed(4).parameters())


def test_a_student_that_is_equal_to_the_teacher_has_the_entropy_of_the_teacher_which_is_least() -> None:
    module, video_ND = pushed(4), unit(COUNT, DIM, seed=2)
    module.student_temperature = module.teacher_temperature
    student_ND = video_ND.clone().requires_grad_()
    loss = module(student_ND, video_ND)
    (gradient_ND,) = torch.autograd.grad(loss, student_ND)
    torch.testing.assert_close(gradient_ND, torch.zeros_like(gradient_ND), rtol=0, atol=1e-12)
    for seed in range(3):
        assert module(unit(COUNT, DIM, seed=seed + 5), video_ND) > loss


@pytest.mark.parametrize(("batches", "candidates"), [(0, 1), (2, 11), (4, 13)])
def test_chance_is_the_loss_of_a_student_that_is_as_similar_to_all_videos(batches: int, candidates: int) -> None:
    chance = pushed(batches).chance(moments(COUNT))
    assert chance is not None
    assert chance.item() == pytest.approx(math.log(candidates))
    loss = pushed(batches)(torch.zeros(COUNT, DIM), unit(COUNT, DIM, seed=2).float())
    torch.testing.assert_close(loss, chance)


def test_a_window_that_is_in_the_queue_too_stays_a_candidate() -> None:
    """The teacher gives it its share: leaving it out would change the loss."""
    video_ND = VIDEOS[3].float().double()
    overlap = moments(5)
    found = pushed(4)(video_ND, video_ND, overlap)
    torch.testing.assert_close(found, expected(video_ND, video_ND, 4), rtol=1e-10, atol=1e-14)
    assert abs(found - expected(video_ND, video_ND, 3)) > 0.01


def test_a_state_is_restored_bit_for_bit_and_one_of_another_length_starts_anew() -> None:
    module, restored = pushed(3), pushed(0)
    restored.load_state_dict(module.double().state_dict())
    imu_ND, video_ND = unit(COUNT, DIM, seed=1), unit(COUNT, DIM, seed=2)
    assert torch.equal(restored(imu_ND, video_ND), module(imu_ND, video_ND))
    for one in (module, restored):
        one.update(imu_ND, video_ND, moments(COUNT))
    assert all(torch.equal(buffer, restored.get_buffer(name)) for name, buffer in module.named_buffers())
    longer = pushed(0, queue=20)
    longer.load_state_dict(module.state_dict())
    assert longer.pushed == 0
    assert longer(imu_ND, video_ND) == 0
