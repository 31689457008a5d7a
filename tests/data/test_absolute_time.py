"""Windows are compared by recording and time: clips that share seconds show the same moments."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.overlapping import CLIP, CLIPS, STEP, write_overlapping
from support.tiny_dataset import revalexo

from revalexo_clip.data import GroupedBatches, RevalExo
from revalexo_clip.data.base import LabelledWindows, Windows
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.windows import TIME_DECIMALS, distinct_moments
from revalexo_clip.losses import Overlap
from revalexo_clip.training.summary import recordings_of, size_of


@pytest.fixture(scope="module", params=["declared", "found"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RevalExo:
    root = tmp_path_factory.mktemp("overlapping")
    write_overlapping(root, declare=request.param == "declared")
    return revalexo(root, train_subjects=("01", "02"), val_subjects=(), channels=("acc_*", "gyro_*"), min_duration=10.0)


def test_clips_have_their_place_in_the_recording(data: RevalExo) -> None:
    windows = data.labelled("train", seed=0)
    assert windows.clip_recordings.tolist() == [0] * CLIPS + [1]
    assert windows.clip_offsets.tolist() == [*(STEP * np.arange(CLIPS)).tolist(), 0.0]
    assert windows.recording_subjects == ("Subject01", "Subject02")
    assert windows.shared_seconds == pytest.approx((CLIPS - 1) * (CLIP - STEP))
    assert recordings_of(windows) == {"clips": 9, "recordings": 2, "shared_seconds": 28.0}
    assert "; clips of 2 recordings share 28 s" in size_of(windows)


def test_evaluation_lists_each_moment_once_from_the_clip_that_continues_longest(data: RevalExo) -> None:
    windows = data.evaluating(("01",)).labelled("test", seed=0)
    times = [float(windows[0, index].time) for index in range(len(windows))]
    assert sorted(times) == (0.5 * np.arange(2 * (STEP * (CLIPS - 1) + CLIP - 2) + 1)).tolist()
    for index in range(len(windows)):
        sample = windows[0, index]
        assert sample.start < STEP or sample.clip == CLIPS - 1
        assert sample.time == sample.start + STEP * sample.clip


def test_windows_of_one_moment_hold_the_same_samples_whichever_clip_they_come_from(data: RevalExo) -> None:
    windows = data.labelled("train", seed=0)
    assert isinstance(windows, LabelledWindows)
    samples = [windows[0, index] for index in range(80)]
    by_recording = {float(sample.time): sample.imu_LC for sample in samples}
    assert len(by_recording) == 80
    ordered = sorted(by_recording.items())
    compared = 0
    for (early, one_LC), (late, other_LC) in pairwise(ordered):
        shift = round(late * 60) - round(early * 60)
        if shift < 120:
            assert torch.equal(one_LC[shift:], other_LC[: 120 - shift])
            compared += 1
    assert compared > 50


def test_no_two_windows_that_share_time_are_negatives(data: RevalExo) -> None:
    windows = data.labelled("train", seed=0)
    samples = [windows[0, index] for index in range(len(windows))]
    overlap = Overlap(
        torch.stack([sample.recording for sample in samples]), torch.stack([sample.time for sample in samples]), 2.0
    )
    subject = [windows.clip_subjects[int(sample.clip)] for sample in samples]
    absolute = [STEP * int(sample.clip) + float(sample.start) for sample in samples]
    shared = [
        [i != j and subject[i] == subject[j] and abs(absolute[i] - absolute[j]) < 2.0 for j in range(len(samples))]
        for i in range(len(samples))
    ]
    assert overlap.rows(slice(None)).tolist() == shared
    across_clips = sum(
        both and samples[i].clip != samples[j].clip for i, row in enumerate(shared) for j, both in enumerate(row)
    )
    assert across_clips > 50, "clips share moments, and none of these is a negative"


def test_windows_that_touch_across_clips_do_not_overlap() -> None:
    time_N = torch.tensor([8.0 + 1.1, 7.1, 8.1 + 3.0], dtype=torch.float64)
    assert not Overlap(torch.zeros(3, dtype=torch.int64), time_N, 2.0).rows(slice(None)).any()


def test_a_group_may_be_a_recording(data: RevalExo) -> None:
    windows = data.labelled("train", seed=0)
    batches = GroupedBatches(windows=5, by="recording").composer(windows, 10)(0, np.random.default_rng(0))
    for row in batches:
        recordings = windows.clip_recordings[windows.windows.clip_N[row]]
        assert np.unique(recordings, return_counts=True)[1].tolist() == [5, 5]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), min_size=1, max_size=8),
    st.integers(1, 24),
)
def test_distinct_moments_keep_every_moment_once(clips: list[tuple[int, int]], count: int) -> None:
    recording_J = np.array([recording for recording, _ in clips])
    offset_J = np.array([offset / 2 for _, offset in clips])
    placed = Windows(np.repeat(np.arange(len(clips)), count), np.tile(np.arange(count) / 2, len(clips)))
    kept = distinct_moments(placed, recording_J, offset_J, np.full(len(clips), count / 2 + 2))

    def moments(windows: Windows) -> list[tuple[int, float]]:
        time_N = np.round(windows.start_N + offset_J[windows.clip_N], TIME_DECIMALS)
        return list(zip(recording_J[windows.clip_N].tolist(), time_N.tolist(), strict=True))

    assert len(moments(kept)) == len(set(moments(kept)))
    assert set(moments(kept)) == set(moments(placed))
    assert kept.clip_N.tolist() == sorted(kept.clip_N.tolist()), "their order stays"


def test_clips_taken_from_an_index_start_at_zero_again() -> None:
    times = ClipTimes(
        recording_N=np.array([4, 2, 4, 2]),
        offset_N=np.array([8.0, 0.0, 16.0, 8.0]),
        declared_N=np.zeros(4, dtype=bool),
        begin_N=np.zeros(4),
        end_N=np.full(4, 12.0),
    ).take(np.array([2, 0, 3]))
    assert times.recording_N.tolist() == [0, 0, 1]
    assert times.offset_N.tolist() == [8.0, 0.0, 0.0]
    assert times.shared_seconds().tolist() == [4.0, 0.0, 0.0]


def test_recording_and_offset_belong_together(tmp_path: Path) -> None:
    write_overlapping(tmp_path, declare=True)
    path = tmp_path / "data_pairs/Subject01.json"
    described = json.loads(path.read_text())
    del described["pairs"]["0003"]["offset"]
    path.write_text(json.dumps(described))
    with pytest.raises(Exception, match=r"pairs\.0003: recording and offset belong together"):
        revalexo(tmp_path, train_subjects=("01",), channels=("acc_*",)).labelled("train", seed=0)


def test_declared_and_undeclared_clips_of_a_subject_are_kept_apart(tmp_path: Path) -> None:
    write_overlapping(tmp_path, declare=False)
    path = tmp_path / "data_pairs/Subject01.json"
    described = json.loads(path.read_text())
    described["pairs"]["0000"] |= {"recording": "alone", "offset": 0.0}
    path.write_text(json.dumps(described))
    windows = revalexo(tmp_path, train_subjects=("01",), channels=("acc_*",), min_duration=10.0).labelled(
        "train", seed=0
    )
    assert windows.clip_recordings.tolist() == [0, *[1] * (CLIPS - 1)]


def test_what_was_found_is_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_overlapping(tmp_path, declare=False)
    found = revalexo(tmp_path, train_subjects=("01",), channels=("acc_*",), min_duration=10.0)
    before = found.labelled("train", seed=0).clip_offsets.tolist()

    def again(*_: object) -> None:
        pytest.fail("again")

    monkeypatch.setattr("revalexo_clip.data.revalexo.survey.place_clips", again)
    assert found.labelled("train", seed=0).clip_offsets.tolist() == before
    path = tmp_path / "imu/Subject01/3.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    with pytest.raises(pytest.fail.Exception, match="again"):
        found.labelled("train", seed=0)
