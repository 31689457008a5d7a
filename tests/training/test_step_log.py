from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revalexo_clip.training.step_log import EPOCH, ROW, StepLog


def values(*numbers: float) -> list[Tensor]:
    return [torch.tensor(number) for number in numbers]


def test_a_row_has_the_means_since_the_row_before_and_an_epoch_those_of_all_its_steps() -> None:
    log = StepLog()
    for loss in values(4.0, 2.0):
        log.add(row={"loss": loss}, epoch={"loss_epoch": loss, "chance": None})
    assert log.take(ROW) == {"loss": 3.0}
    log.add(row={"loss": torch.tensor(0.0)}, epoch={"loss_epoch": torch.tensor(0.0), "rare": torch.tensor(5.0)})
    assert log.take(ROW) == {"loss": 0.0}
    assert log.take(ROW) == {}
    assert log.take(EPOCH) == {"loss_epoch": 2.0, "rare": 5.0}
    assert log.take(EPOCH) == {}


def test_a_resumed_run_logs_the_same_means_bit_for_bit() -> None:
    whole, first, resumed = StepLog(), StepLog(), StepLog()
    numbers = torch.rand(7, generator=torch.Generator().manual_seed(0))
    for place, number in enumerate(numbers):
        if place == 3:
            resumed.load_state_dict(first.state_dict(), steps=3)
        for log in (whole, first if place < 3 else resumed):
            log.add(row={"loss": number}, epoch={"loss_epoch": number})
    assert (resumed.take(ROW), resumed.take(EPOCH)) == (whole.take(ROW), whole.take(EPOCH))


def test_checkpoints_of_version_0_1_have_weighted_sums_by_hook() -> None:
    log = StepLog()
    sums = {"value": torch.tensor(48.0), "cumulated_batch_size": torch.tensor(24)}
    log.load_state_dict({"training_step.train/loss": sums, "on_before_optimizer_step.train/clipped": sums}, steps=3)
    log.add(epoch={"train/loss_epoch": torch.tensor(6.0)})
    assert log.take(EPOCH) == {"train/clipped": 2.0, "train/loss_epoch": pytest.approx(3.0)}
    log.load_state_dict({}, steps=0)
    assert log.take(EPOCH) == {}


def test_values_that_are_not_finite_do_not_count_if_only_finite_ones_shall() -> None:
    whole, first, resumed = StepLog(), StepLog(), StepLog()
    for place, norm in enumerate(values(1.0, float("inf"), float("nan"), 4.0)):
        if place == 2:
            resumed.load_state_dict(first.state_dict(), steps=2)
        for log in (whole, first if place < 2 else resumed):
            log.add(row={"loss": norm}, finite={"norm": norm}, epoch={})
    for log in (whole, resumed):
        row = log.take(ROW)
        assert not row["loss"].isfinite()
        assert row["norm"] == 2.5
    whole.add(finite={"norm": torch.tensor(float("inf"))}, epoch={})
    assert whole.take(ROW)["norm"].isnan(), "no value counts"


def test_sums_of_a_checkpoint_to_which_nothing_was_added_are_moved_to_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, devices = StepLog(), list[str]()

    def stack(means: list[Tensor]) -> Tensor:
        devices.extend(mean.device.type for mean in means)
        return torch.zeros(len(means))

    monkeypatch.setattr(torch, "stack", stack)
    log.load_state_dict({EPOCH: {"rare": (torch.tensor(5.0, dtype=torch.float64), 1)}}, steps=1)
    log.add(epoch={"loss_epoch": torch.zeros((), device="meta")})
    assert set(log.take(EPOCH)) == {"rare", "loss_epoch"}
    assert devices == ["meta", "meta"]
