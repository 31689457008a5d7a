from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_dataset import revalexo

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import VisitBatches, WindowDataset
from revalexo_clip.data.batches import EpochSampler, share_of
from revalexo_clip.data.visits import _visiting
from revalexo_clip.data.windows import Ints


@pytest.fixture(scope="module")
def dataset(written: Path) -> WindowDataset:
    """40 windows: 10 of each of 2 clips of 2 subjects."""
    return revalexo(written).build("train", seed=0)


def composed(dataset: WindowDataset, batch_size: int, visit: int, epoch: int = 0, rows: Ints | None = None) -> Ints:
    draw = VisitBatches(windows_per_visit=visit).composer(dataset, batch_size, rows)
    return draw(epoch, np.random.default_rng([3, epoch]))


def sampler(dataset: WindowDataset, rank: int = 0, world: int = 1, start: tuple[int, int] = (0, 0)) -> EpochSampler:
    compose = VisitBatches(windows_per_visit=5).composer(dataset, 8)
    return EpochSampler(len(dataset), 8, 5, rank=rank, world=world, compose=compose, start=start)


@pytest.mark.long
@pytest.mark.parametrize("batch_size", [1, 4, 7, 40])
@pytest.mark.parametrize("visit", [1, 3, 10, 100])
def test_every_window_comes_at_most_once_and_all_but_an_incomplete_batch_do(
    dataset: WindowDataset, batch_size: int, visit: int
) -> None:
    batches = composed(dataset, batch_size, visit)
    assert batches.shape == (40 // batch_size, batch_size)
    assert len(set(batches.ravel().tolist())) == batches.size


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8), windows=st.integers(1, 6), seed=st.integers(0, 2**32)
)
def test_a_visit_reads_windows_that_follow_each_other_in_a_clip(sizes: list[int], windows: int, seed: int) -> None:
    clip_M = np.repeat(np.arange(len(sizes)), sizes)
    order_M = _visiting(clip_M, windows, np.random.default_rng(seed))
    assert sorted(order_M.tolist()) == list(range(len(clip_M)))
    continues = (np.diff(order_M) == 1) & (np.diff(clip_M[order_M]) == 0)
    visits = len(clip_M) - int(np.count_nonzero(continues))
    at_most = sum(-(-size // windows) + 1 for size in sizes)
    assert visits <= at_most, "a clip has at most one visit more than it needs"


def test_batches_that_follow_each_other_hold_the_windows_of_a_visit_in_the_same_row(dataset: WindowDataset) -> None:
    batches = composed(dataset, 4, visit=10)
    follows = np.diff(batches, axis=0) == 1
    assert np.count_nonzero(follows) >= 28, "10 windows of a clip in one or two visits, and in one or two rows"
    assert batches.tolist() != composed(dataset, 4, visit=10, epoch=1).tolist()
    assert batches.tolist() == composed(dataset, 4, visit=10).tolist()


@pytest.mark.parametrize("world", [2, 3, 8])
def test_visits_do_not_depend_on_the_number_of_processes(dataset: WindowDataset, world: int) -> None:
    alone = np.array(list(sampler(dataset)))[:, 1].reshape(-1, 8)
    for rank in range(world):
        own = np.array(list(sampler(dataset, rank, world)))[:, 1].reshape(len(alone), -1)
        assert (own == alone[:, share_of(8, rank, world)]).all()


def test_a_resumed_epoch_continues_with_the_visits_that_were_left(dataset: WindowDataset) -> None:
    assert list(sampler(dataset, start=(0, 2))) == list(sampler(dataset))[16:]


def test_visits_of_some_windows_repeat_them(dataset: WindowDataset) -> None:
    rows = np.array([1, 2, 3, 21, 22])
    batches = composed(dataset, 8, visit=3, rows=rows)
    assert batches.shape == (5, 8)
    assert np.bincount(batches.ravel())[rows].tolist() == [8] * 5


def test_a_batch_that_is_larger_than_the_training_set_is_refused(dataset: WindowDataset) -> None:
    with pytest.raises(ConfigError, match="41 windows is larger"):
        composed(dataset, 41, visit=2)
