from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.damage import IMU, PAIRS, VIDEO, cell, edit, first_pair, keep, signal
from support.sound_dataset import CHANNELS, samples, write_samples, write_sound_dataset
from support.tiny_dataset import revalexo, steady, write_json, write_video

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data import RevalExo
from revalexo_clip.data.imu import common_channels, read_imu
from revalexo_clip.data.revalexo.check import KINDS, Findings, Problem, check_dataset
from revalexo_clip.data.revalexo.check.clip import check_video
from revalexo_clip.data.revalexo.check.recording import check_recording
from revalexo_clip.data.revalexo.check.signals import check_signals, longest_run
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.synthetic import synthesize
from revalexo_clip.data.video import read_frames, survey

PATTERNS = ("acc_*", "gyro_Pelvis_*")
REVALEXO: tuple[str, ...] = RevalExo.model_fields["channels"].default

Signal = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound") / "dataset"
    write_sound_dataset(root)
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "dataset"))


check = partial(check_dataset, channels=PATTERNS, imu_rate=60.0, processes=1)


def kinds(found: Findings) -> set[str]:
    return {problem.kind for problem in found.problems}


@pytest.mark.long
def test_nothing_is_wrong_with_simulated_recordings(tmp_path: Path) -> None:
    synthesize(tmp_path, subjects=1, clips=1, processes=1)
    found = check(tmp_path, channels=REVALEXO)
    assert found.problems == ()
    assert (found.clips, found.seconds, found.subjects) == (1, 12.0, ("Subject01",))


def test_nothing_is_wrong_with_real_recordings(real: Path) -> None:
    found = check(real, channels=("acc_Head_*", "gyro_Head_*"))
    assert found.problems == ()
    assert found.subjects == ("GoPro1", "GoPro2", "Neon1")


def test_warnings_about_the_tiny_dataset_are_correct(written: Path) -> None:
    found = check(written)
    assert kinds(found) == {"out_of_range", "duplicate_file"}, "ramps for signals, and every clip the same"
    assert {problem.severity for problem in found.problems} == {"warning"}
    copies = [problem.file for problem in found.problems if problem.kind == "duplicate_file"]
    assert len([path for path in copies if path.suffix == ".csv"]) == 5


def test_problems_are_sorted_by_kind_and_file_and_all_are_found(root: Path) -> None:
    keep(IMU, 0.0)(root)
    for subject in ("Subject01", "Subject02", "Subject08"):
        keep(f"videos/{subject}/0001.mp4", 0.5)(root)
    (root / VIDEO).unlink()
    found = check(root)
    assert [(problem.kind, str(problem.file.relative_to(root))) for problem in found.problems] == [
        ("missing_file", VIDEO),
        ("empty_file", IMU),
        ("not_a_video", "videos/Subject01/0001.mp4"),
        ("not_a_video", "videos/Subject02/0001.mp4"),
        ("not_a_video", "videos/Subject08/0001.mp4"),
    ]
    assert list(KINDS).index("missing_file") < list(KINDS).index("empty_file")
    assert {problem.clip for problem in found.problems[:2]} == {"Subject01/0000"}


def test_progress_counts_clips(root: Path) -> None:
    seen: list[tuple[int, int]] = []
    check(root, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(7)]


@pytest.mark.parametrize("lacking", [("video_folder",), ("video",), ("video_folder", "video")])
def test_subjects_without_video_are_no_problem_and_their_recordings_are_checked(
    lacking: tuple[str, ...], root: Path
) -> None:
    def imu_only(subject: JsonObject) -> None:
        pairs = subject["pairs"]
        assert isinstance(pairs, dict)
        for described in (subject, *pairs.values()):
            assert isinstance(described, dict)
            for key in lacking:
                described.pop(key, None)

    edit(PAIRS, imu_only)(root)
    found = check(root)
    assert (found.problems, found.subjects_without_video, found.clips) == ((), ("Subject01",), 6)
    cell("nan")(root)
    assert kinds(check(root)) == {"not_finite"}


def test_only_the_subjects_and_the_clips_that_are_asked_for_are_read(root: Path) -> None:
    keep(VIDEO, 0.5)(root)
    assert check(root, subjects=["Subject02", "Subject08"]).problems == ()
    assert check(root, min_duration=4.5).clips == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_an_inaccessible_file_is_not_reported_as_invalid(root: Path) -> None:
    (root / IMU).chmod(0)
    (problem,) = check(root).problems
    assert (problem.kind, problem.message) == ("unreadable_file", "cannot be read: Permission denied")


@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_what_reading_accepts_is_not_a_problem(mark: str, root: Path) -> None:
    content = mark + (root / IMU).read_text().replace("\n", "\r\n\r\n")
    (root / IMU).write_bytes(content.encode())
    assert check(root).problems == ()


def test_an_empty_folder_is_reported(tmp_path: Path) -> None:
    assert kinds(check(tmp_path)) == {"label_mapping"}
    write_json(tmp_path / "label_mapping.json", {"label_to_idx": {"walking": 0}})
    (problem,) = check(tmp_path).problems
    assert problem == Problem(
        "subject_file", tmp_path / "data_pairs", "has no .json file; it should have one per subject"
    )


def test_the_channels_of_most_recordings_are_the_right_ones(root: Path) -> None:
    fewer = [place for place, channel in enumerate(CHANNELS) if channel != "acc_Pelvis_x"]
    write_samples(root / IMU, samples(0)[:, fewer], [CHANNELS[place] for place in fewer])
    (problem,) = check(root).problems
    assert (problem.kind, problem.file) == ("other_channels", root / IMU)
    assert str(problem).endswith(f"lacks 1 channels (acc_Pelvis_x) of {root / 'imu/Subject01/0001.csv'} and 4 more")


def test_every_kind_of_wrong_cell_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t,acc_x,acc_y\n0,1,2\n0,nan,x\n0,inf,2\n0,1\n0,1,-\n")
    assert check_recording(path, ["acc_*"], 60.0, 0.05).findings == [
        ("ragged_rows", "line 5 has 2 cells, the header has 3"),
        ("not_a_number", "line 3 (row 2), column acc_y: 'x' is not a number (2 such places)"),
        ("not_finite", "line 3 (row 2), column acc_x: 'nan' is not a finite number (2 such places)"),
    ]


def test_a_recording_may_lack_the_sample_that_rounding_takes(tmp_path: Path) -> None:
    for count, expected in ((240, []), (239, []), (238, ["imu_short"])):
        write_samples(tmp_path / "a.csv", samples(0)[:count])
        found = check_recording(tmp_path / "a.csv", PATTERNS, 60.0, 4.0)
        assert [kind for kind, _ in found.findings] == expected


def signals(**changed: Callable[[Signal], object]) -> list[str]:
    """Return the kinds of problem of a signal after changes to some channels."""
    by_channel = dict(zip(CHANNELS, samples(0, duration=12.0).T.copy(), strict=True))
    for channel, change in changed.items():
        change(by_channel[channel])
    return [kind for kind, _ in check_signals(np.stack(list(by_channel.values()), 1).astype(np.float32), CHANNELS, 60)]


def test_a_channel_that_stands_still_for_less_than_a_second_is_not_flat() -> None:
    assert signals(acc_Pelvis_x=lambda value_n: value_n[60:119].fill(0.1)) == []
    assert signals(acc_Pelvis_x=lambda value_n: value_n[60:122].fill(0.1)) == ["flat_channel"]


def test_a_peak_is_not_a_saturation_and_neither_is_rest_in_coarse_steps() -> None:
    assert signals(acc_Left_Foot_x=lambda value_n: value_n[100:104].fill(40.0)) == []
    assert signals(acc_Left_Foot_x=lambda value_n: value_n[100:105].fill(40.0)) == ["saturated_channel"]
    assert signals(gyro_Pelvis_x=lambda value_n: np.round(value_n, 0, out=value_n)) == []


def test_units_are_detected_at_rest_and_in_motion_with_and_without_gravity() -> None:
    rng = np.random.default_rng(1)
    still, walk = rng.normal(0, 0.02, (720, 3)), 6 * np.sin(np.arange(720)[:, None] / 8 + np.arange(3))
    gravity = np.array([0.0, 0.0, 9.81])
    acc, gyro = ("acc_a_x", "acc_a_y", "acc_a_z"), ("gyro_a_x", "gyro_a_y", "gyro_a_z")

    def found(samples_nC: Signal, channels: tuple[str, ...]) -> list[str]:
        return [kind for kind, _ in check_signals(samples_nC.astype(np.float32), channels, 60.0)]

    assert [found(signal, acc) for signal in (still + gravity, walk + gravity, walk)] == [[]] * 3
    assert [found(signal, acc) for signal in (walk / 6, still)] == [["no_gravity"]] * 2
    assert [found(signal / 9.81, acc) for signal in (still + gravity, walk / 6 + gravity)] == [["acc_units"]] * 2
    assert [found(signal, gyro) for signal in (still, walk / 3, walk)] == [[]] * 3
    assert [found(np.rad2deg(signal), gyro) for signal in (walk / 6, walk)] == [["gyro_units"]] * 2


@pytest.mark.parametrize("name", ["time", "PacketCounter"])
def test_a_clock_is_no_channel_and_a_counter_is_reported(name: str, root: Path) -> None:
    for path in root.glob("imu/*/*.csv"):
        header, *rows = path.read_text().splitlines()
        timed = [f"{number / 60:.6f},{row.partition(',')[2]}" for number, row in enumerate(rows)]
        path.write_text("\n".join([header.replace("time", name), *timed]) + "\n")
    windows = revalexo(root, channels=("*",), train_subjects=("Subject01",), windows_per_clip=1, min_duration=2.0)
    found = check(root, channels=("*",))
    if name == "time":
        assert windows.labelled("train", 0).imu_spec.channels == CHANNELS
        assert found.problems == ()
    else:
        assert kinds(found) == {"counting_channel"}
        assert "PacketCounter ascends with every row" in str(found.problems[0])
        with pytest.raises(ConfigError, match=r"column PacketCounter is the clock, data\.time, and no channel"):
            windows.model_copy(update={"time": name}).labelled("train", 0)
        with_clock = check(root, channels=("*",), clock=Clock(60.0, name, "s"))
        assert "bad_clock" in kinds(with_clock)
    assert kinds(check(root, channels=(name, "acc_*"))) == {"counting_channel"}


def test_permuted_axes_of_one_subject_are_a_warning_with_numbers(root: Path) -> None:
    """The pelvis of Subject08 has x and z exchanged; its foot is as that of the others."""
    for clip in ("0000", "0001"):
        path = root / f"imu/Subject08/{clip}.csv"
        rows = [row.split(",") for row in path.read_text().splitlines()]
        places = {name: place for place, name in enumerate(rows[0])}
        for kind in ("acc", "gyro"):
            one, other = places[f"{kind}_Pelvis_x"], places[f"{kind}_Pelvis_z"]
            for row in rows[1:]:
                row[one], row[other] = row[other], row[one]
        path.write_text("\n".join(map(",".join, rows)) + "\n")
    (problem,) = check(root).problems
    assert (problem.kind, problem.severity, problem.file.name) == ("permuted_axes", "warning", "Subject08.json")
    assert problem.message.startswith("Subject08: acc_Pelvis: the mean acceleration while standing is (9.8, ")
    assert "degrees apart. With the axes (z, y, x) it would be " in problem.message


def test_missing_gravity_is_a_warning(root: Path) -> None:
    signal(lambda by_channel: by_channel["acc_Pelvis_z"].__isub__(9.81))(root)
    (problem,) = check(root).problems
    assert (problem.kind, problem.severity, problem.file) == ("no_gravity", "warning", root / IMU)


def test_the_header_of_a_file_with_semicolons_is_no_channel(root: Path) -> None:
    for path in root.glob("imu/*/*.csv"):
        rows = [row.partition(",")[2] for row in path.read_text().splitlines()]
        path.write_text("\n".join(rows).replace(",", ";") + "\n")
    assert kinds(check(root)) == {"missing_channel"}
    with pytest.raises(DataError, match=r"no column matches .*its columns are separated by ';' instead of ','"):
        revalexo(root).build("train", seed=0)


def test_the_longest_run_is_found() -> None:
    for text, expected in (("", (0, 0)), ("..", (0, 0)), ("x", (0, 1)), (".xx.xxx.", (4, 3)), ("xxx..xx", (0, 3))):
        assert longest_run(np.array([mark == "x" for mark in text], dtype=bool)) == expected


def test_only_gaps_within_the_clip_count(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, [time for time in steady(6.0) if not 3.95 < time < 5.0])
    assert check_video(path, 4.0).findings == []
    assert [kind for kind, _ in check_video(path, 4.5).findings] == ["frame_gap"]
    rng = np.random.default_rng(0)
    write_video(path, np.cumsum(rng.uniform(0.005, 0.06, 150)).tolist())
    assert check_video(path, 4.0).findings == []


def test_a_survey_has_the_time_of_every_frame(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(5).uniform(0.005, 0.06, 90))
    write_video(tmp_path / "a.mp4", times.tolist(), codec={"g": "25"})
    seen = survey(tmp_path / "a.mp4")
    assert seen.damage is None
    np.testing.assert_allclose(seen.time_P, times - times[0], atol=2e-5)


def refused(read: Callable[[], object]) -> bool:
    try:
        read()
    except DataError:
        return True
    return False


@pytest.mark.long
def test_what_training_refuses_of_a_video_check_data_finds(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, steady(3.0), codec={"g": "30"})
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    header, refusals = whole.index(b"moov"), 0
    for attempt in range(80):
        damaged = bytearray(whole)
        for place in rng.integers(header if attempt % 2 else 0, len(whole), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(whole))] if attempt % 10 == 0 else damaged)
        stops = [refused(lambda: read_frames(path, np.linspace(start, start + 2, 4), 36, 36)) for start in (0, 0.5, 1)]  # noqa: B023
        if any(stops):
            refusals += 1
            assert any(KINDS[kind].severity == "error" for kind, _ in check_video(path, 3.0).findings)
    assert refusals > 20


def test_what_training_refuses_of_a_recording_check_data_finds(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_samples(path, samples(0, duration=1.0))
    whole, rng, refusals = path.read_bytes(), np.random.default_rng(0), 0
    for attempt in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(200 if attempt % 3 == 0 else len(whole), size=3):
            damaged[place] = rng.choice([*b',"\n.-x \r\0e5', 0xFF])
        path.write_bytes(damaged)
        if refused(lambda: read_imu(path, common_channels([path], PATTERNS))):
            refusals += 1
            found = check_recording(path, PATTERNS, 60.0, 1.0).findings
            assert any(KINDS[kind].severity == "error" for kind, _ in found)
    assert refusals > 40


def test_clips_that_would_end_a_run_are_excluded_and_others_are_not(root: Path) -> None:
    for change in (cell("nan"), keep("videos/Subject02/0001.mp4", 0.5)):
        change(root)
    (root / "imu/Subject08/0001.csv").write_bytes((root / "imu/Subject08/0000.csv").read_bytes())
    data = revalexo(root, on_bad_clip="exclude", workers=0)
    train, val = data.build("train", seed=0), data.build("val", seed=0)
    assert train.clip_names == ("Subject01/0001", "Subject02/0000")
    assert list(train.excluded) == ["Subject01/0000", "Subject02/0001"]
    assert train.excluded["Subject01/0000"].startswith(f"{root / IMU}: line 43")
    assert (len(train), train.num_too_short) == (20, 0)
    assert val.clip_names == ("Subject08/0000", "Subject08/0001")
    assert dict(val.excluded) == {}
    assert pickle.loads(pickle.dumps(train)).excluded == train.excluded
    assert all(train[0, index].imu_LC.isfinite().all() for index in range(len(train)))


def test_concurrent_and_later_processes_share_one_check_until_a_file_changes(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "revalexo_clip")
    whole = (root / IMU).read_bytes()
    cell("nan")(root)

    def excluded() -> list[str]:
        return list(revalexo(root, on_bad_clip="exclude", workers=0).build("train", seed=0).excluded)

    def checks() -> int:
        return caplog.text.count("checking every clip")

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: excluded(), range(3))) == [["Subject01/0000"]] * 3
    assert checks() == 1
    assert excluded() == ["Subject01/0000"]
    assert caplog.text.count("left out  Subject01/0000") == 4
    assert checks() == 1
    (root / IMU).write_bytes(whole)
    assert excluded() == []
    assert checks() == 2


def test_without_a_cache_folder_every_process_checks_for_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
    cell("nan")(root)
    for _ in range(2):
        train = revalexo(root, on_bad_clip="exclude", workers=0).build("train", seed=0)
        assert list(train.excluded) == ["Subject01/0000"]


def test_a_clip_that_is_described_wrongly_is_excluded(root: Path) -> None:
    first_pair(activity_segments=None)(root)
    assert list(revalexo(root, on_bad_clip="exclude", workers=0).build("train", seed=0).excluded) == ["Subject01/0000"]
    with pytest.raises(DataError, match=r"Subject01\.json: pairs\.0000\.activity_segments"):
        revalexo(root, workers=0).build("train", seed=0)


def test_problems_that_are_not_of_one_clip_are_still_errors(root: Path) -> None:
    data = revalexo(root, on_bad_clip="exclude", workers=0)
    for path in ("videos/Subject08/0000.mp4", "videos/Subject08/0001.mp4"):
        (root / path).unlink()
    with pytest.raises(DataError, match=r"no clip of Subject08 lasts at least 3 s \(2 were excluded and 0 are shorter"):
        data.build("val", seed=0)
    keep(PAIRS, 0.5)(root)
    with pytest.raises(DataError, match=r"Subject01\.json: Invalid JSON"):
        data.build("train", seed=0)
