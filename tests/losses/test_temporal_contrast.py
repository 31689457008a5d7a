"""`TemporalContrast` finds the windows of a recording that are close in time among those that are further apart."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from support.plain_losses import plain_temporal_contrast, unit
from torch import Tensor

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import Loss, LossModule, Overlap, Sum, TemporalContrast, Term
from revalexo_clip.losses.terms import kinds_read

RECORDINGS = (
    *(0, 1, 0, 2, 0, 0, 1),  # shuffled, so that the windows of a recording are not side by side
    *(0, 2, 0, 3, 0, 1),
)
TIMES = (
    *(0.0, 10.0, 1.0, 0.0, 2.0, 2.5, 10.5),
    *(3.0, 50.0, 12.0, 7.0, 100.3, 11.0),
)
"""Recording 0 has partners exactly 2 s apart, negatives exactly 3 s apart, windows between, and two without a partner;
recording 1 has partners alone, 2 negatives alone, 3 a single window."""
COUNT = len(TIMES)
COUNTED = (0, 2, 4, 5, 7)
"""Windows that have a partner and a negative."""


def overlap(recordings: tuple[int, ...] = RECORDINGS, times: tuple[float, ...] = TIMES) -> Overlap:
    return Overlap(torch.tensor(recordings), torch.tensor(times, dtype=torch.float64), 2.0)


def drawn(seed: int, count: int = 17) -> Overlap:
    """Return windows of three recordings, at times with microseconds."""
    generator = torch.Generator().manual_seed(seed)
    time_N = (9 * torch.rand(count, generator=generator, dtype=torch.float64)).round(decimals=6)
    return Overlap(torch.randint(0, 3, (count,), generator=generator), time_N, 2.0)


def built(temperature: float = 0.2, **fields: float | None) -> LossModule:
    return TemporalContrast.model_validate({"temperature": temperature} | fields).build().double()


def gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("where", [overlap(), *map(drawn, range(4))], ids=("edges", *"0123"))
@pytest.mark.parametrize(("near", "far"), [(2.0, 3.0), (0.5, 0.6), (1.0, 5.0)])
def test_it_is_a_plain_loop_over_partners_and_negatives(where: Overlap, near: float, far: float) -> None:
    module, x_ND = built(near=near, far=far), unit(len(where.time_N), 5, seed=1).requires_grad_()
    (log_scale,) = module.parameters()
    expected = plain_temporal_contrast(x_ND, log_scale.exp(), where, near=near, far=far)
    found = module(x_ND, x_ND, where)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        gradients(found, x_ND, log_scale), gradients(expected, x_ND, log_scale), rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("block_rows", [None, 1, 4])
def test_the_shares_of_processes_add_up_with_their_gradients(processes: int, block_rows: int | None) -> None:
    module, x_ND = built(block_rows=block_rows), unit(COUNT, 5, seed=1).requires_grad_()
    (log_scale,) = module.parameters()
    whole = built()
    expected = whole(x_ND, x_ND, overlap())
    shares = [share_of(COUNT, rank, processes) for rank in range(processes)]
    assert len({len(share) for share in shares}) == (1 if processes == 1 else 2), "uneven"
    found = [module.share(x_ND, x_ND, overlap(), slice(share.start, share.stop)) for share in shares]
    torch.testing.assert_close(torch.stack(found).sum(), expected, rtol=1e-12, atol=0)
    summed = [torch.stack(own).sum(0) for own in zip(*(gradients(one, x_ND, log_scale) for one in found), strict=True)]
    torch.testing.assert_close(summed, list(gradients(expected, x_ND, *whole.parameters())), rtol=1e-11, atol=1e-13)


def test_other_recordings_windows_between_and_windows_that_are_left_out_change_nothing() -> None:
    module, x_ND = built(), unit(COUNT, 5, seed=1).requires_grad_()
    loss = module(x_ND, x_ND, overlap())
    (gradient_ND,) = gradients(loss, x_ND)
    assert gradient_ND.isfinite().all()
    assert [row for row in range(COUNT) if gradient_ND[row].any()] == [*COUNTED, 9, 11], "9 and 11 are negatives"
    own = [row for row, recording in enumerate(RECORDINGS) if recording == 0]
    alone = overlap((0,) * len(own), tuple(TIMES[row] for row in own))
    torch.testing.assert_close(module(x_ND[own], x_ND[own], alone), loss)


def test_a_process_whose_windows_are_all_left_out_has_gradients_of_zero() -> None:
    module, x_ND = built(), unit(COUNT, 5, seed=1).requires_grad_()
    share = module.share(x_ND, x_ND, overlap(), slice(8, 13))
    assert set(range(8, 13)).isdisjoint(COUNTED)
    assert share.item() == 0
    for gradient in gradients(share, x_ND, *module.parameters()):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_window_between_near_and_far_is_ignored() -> None:
    module, where, x_ND = built(), overlap((0,) * 4, (0.0, 1.0, 2.5, 5.5)), unit(4, 5, seed=1)
    changed_ND = x_ND.clone()
    changed_ND[2] *= -1
    one, other = (module.share(each_ND, each_ND, where, slice(0, 1)) for each_ND in (x_ND, changed_ND))
    assert torch.equal(one, other)


@pytest.mark.parametrize("where", [overlap(), drawn(0)], ids=("edges", "drawn"))
def test_chance_is_the_loss_of_embeddings_that_are_all_equal(where: Overlap) -> None:
    module, same_ND = built(), unit(1, 5, seed=1).expand(len(where.time_N), 5)
    chance = module.chance(where)
    assert chance is not None
    torch.testing.assert_close(chance.double(), module(same_ND, same_ND, where), rtol=1e-6, atol=0)


def test_chance_counts_partners_and_negatives() -> None:
    chance = built().chance(overlap((0,) * 4, (0.0, 1.0, 2.5, 5.5)))
    assert chance is not None
    assert chance.item() == pytest.approx((math.log(2) + math.log(3) + math.log(2)) / 3), "0, 1 and 2.5 s have both"


def test_the_partners_must_be_nearer_than_the_negatives_for_a_low_loss() -> None:
    """Two activities: windows of each are alike."""
    where = overlap((0,) * 6, (0.0, 0.5, 1.0, 10.0, 10.5, 11.0))
    by_activity_ND = torch.eye(2, dtype=torch.float64).repeat_interleave(3, dim=0)
    alternating_ND = torch.eye(2, dtype=torch.float64).repeat(3, 1)
    module, chance = built(0.1), built(0.1).chance(where)
    assert chance is not None
    assert module(by_activity_ND, by_activity_ND, where) < chance < module(alternating_ND, alternating_ND, where)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_it_is_computed_in_float32(dtype: torch.dtype) -> None:
    module, x_ND = built().float(), unit(COUNT, 5, seed=1).to(dtype)
    exact = module(x_ND.float(), x_ND.float(), overlap())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module(x_ND, x_ND, overlap())
    assert found.dtype == torch.float32
    assert torch.equal(found, exact)


@pytest.mark.parametrize(
    ("recordings", "times"),
    [((0, 1, 2), (0.0, 0.0, 0.0)), ((0, 0, 0), (0.0, 1.0, 2.0)), ((0, 0, 0), (0.0, 5.0, 10.0))],
    ids=["other recordings", "no negatives", "no partners"],
)
def test_batches_without_partners_or_negatives_are_refused(
    recordings: tuple[int, ...], times: tuple[float, ...]
) -> None:
    x_ND = unit(3, 5, seed=1)
    with pytest.raises(
        ConfigError, match=r"within 2 s and one that is 3 s away; use batches=GroupedBatches\(by='clip'"
    ):
        built()(x_ND, x_ND, overlap(recordings, times))


def test_a_resumed_training_takes_such_batches_as_if_it_had_not_been_stopped() -> None:
    module, x_ND = built(), unit(3, 5, seed=1)
    module.load_state_dict(built().state_dict())
    assert module(x_ND, x_ND, overlap((0, 1, 2), (0.0, 0.0, 0.0))) == 0


def test_without_the_times_of_windows_it_cannot_be_computed() -> None:
    x_ND = unit(3, 5, seed=1)
    with pytest.raises(ValueError, match="needs to know the times of the windows"):
        built()(x_ND, x_ND)


@pytest.mark.parametrize("far", [1.0, 2.0])
def test_negatives_must_be_further_away_than_partners(far: float) -> None:
    with pytest.raises(ValidationError, match=rf"far \({far:g} s\) must be greater than near \(2 s\)"):
        TemporalContrast(far=far)


def test_it_reads_the_embeddings_of_one_modality_and_is_not_validated() -> None:
    terms: dict[str, Loss] = {"imu": TemporalContrast(), "video": TemporalContrast(modality="video")}
    for modality, loss in terms.items():
        assert kinds_read(loss.build()) == (modality,)
        assert not loss.build().validated
    both = Sum(terms={modality: Term(loss) for modality, loss in terms.items()}).build()
    assert kinds_read(both) == ("imu", "video")
