from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.batches import EpochSampler, EvaluationSampler


def keys_of(world: int, windows: int, batch_size: int, epoch: int = 0) -> list[list[tuple[int, int]]]:
    """Return the global batches, joined from the ranks' shares."""
    parts = []
    for rank in range(world):
        sampler = EpochSampler(windows, batch_size, seed=3, rank=rank, world=world)
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler)
        share = (rank + 1) * batch_size // world - rank * batch_size // world
        parts.append([keys[first : first + share] for first in range(0, len(keys), share)])
    return [[key for part in batch for key in part] for batch in zip(*parts, strict=True)]


@given(st.integers(12, 200), st.integers(1, 7), st.integers(0, 9))
def test_the_batches_do_not_depend_on_the_number_of_ranks(windows: int, world: int, epoch: int) -> None:
    whole = keys_of(1, windows, 12, epoch)
    assert keys_of(world, windows, 12, epoch) == whole
    indices = [index for batch in whole for _, index in batch]
    assert len(set(indices)) == len(indices) == windows // 12 * 12
    assert {key_epoch for batch in whole for key_epoch, _ in batch} == {epoch}


def test_epochs_and_seeds_have_their_own_order() -> None:
    orders = {tuple(index for batch in keys_of(1, 100, 10, epoch) for _, index in batch) for epoch in range(5)}
    orders.add(tuple(index for _, index in EpochSampler(100, 10, seed=4)))
    assert len(orders) == 6


def test_the_order_is_repeated_exactly() -> None:
    assert list(EpochSampler(50, 5, seed=1)) == list(EpochSampler(50, 5, seed=1))


def test_an_iteration_keeps_the_epoch_it_began_with() -> None:
    sampler = EpochSampler(10, 5, seed=1)
    keys = iter(sampler)
    sampler.set_epoch(1)
    assert {epoch for epoch, _ in keys} == {0}


def test_a_batch_larger_than_the_training_set_is_an_error() -> None:
    with pytest.raises(ConfigError, match="a batch of 64 windows is larger than the training set of 40 windows"):
        EpochSampler(40, 64, seed=0)


def test_a_batch_that_ranks_cannot_share_is_an_error() -> None:
    with pytest.raises(ConfigError, match="a batch of 3 windows cannot be shared by 4 devices"):
        EpochSampler(40, 3, seed=0, world=4)


@given(st.integers(0, 50), st.integers(1, 6))
def test_evaluation_takes_every_window_exactly_once(windows: int, world: int) -> None:
    parts = [list(EvaluationSampler(windows, rank, world)) for rank in range(world)]
    assert sorted(key for part in parts for key in part) == [(0, index) for index in range(windows)]
    assert np.ptp([len(part) for part in parts]) <= 1
