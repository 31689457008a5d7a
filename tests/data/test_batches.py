from __future__ import annotations

import re
import time
from collections import Counter
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.tiny_dataset import revalexo

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import BalancedBatches, GroupedBatches, UniformBatches, WindowDataset
from revalexo_clip.data.batches import _groups
from revalexo_clip.data.grouping import _chosen, grouped
from revalexo_clip.data.windows import Ints


@pytest.fixture(scope="module")
def dataset(written: Path) -> WindowDataset:
    """40 windows: 10 of each of 2 clips of 2 subjects."""
    return revalexo(written).build("train", seed=0)


def compose(dataset: WindowDataset, batch_size: int, composition: GroupedBatches, seed: int = 0) -> Ints:
    return composition.composer(dataset, batch_size)(0, np.random.default_rng(seed))


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


@pytest.mark.parametrize("seconds", [0.5, 0.7, 1.0])
def test_groups_are_parts_of_clips(dataset: WindowDataset, seconds: float) -> None:
    """Windows of a group start within a part, up to the segment from which each start is drawn."""
    batches = compose(dataset, 4, GroupedBatches(windows=2, seconds=seconds))
    groups = batches.reshape(-1, 2)
    assert len(groups) > 4
    assert len(set(groups.ravel().tolist())) == groups.size
    clip_N, start_N = dataset.windows.clip_N, dataset.windows.start_N
    assert (clip_N[groups[:, 0]] == clip_N[groups[:, 1]]).all()
    part_G2 = np.floor(np.round(start_N[groups] / seconds, 6))
    assert (part_G2[:, 0] == part_G2[:, 1]).all()
    assert len(set(zip(clip_N[groups[:, 0]].tolist(), part_G2[:, 0].tolist(), strict=True))) > 4, "more than clips"
    for rows in batches.reshape(-1, 2, 2):
        one, other = ((clip_N[row[0]], np.floor(np.round(start_N[row[0]] / seconds, 6))) for row in rows)
        assert one != other, "two groups of a batch are different parts"
    time_G2 = np.array([[dataset[3, int(row)].time.item() for row in group] for group in groups[:6]])
    assert (np.abs(time_G2[:, 0] - time_G2[:, 1]) <= seconds + 0.2).all(), "0.2 s is a segment"


def test_parts_as_long_as_clips_are_clips(dataset: WindowDataset) -> None:
    parts, clips = (compose(dataset, 10, GroupedBatches(windows=5, seconds=seconds)) for seconds in (1000.0, None))
    assert np.array_equal(parts, clips)


def test_the_start_of_a_part_belongs_to_it_whatever_the_rounding(written: Path) -> None:
    dataset = revalexo(written, windows_per_clip=25).build("train", seed=0)
    assert np.floor(dataset.windows.start_N[15] / 0.4) == 2, "1.2 / 0.4 is less than 3 in floating point"
    group_N = _groups(dataset, "clip", 0.4)
    assert group_N[:25].tolist() == [place // 5 for place in range(25)]


@pytest.mark.parametrize("by", ["recording", "subject"])
def test_parts_are_parts_of_clips_alone(by: Literal["recording", "subject"]) -> None:
    with pytest.raises(ValidationError, match=f'seconds: parts of clips need by="clip", not "{by}"'):
        GroupedBatches(by=by, seconds=10.0)


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
    batches = grouped(group_N, windows, groups, np.random.default_rng(seed))
    flat = batches.ravel().tolist()
    assert len(set(flat)) == len(flat)
    for row in group_N[batches]:
        assert np.unique(row, return_counts=True)[1].tolist() == [windows] * groups
    # No composition has more: a group gives at most one share to a batch.
    most = max(count for count in range(1000) if sum(min(share, count) for share in shares) >= count * groups)
    assert len(batches) == most


def plainly_grouped(group_N: Ints, groups: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Plain reference: the groups of each batch, with one window each, drawn from those with most windows left."""
    left_G = np.bincount(group_N)
    batches = []
    while np.count_nonzero(left_G) >= groups:
        chosen = np.lexsort((rng.random(len(left_G)), -left_G))[:groups]
        batches.append(tuple(sorted(chosen.tolist())))
        left_G[chosen] -= 1
    return batches


@pytest.mark.long
def test_groups_meet_as_often_as_in_a_plain_loop() -> None:
    group_N, draws = np.repeat(np.arange(6), [4, 3, 2, 2, 1, 1]), 3000
    plain: Counter[tuple[int, ...]] = Counter()
    fast: Counter[tuple[int, ...]] = Counter()
    for seed in range(draws):
        plain.update(plainly_grouped(group_N, 3, np.random.default_rng([1, seed])))
        fast.update(tuple(sorted(row)) for row in group_N[grouped(group_N, 1, 3, np.random.default_rng([2, seed]))])
    assert sum(plain.values()) == sum(fast.values())
    for together in plain | fast:
        assert fast[together] == pytest.approx(plain[together], abs=5 * np.sqrt(2 * plain[together] + 10))


def test_drawing_takes_time_in_proportion_to_the_number_of_clips() -> None:
    begin = time.process_time()
    batches = grouped(np.repeat(np.arange(40_000), 10), 8, 8, np.random.default_rng(0))
    assert batches.shape == (5_000, 64)
    assert time.process_time() - begin < 5, "0.25 s; 18 s if each batch looks at each clip"


def test_uniform_batches_take_any_windows(dataset: WindowDataset) -> None:
    batches = UniformBatches().composer(dataset, 12)(0, np.random.default_rng(0))
    assert batches.shape == (3, 12)
    assert len(set(batches.ravel().tolist())) == 36


@pytest.mark.parametrize(
    ("batch_size", "composition", "says"),
    [
        (10, GroupedBatches(windows=4), "batch_size 10 is not a multiple of 4 windows per group"),
        (4, GroupedBatches(windows=8), "batch_size 4 is not a multiple of 8 windows per group"),
        (
            30,
            GroupedBatches(windows=6),
            "but only 4 training clips have that many; --set batch_size=24 fits, or change",
        ),
        (
            22,
            GroupedBatches(windows=11),
            "but only 0 training clips have that many; lower batch_size, or change batches.windows",
        ),
        (
            30,
            GroupedBatches(windows=10, by="subject"),
            "10 windows from each of 3 subjects, but only 2 training subjects",
        ),
        (
            12,
            GroupedBatches(windows=6, seconds=0.5),
            r"6 windows from each of 2 parts of 0\.5 s of clips, but only 0 training parts of 0\.5 s of clips have "
            r"that many; --set data\.windows_per_clip=\d+ is enough, or change batches\.seconds, batches\.windows",
        ),
    ],
)
def test_what_cannot_be_composed_is_an_error(
    dataset: WindowDataset, batch_size: int, composition: GroupedBatches, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        compose(dataset, batch_size, composition)


@pytest.mark.parametrize(("windows", "seconds"), [(3, 0.3), (6, 0.5), (12, 0.7)])
def test_what_the_error_proposes_is_enough(written: Path, windows: int, seconds: float) -> None:
    """Clips have few windows; then as many as the error says; then batches as large as the next error says."""
    composition, batch_size = GroupedBatches(windows=windows, seconds=seconds), 200 * windows
    settings: dict[str, int] = {}
    for name in ("windows_per_clip", "batch_size"):
        with pytest.raises(ConfigError) as raised:
            compose(revalexo(written, **settings).build("train", seed=0), batch_size, composition)
        proposed = re.search(rf"--set (?:data\.)?{name}=(\d+)", str(raised.value))
        assert proposed is not None, raised.value
        if name == "batch_size":
            batch_size = int(proposed[1])
        else:
            settings = {name: int(proposed[1])}
    batches = compose(revalexo(written, **settings).build("train", seed=0), batch_size, composition)
    assert len(batches) >= 1
    assert batch_size // windows == len(np.unique(_groups(revalexo(written).build("train", 0), "clip", seconds)))


@pytest.mark.long
@pytest.mark.parametrize("rows", [None, np.array([0, 3, 4, 7, 12, 13, 21, 28, 33, 39])])
def test_balanced_batches_have_every_activity_alike(dataset: WindowDataset, rows: Ints | None) -> None:
    draw = BalancedBatches().composer(dataset, 10, rows)
    assert draw(0, np.random.default_rng(0)).shape == (len(dataset) // 10, 10)
    for epoch in (0, 3):
        label_N = dataset.labels(epoch)[:, 0]
        asked = np.concatenate([draw(epoch, np.random.default_rng([seed])).ravel() for seed in range(300)])
        counts = np.bincount(label_N[asked], minlength=2)
        assert set(asked) <= set(range(len(dataset)) if rows is None else rows)
        known = label_N if rows is None else label_N[rows]
        assert len(set(known.tolist())) == 2
        assert np.bincount(known)[0] != np.bincount(known)[1], "or there would be nothing to balance"
        assert counts[0] / counts.sum() == pytest.approx(0.5, abs=0.03)


def test_balanced_batches_leave_out_what_has_no_label(dataset: WindowDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    label_N1 = np.full((len(dataset), 1), UNLABELLED)
    label_N1[5:9] = 1
    monkeypatch.setattr(type(dataset), "labels", lambda self, epoch: label_N1)
    assert set(BalancedBatches().composer(dataset, 8)(0, np.random.default_rng(0)).ravel()) == {5, 6, 7, 8}
    label_N1[:] = UNLABELLED
    with pytest.raises(DataError, match="no training window has a label"):
        BalancedBatches().composer(dataset, 8)(0, np.random.default_rng(0))


def test_fewer_rows_come_more_often(dataset: WindowDataset) -> None:
    rows = np.array([3, 5, 8, 13, 21, 34])
    batches = UniformBatches().composer(dataset, 8, rows)(0, np.random.default_rng(0))
    assert batches.shape == (len(dataset) // 8, 8)
    times = np.unique(batches, return_counts=True)
    assert times[0].tolist() == rows.tolist()
    assert times[1].max() - times[1].min() <= 1
    grouped = GroupedBatches(windows=2).composer(dataset, 4, np.array([0, 1, 2, 10, 11, 20, 21]))(
        0, np.random.default_rng(0)
    )
    assert set(grouped.ravel()) <= {0, 1, 2, 10, 11, 20, 21}
    for row in grouped:
        assert np.unique(dataset.windows.clip_N[row], return_counts=True)[1].tolist() == [2, 2]


def test_labels_of_an_epoch_are_those_of_its_samples(written: Path) -> None:
    dataset = revalexo(written, horizons=(0.07, 1.9)).build("train", seed=0)
    for epoch in (0, 2):
        loaded = np.stack([dataset[epoch, index].label_K.numpy() for index in range(len(dataset))])
        assert np.array_equal(dataset.labels(epoch), loaded)
    assert not np.array_equal(dataset.labels(0), dataset.labels(2))


def chosen_one_by_one(left_G: Ints, groups: int, rng: np.random.Generator) -> list[list[int]]:
    """Choose the groups of batches from a heap, batch by batch: the plain form of `_chosen`."""
    heap = [
        (-left, number, group)
        for group, (left, number) in enumerate(zip(left_G.tolist(), rng.random(len(left_G)), strict=True))
    ]
    heap = [entry for entry in heap if entry[0]]
    heapify(heap)
    chosen = []
    while len(heap) >= groups:
        taken = [heappop(heap) for _ in range(groups)]
        chosen.append([group for *_, group in taken])
        for (left, _, group), number in zip(taken, rng.random(groups), strict=True):
            if left < -1:
                heappush(heap, (left + 1, number, group))
    return chosen


@given(left=st.lists(st.integers(0, 9), min_size=1, max_size=30), groups=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_groups_are_chosen_as_batch_by_batch_from_a_heap(left: list[int], groups: int, seed: int) -> None:
    plain_rng, rng = (np.random.default_rng(seed) for _ in range(2))
    found_BG = _chosen(np.array(left), groups, rng)
    assert found_BG.tolist() == chosen_one_by_one(np.array(left), groups, plain_rng)
    assert rng.random() == plain_rng.random(), "the same number of draws"
