from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tiny_dataset import revalexo

from revalexo_clip.data import GroupedBatches, UniformBatches, WindowDataset
from revalexo_clip.data.composition import _grouped
from revalexo_clip.data.windows import Ints
from revalexo_clip.errors import ConfigError


@pytest.fixture(scope="module")
def dataset(written: Path) -> WindowDataset:
    """40 windows: 10 of each of 2 clips of 2 subjects."""
    return revalexo(written).build("train", seed=0)


def compose(dataset: WindowDataset, batch_size: int, composition: GroupedBatches, seed: int = 0) -> Ints:
    return composition.of(dataset, batch_size)(0, np.random.default_rng(seed))


def test_each_batch_holds_so_many_windows_of_so_many_clips(dataset: WindowDataset) -> None:
    batches = compose(dataset, 10, GroupedBatches(windows=5))
    assert batches.shape == (4, 10)
    assert sorted(batches.ravel()) == list(range(40))
    for clips in dataset.windows.clip_N[batches]:
        assert np.unique(clips, return_counts=True)[1].tolist() == [5, 5]


def test_a_group_may_be_a_subject(dataset: WindowDataset) -> None:
    batches = compose(dataset, 12, GroupedBatches(windows=6, by="subject"))
    subjects = np.array(dataset.clip_subjects)[dataset.windows.clip_N[batches]]
    assert len(batches) == 20 // 6
    for row, clips in zip(subjects, dataset.windows.clip_N[batches], strict=True):
        assert np.unique(row, return_counts=True)[1].tolist() == [6, 6]
        assert len(set(clips.tolist())) > 2, "windows of a subject come from all of their clips"


def test_epochs_leave_different_windows_over(dataset: WindowDataset) -> None:
    drawn = [set(compose(dataset, 8, GroupedBatches(windows=4), seed).ravel().tolist()) for seed in range(20)]
    assert {len(windows) for windows in drawn} == {32}
    assert set.union(*drawn) == set(range(40))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_no_window_comes_twice_and_no_group_twice_in_a_batch(
    sizes: list[int], windows: int, groups: int, seed: int
) -> None:
    shares = [size // windows for size in sizes]
    assume(sum(share > 0 for share in shares) >= groups)
    group_N = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    batches = _grouped(group_N, windows, groups, np.random.default_rng(seed))
    flat = batches.ravel().tolist()
    assert len(set(flat)) == len(flat)
    for row in group_N[batches]:
        assert np.unique(row, return_counts=True)[1].tolist() == [windows] * groups
    # No composition has more: a group gives at most one share to a batch.
    most = max(count for count in range(1000) if sum(min(share, count) for share in shares) >= count * groups)
    assert len(batches) == most


def test_uniform_batches_take_any_windows(dataset: WindowDataset) -> None:
    batches = UniformBatches().of(dataset, 12)(0, np.random.default_rng(0))
    assert batches.shape == (3, 12)
    assert len(set(batches.ravel().tolist())) == 36


@pytest.mark.parametrize(
    ("batch_size", "composition", "says"),
    [
        (10, GroupedBatches(windows=4), "a batch of 10 does not divide into groups of 4 windows"),
        (4, GroupedBatches(windows=8), "a batch of 4 does not divide into groups of 8 windows"),
        (30, GroupedBatches(windows=6), "6 windows from each of 5 clips, and only 4 training clips have as many"),
        (22, GroupedBatches(windows=11), "11 windows from each of 2 clips, and only 0 training clips have as many"),
        (
            30,
            GroupedBatches(windows=10, by="subject"),
            "10 windows from each of 3 subjects, and only 2 training subjects",
        ),
    ],
)
def test_what_cannot_be_composed_is_an_error(
    dataset: WindowDataset, batch_size: int, composition: GroupedBatches, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        compose(dataset, batch_size, composition)
