"""Takes with frame-aligned video and a clock in nanoseconds: windows lie at their time on both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.made_takes import DEVICE, rows, write_csv, write_takes
from support.tiny_dataset import number_of, write_json

from revalexo_clip.core.errors import DataError
from revalexo_clip.data import AlignedVideo
from revalexo_clip.data.ego4d.narrated import NarratedWindows
from revalexo_clip.data.ego4d.rows import Faults


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_takes(tmp_path / "takes")
    return tmp_path / "takes"


def windows(root: Path, subject: str, **fields: object) -> NarratedWindows:
    small = {"window": 1.0, "frames": 3, "crop": 36, "short_side": 36, "imu_rate": 400, "around": "anywhere"}
    data = AlignedVideo.model_validate(
        {"root": root, "train_subjects": (subject,), "train_stride": 0.5} | small | fields
    )
    built = data.build("train", 0)
    assert isinstance(built, NarratedWindows)
    return built


@pytest.mark.parametrize(("subject", "take", "late"), [("P7", "early", 0.5), ("array", "array", 0.25)])
def test_samples_and_frames_are_those_of_one_moment(root: Path, subject: str, take: str, late: float) -> None:
    found = windows(root, subject)
    samples = [found[0, index] for index in range(len(found)) if take in found.clip_names[found.windows.clip_N[index]]]
    assert len(samples) >= 4
    for sample in samples:
        start = float(sample.start)
        inner = slice(20, -20)  # the filter repeats the ends of a recording
        expected_L = start + late + np.arange(400) / 400
        np.testing.assert_allclose(sample.imu_LC[inner, 0], expected_L[inner], atol=2e-3)
        np.testing.assert_allclose(sample.imu_LC[:, 1], 9.81, atol=1e-4)
        shown = [number_of(frame.numpy()) for frame in sample.video_THWC]
        np.testing.assert_allclose(shown, 10 * (start + np.array([0, 0.5, 1])), atol=0.5 + 1e-3)


def test_narrations_have_times_in_the_video(root: Path) -> None:
    found = windows(root, "P7", around="narrations")
    assert found.clip_names == ("P7/early",) or "P7/early" in found.clip_names
    time_S, texts = found.texts(found.clip_names.index("P7/early"))
    np.testing.assert_allclose(time_S, [0.75, 1.5])
    assert texts == ("C waits", "C opens, then closes")
    np.testing.assert_allclose(found.windows.start_N, [0.25, 1.0])


def test_faults_are_counted_and_windows_leave_gaps_out(root: Path) -> None:
    found = windows(root, "P7")
    assert found.faults["faulty"] == Faults(rows=2800, backward=1, not_finite=1, gaps=1)
    of_faulty = [index for index in range(len(found)) if "faulty" in found.clip_names[found.windows.clip_N[index]]]
    starts = [float(found[0, index].start) for index in of_faulty]
    assert starts
    assert all(start + 1 <= 2.01 or start >= 2.49 for start in starts)


@pytest.mark.long
@pytest.mark.parametrize("cell", ["inf", "1e400", "9" * 400, "", "nan"])
def test_a_row_whose_time_is_no_number_is_left_out(root: Path, cell: str) -> None:
    write_csv(root / "array", rows(DEVICE))
    (root / "array" / "imu.npy").unlink()
    lines = (root / "array" / "imu.csv").read_text().splitlines()
    for number in (1, 100):
        lines[number] = f"{cell},{lines[number].partition(',')[2]}"
    (root / "array" / "imu.csv").write_text("\n".join(lines) + "\n")
    assert windows(root, "array").faults["array"].without_time == 2


def test_spaces_around_the_names_of_columns_do_not_move_the_clock(root: Path) -> None:
    (root / "early" / "take.json").write_text('{"subject": "P7"}')
    shifted = windows(root, "P7").texts(0)
    for path in (root / "early").glob("*.csv"):
        header, _, body = path.read_text().partition("\n")
        path.write_text(f"{header.replace(',', ' , ')} \n{body}".replace("timestamps_ns", " timestamps_ns", 1))
    spaced = windows(root, "P7")
    np.testing.assert_allclose(spaced.texts(0).time_S, shifted.time_S)
    assert spaced.texts(0).texts == shifted.texts
    assert float(spaced[0, 0].imu_LC[100, 0]) == pytest.approx(float(spaced[0, 0].start) + 0.25, abs=2e-3)


def test_an_array_whose_first_time_is_missing_begins_with_the_next(root: Path) -> None:
    path = root / "array" / "imu.npy"
    (root / "array" / "frames.csv").unlink()
    array = np.load(path)
    array[0, 0] = np.nan
    np.save(path, array)
    found = windows(root, "array")
    assert found.faults["array"].without_time == 1
    assert len(found) >= 4


def test_a_table_without_a_first_time_is_refused_rather_than_moved(root: Path) -> None:
    path = root / "faulty" / "imu.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},timestamps_ns", *(f"{line}," for line in lines)]) + "\n")
    assert "has times, but none of them could be read as the first" in windows(root, "P7").excluded["P7/faulty"]


def drop_video(root: Path) -> None:
    (root / "array" / "array.mp4").unlink()


def two_videos(root: Path) -> None:
    (root / "array" / "other.mp4").write_bytes(b"")


def remove_frames(root: Path) -> None:
    (root / "array" / "frames.csv").write_text("frame,timestamps_ns\n")


def start_as_text(root: Path) -> None:
    write_json(root / "array" / "take.json", {"video_start_ns": "soon"})


def other_column(root: Path) -> None:
    path = root / "early" / "narrations.csv"
    path.write_text(path.read_text().replace("text", "sentence"))


def wrong_time(root: Path) -> None:
    path = root / "early" / "narrations.csv"
    path.write_text("timestamps_ns,text\nnoon,C eats\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_video, "no take of array .* there is no video of this take"),
        (two_videos, r"there are several mp4 files; name the one of the glasses video\.mp4"),
        (remove_frames, r"frames\.csv: has a header but no frames"),
        (start_as_text, r"take\.json: video_start_ns must be a whole number, not 'soon'"),
        (other_column, r"narrations\.csv: no column text"),
        (wrong_time, "'noon' in column timestamps_ns is not a time in nanoseconds"),
    ],
)
def test_what_is_wrong_with_the_files_is_named(root: Path, change: Callable[[Path], None], message: str) -> None:
    change(root)
    with pytest.raises(DataError, match=message):
        windows(root, "array")


def test_a_folder_without_takes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder in it has imu\.csv or imu\.npy"):
        windows(tmp_path, "P7")
