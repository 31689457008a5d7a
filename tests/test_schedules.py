"""Learning rate schedules: their shape, their ends, and a restored schedule."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from revalexo_clip.optim import Adam, AdamW, cosine


def test_learning_rate_of_every_group_falls_from_lr_to_final_lr_over_the_steps() -> None:
    optimizer, schedule = AdamW(lr=1e-3, final_lr=1e-5).build(nn.Linear(2, 2), steps=20)
    rates = []
    for _ in range(25):
        assert len({group["lr"] for group in optimizer.param_groups}) == 1
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == 1e-3
    assert rates[:20] == sorted(rates[:20], reverse=True)
    assert rates[10] == pytest.approx((1e-3 + 1e-5) / 2)
    assert rates[20:] == pytest.approx([1e-5] * 5)


def test_a_restored_schedule_continues_at_its_saved_step() -> None:
    recipe = AdamW(lr=1e-3, final_lr=1e-5)
    optimizer, schedule = recipe.build(nn.Linear(2, 2), steps=20)
    for _ in range(7):
        optimizer.step()
        schedule.step()
    resumed, resumed_schedule = recipe.build(nn.Linear(2, 2), steps=20)
    resumed.load_state_dict(optimizer.state_dict())
    resumed_schedule.load_state_dict(schedule.state_dict())
    for each in (optimizer, schedule, resumed, resumed_schedule):
        each.step()
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@given(st.integers(0, 1000), st.integers(1, 1000), st.floats(1e-6, 1), st.floats(0, 1))
def test_cosine_stays_between_its_ends(step: int, total: int, start: float, share: float) -> None:
    end = start * share
    rate = cosine(step, total, start, end)
    assert end * (1 - 1e-9) <= rate <= start * (1 + 1e-9)
    assert cosine(0, total, start, end) == pytest.approx(start)
    assert cosine(total, total, start, end) == pytest.approx(end, abs=1e-12)


def test_cosine_is_half_a_period() -> None:
    assert cosine(25, 100, 1.0, 0.0) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_a_final_learning_rate_above_the_maximum_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"final_lr .* must not be above lr"):
        AdamW(lr=1e-7)


def test_adams_rate_falls_by_a_tenth_every_five_of_fifty_epochs() -> None:
    model = nn.Linear(2, 2)
    optimizer, schedule = Adam().build(model, steps=50 * 7)
    assert type(optimizer) is torch.optim.Adam
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-6, 0]
    optimizer.step()
    for step in range(50 * 7):
        assert schedule.get_last_lr()[0] == pytest.approx(1e-4 * 0.9 ** (step // 7 // 5))
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(1e-4 * 0.9**9), "it stays there"


@pytest.mark.parametrize(("warmup", "steps"), [(0.95, 10), (0.9, 3), (0.99, 1), (0.5, 2)])
def test_a_warmup_of_nearly_the_whole_run_ends_before_its_last_step(warmup: float, steps: int) -> None:
    schedule = AdamW(lr=1e-3, final_lr=1e-5, warmup=warmup)
    rates = [schedule.rate(step, steps) for step in range(steps + 1)]
    assert rates[steps - 1] == pytest.approx(1e-3)
    assert rates[steps] == pytest.approx(1e-5)
    assert rates[:steps] == sorted(rates[:steps])
