"""Ego4D: a made miniature with every fault; what cannot be used is left out, counted and listed, never zeros."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.made_ego4d import FAULTY, GOOD, LATE, NO_GYRO, NO_IMU, NO_TABLE, NO_VIDEO, OTHER, write_clips, write_ego4d
from support.tiny_dataset import number_of

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import Sample
from revalexo_clip.data import Ego4D
from revalexo_clip.data.ego4d.narrated import NarratedClips, NarratedWindows
from revalexo_clip.data.ego4d.rows import Faults
from revalexo_clip.data.ego4d.tables import read_csv
from revalexo_clip.data.texts import Narrations

PARTICIPANTS = ("participant_1", "participant_2", NO_GYRO)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ego4d")
    write_ego4d(root)
    return root


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ego4d(root: Path, **fields: object) -> Ego4D:
    given = {"root": root, "train_subjects": PARTICIPANTS, "val_subjects": ("participant_12",)}
    small = {"window": 2.5, "frames": 3, "crop": 36, "short_side": 36}
    return Ego4D.model_validate(given | small | fields)


def built(data: Ego4D, split: str = "train") -> NarratedWindows:
    windows = data.build("train" if split == "train" else "val", 0)
    assert isinstance(windows, NarratedWindows)
    return windows


def samples(windows: NarratedClips, epoch: int = 0) -> list[Sample]:
    return [windows[epoch, index] for index in range(len(windows))]


def test_windows_lie_around_narrations_of_the_wearer(made: Path) -> None:
    windows = built(ego4d(made), "val")
    assert windows.windows.start_N.tolist() == [0.0, 0.25, 1.25, 2.25, 3.25, 4.25, 5.25]
    assert windows.imu_spec.channels[3] == "gyro_Camera_x"
    assert windows.imu_spec.units == ("m/s^2",) * 3 + ("rad/s",) * 3
    assert windows.clip_names == (f"participant_12/{OTHER}",)
    everybody = built(ego4d(made, wearer_only=False), "val")
    assert 1.75 in everybody.windows.start_N.tolist()


def test_samples_and_frames_are_those_of_their_time(made: Path) -> None:
    for sample in samples(built(ego4d(made), "val")):
        start = float(sample.start)
        np.testing.assert_allclose(sample.imu_LC[:, 0], start + np.arange(500) / 200, atol=1e-4)
        np.testing.assert_allclose(sample.imu_LC[0, 1:], [9.81, -1.0, 0.1, -0.2, 0.3], atol=1e-5)
        shown = [number_of(frame.numpy()) for frame in sample.video_THWC]
        expected = 10 * (start + np.array([0, 1.25, 2.5]))
        np.testing.assert_allclose(shown, expected, atol=0.5 + 1e-6)


def test_what_is_left_out_is_counted_and_listed(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        windows = built(ego4d(made))
    assert windows.faults[FAULTY] == Faults(
        rows=1500, without_time=6, backward=4, not_finite=5, gaps=1, absent_components=(1,)
    )
    assert windows.faults[GOOD] == Faults(rows=1600)
    reasons = {name.partition("/")[2]: reason for name, reason in windows.excluded.items()}
    assert sorted(reasons) == sorted([NO_TABLE, NO_GYRO, NO_VIDEO])
    assert "the IMU table is missing" in reasons[NO_TABLE]
    assert "no column gyro_y" in reasons[NO_GYRO]
    assert "the video is missing" in reasons[NO_VIDEO]
    log = caplog.text
    assert "15 of 3100 IMU rows are left out: 6 without time, 4 that go back in time, 5 that lack a value" in log
    assert f"1 take without IMU components: {FAULTY}" in log
    assert all(f"{name} is left out" in log for name in reasons)
    assert NO_IMU not in str(windows.clip_names)


def test_no_window_has_zeros_or_lies_in_a_gap(made: Path) -> None:
    windows = built(ego4d(made, around="anywhere", train_stride=0.5))
    found = [sample for sample in samples(windows) if FAULTY in windows.clip_names[int(sample.clip)]]
    assert len(found) > 4
    for sample in found:
        start = float(sample.start)
        np.testing.assert_allclose(sample.imu_LC[:, 0], start + np.arange(500) / 200, atol=6e-3)
        np.testing.assert_allclose(sample.imu_LC[:, 1], 9.81, atol=1e-5)
        assert start + 2.5 <= 4.01 or start >= 4.49
    assert {windows.clip_names[int(sample.clip)] for sample in found} == {
        f"participant_1/{FAULTY}",
        f"participant_1/{FAULTY}#1",
    }


def test_a_table_that_begins_late_has_windows_from_there_on(made: Path) -> None:
    windows = built(ego4d(made, train_subjects=(LATE,), around="anywhere", train_stride=0.5))
    assert float(windows.windows.start_N.min()) == 1.5
    for sample in samples(windows, epoch=3):
        np.testing.assert_allclose(sample.imu_LC[:, 0], float(sample.start) + np.arange(500) / 200, atol=6e-3)


def test_a_piece_without_a_multiple_of_the_stride_has_no_evaluation_window(made: Path) -> None:
    windows = ego4d(made, around="anywhere", eval_stride=5.0).evaluating(("participant_1",)).build("test", 0)
    names = [windows.clip_names[clip].partition("/")[2] for clip in windows.windows.clip_N]
    assert sorted(zip(names, windows.windows.start_N.tolist(), strict=True)) == [
        (GOOD, 0.0),
        (GOOD, 5.0),
        (FAULTY, 0.0),
        (f"{FAULTY}#1", 5.0),
    ]


def test_training_windows_jitter_around_their_narration(made: Path) -> None:
    windows = built(ego4d(made, jitter=1.0))
    index = next(place for place in range(len(windows)) if windows.windows.start_N[place] == 1.75)
    starts = [float(windows[epoch, index].start) for epoch in range(12)]
    assert 1.75 <= min(starts) < 2.0
    assert 2.5 < max(starts) <= 2.75
    assert all(0 <= float(sample.start) <= 5.5 for epoch in range(3) for sample in samples(windows, epoch))
    still = built(ego4d(made))
    assert float(still[0, 2].start) == float(still[5, 2].start)


def test_every_window_carries_the_narrations_whose_times_lie_in_it(made: Path) -> None:
    everything = ego4d(made, wearer_only=False, around="anywhere", eval_stride=1.125)
    windows = built(everything, "val")
    assert float(windows[0, 2].start) == 2.25
    time_S, texts = windows.texts(0)
    assert time_S.tolist() == [0.5, 1.5, 2.5, 3.0, 3.5, 4.5, 5.5, 6.5]
    assert texts[2:4] == ("#C C does 2", "#O A man X waves")
    time_S, texts = windows.texts_of(2)  # 2.25 to 4.75 s
    np.testing.assert_allclose(time_S, [0.25, 0.75, 1.25, 2.25])
    assert texts == ("#C C does 2", "#O A man X waves", "#C C does 3", "#C C does 4")
    imu_alone = everything.labelled("val", 0)
    assert isinstance(imu_alone, NarratedClips)
    assert imu_alone.texts_of(2).texts == texts
    assert imu_alone[0, 2].video_THWC.shape[0] == 0


@pytest.mark.parametrize("around", ["narrations", "anywhere"])
def test_narrations_of_others_do_not_describe_what_the_wearer_does(made: Path, around: str) -> None:
    data = ego4d(made, around=around)
    windows = data.labelled("val", 0)
    assert isinstance(windows, NarratedClips)
    time_S, texts = windows.texts(0)
    assert time_S.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert set(Narrations().build(data, windows).sentences) == set(texts) == data.sentences()
    with pytest.raises(ConfigError, match=r"texts\.held_out: no narration means #C C does 77; did you mean '#C C does"):
        Narrations(held_out=("#C C does 77",)).build(data, windows, training=True)
    held = Narrations(held_out=("#C C does 3",)).build(data, windows, training=True)
    assert set(held.sentences) == set(texts) - {"#C C does 3"}


def test_without_video_no_video_is_needed(made: Path) -> None:
    windows = ego4d(made, around="anywhere").labelled("train", 0)
    assert f"participant_2/{NO_VIDEO}" in windows.clip_names


def test_clips_have_the_imu_and_narrations_of_their_part_of_the_video(made: Path, tmp_path: Path) -> None:
    root = shutil.copytree(made, tmp_path / "copy")
    write_clips(root)
    windows = built(ego4d(root, videos="clips", train_subjects=("participant_1",)))
    assert windows.clip_names == ("participant_1/clip-a",)
    time_S, texts = windows.texts(0)
    assert (float(time_S[0]), texts[0]) == (0.0, "#C C does 1")
    for sample in samples(windows):
        start = float(sample.start)
        np.testing.assert_allclose(sample.imu_LC[:, 0], 1.5 + start + np.arange(500) / 200, atol=3e-3)
        assert float(sample.time) == pytest.approx(1.5 + start)
        shown = [number_of(frame.numpy()) for frame in sample.video_THWC]
        expected = np.minimum(10 * (start + np.array([0, 1.25, 2.5])), 59)  # the last frame lasts until the end
        np.testing.assert_allclose(shown, expected, atol=0.5 + 1e-6)
    assert [name for name in windows.excluded if FAULTY in name]


def test_a_clip_that_is_missing_is_left_out_alone(made: Path, tmp_path: Path) -> None:
    root = shutil.copytree(made, tmp_path / "copy")
    write_clips(root)
    described = json.loads((root / "ego4d.json").read_text())
    described["clips"].append({"clip_uid": "clip-gone", "video_uid": GOOD, "video_start_sec": 0.0})
    (root / "ego4d.json").write_text(json.dumps(described))
    windows = built(ego4d(root, videos="clips", train_subjects=("participant_1",)))
    assert windows.clip_names == ("participant_1/clip-a",)
    assert "clip-gone.mp4: the video is missing" in windows.excluded["participant_1/clip-gone"]


def test_other_narrations_are_other_data(made: Path, tmp_path: Path) -> None:
    root = shutil.copytree(made, tmp_path / "copy")
    before = built(ego4d(root), "val").fingerprint()
    assert built(ego4d(made), "val").fingerprint() == before
    path = root / "v2" / "annotations" / "narration.json"
    path.write_text(path.read_text().replace("#C C does 2", "#C C sits"))
    assert built(ego4d(root), "val").fingerprint() != before


def test_subjects_are_drawn_once_and_are_in_one_split_each(made: Path) -> None:
    drawn = Ego4D(root=made, val_share=0.3, test_share=0.3)
    splits = {split: drawn.subjects(split) for split in ("train", "val", "test")}
    everyone = [name for names in splits.values() for name in names]
    assert sorted(everyone) == sorted({"participant_1", "participant_2", "participant_12", NO_GYRO, LATE})
    assert Ego4D(root=made, val_share=0.0, test_share=0.0).subjects("train") == tuple(sorted(everyone))
    larger = Ego4D(root=made, val_share=0.3, test_share=0.5)
    assert set(splits["test"]) <= set(larger.subjects("test"))
    assert drawn.evaluating(("participant_1",)).subjects("train") == ()
    with pytest.raises(ValidationError, match="leave no subjects for training"):
        Ego4D(root=made, val_share=0.5, test_share=0.5)


def test_tables_are_read_once_until_they_change(made: Path, tmp_path: Path) -> None:
    root = shutil.copytree(made, tmp_path / "copy")
    first = built(ego4d(root), "val")
    kept = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(kept) == 1
    table = root / "v2" / "imu" / f"{OTHER}.csv"
    changed = kept[0].stat().st_mtime_ns
    again = built(ego4d(root), "val")
    assert kept[0].stat().st_mtime_ns == changed
    for one, other in zip(samples(first), samples(again), strict=True):
        assert one.imu_LC.equal(other.imu_LC)
    table.write_text(table.read_text().replace("9.810000", "9.500000"))
    assert float(built(ego4d(root), "val")[0, 0].imu_LC[0, 1]) == 9.5
    copied = pickle.loads(pickle.dumps(first))
    assert copied[0, 0].imu_LC.equal(first[0, 0].imu_LC)


def test_without_a_cache_folder_samples_stay_in_memory(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert built(ego4d(made), "val")[0, 0].imu_LC.shape == (500, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "ego4d.json").unlink(), r"there is no ego4d\.json"),
        (lambda root: (root / "ego4d.json").write_text("{"), r"ego4d\.json: is not a JSON file"),
        (lambda root: (root / "ego4d.json").write_text("[]"), r"ego4d\.json: is not a JSON object"),
        (lambda root: (root / "ego4d.json").write_text('{"videos": [{}]}'), "an entry has no video_uid"),
        (lambda root: (root / "v2/annotations/narration.json").unlink(), "around=anywhere"),
        (lambda root: shutil.rmtree(root / "v2/imu"), "no take of participant_12 .* the IMU table is missing"),
    ],
)
def test_what_is_wrong_with_the_files_is_named(made: Path, tmp_path: Path, change: object, message: str) -> None:
    root = shutil.copytree(made, tmp_path / "copy")
    assert callable(change)
    change(root)
    with pytest.raises(DataError, match=message):
        built(ego4d(root), "val")


def test_numbers_beyond_all_limits_are_none(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("part,time,x\n1e300,1e400,1\n2,inf,1\n0,1,x\n")
    table = read_csv(path, ["x"], "time", 1000.0, "part")
    assert table.component_n is not None
    assert table.component_n.tolist() == [-1, 2, 0]
