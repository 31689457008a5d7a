"""Importing recordings into datasets: what is planned, what is written, and that errors leave nothing behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.made_gopro import FPS, Camera, acceleration, rotation, write_gopro
from support.tiny_dataset import number_of, real_dataset, steady, write_json, write_video
from typer.testing import CliRunner

from revalexo_clip.cli.app import app
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data.revalexo.check import command
from revalexo_clip.data.video import read_frames, survey
from revalexo_clip.devices.base import DeviceRecording, ImuStream, Label, LabelTrack, channels_of
from revalexo_clip.devices.describe import plan_lines
from revalexo_clip.devices.gopro import read_gopro
from revalexo_clip.devices.plan import ImportOptions, plan_import
from revalexo_clip.devices.video_files import cut_video, read_video
from revalexo_clip.devices.write import write_import

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 4 s; its IMU starts 0.25 s late."""
    path = tmp_path_factory.mktemp("source") / "GX010007.MP4"
    write_gopro(path, Camera(first=0.25))
    return path


@pytest.fixture(scope="module")
def recording(source: Path) -> DeviceRecording:
    return read_gopro(source)


def import_it(recording: DeviceRecording, root: Path, subject: str = "Anna", **options: object) -> list[str]:
    """Import a recording; return its plan's lines."""
    plan = plan_import(recording, root, subject, ImportOptions(**options))  # type: ignore[arg-type]
    write_import(plan)
    return plan_lines(plan)


def table(root: Path, clip: str, subject: str = "Anna") -> dict[str, Floats]:
    """The columns of an IMU file."""
    path = root / "imu" / subject / f"{clip}.csv"
    names = path.read_text().partition("\n")[0].split(",")
    return dict(zip(names, np.loadtxt(path, delimiter=",", skiprows=1, unpack=True), strict=True))


def pairs(root: Path, subject: str = "Anna") -> dict[str, dict[str, object]]:
    """The clips of a subject."""
    found: dict[str, dict[str, object]] = json.loads((root / "data_pairs" / f"{subject}.json").read_text())["pairs"]
    return found


def everything(folder: Path) -> dict[Path, bytes]:
    """The content of all files."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def numbers_of(path: Path, time_T: Floats) -> list[int]:
    """The numbers that the frames at some times show."""
    return [number_of(frame_HWC) for frame_HWC in read_frames(path, time_T, 72, 72)]


def test_a_recording_becomes_clips_of_the_time_that_its_streams_share(
    recording: DeviceRecording, tmp_path: Path
) -> None:
    (tmp_path / "new" / ".import-1" / "imu").mkdir(parents=True)  # of a process that was killed
    lines = import_it(recording, tmp_path / "new", clip=1.5)
    assert any("0.250 s at its start" in line for line in lines)
    first = 8  # the first frame at or after 0.25 s
    frame = first
    for name in ("0001", "0002"):
        offset = pairs(tmp_path / "new")[name]["offset"]
        assert offset == pytest.approx(frame / FPS, abs=1e-6)
        assert isinstance(offset, float)
        columns = table(tmp_path / "new", name)
        time_M = columns["time"]
        np.testing.assert_allclose(time_M, np.arange(len(time_M)) / 60, atol=1e-6)
        imu_MC = np.stack([values_M for name, values_M in columns.items() if name != "time"], axis=1)
        true_MC = np.concatenate([acceleration(time_M + offset), rotation(time_M + offset)], axis=1)
        inside = slice(6, -6) if name == "0001" else slice(None)
        np.testing.assert_allclose(imu_MC[inside], true_MC[inside], atol=0.01)
        shown = survey(tmp_path / "new" / "videos" / "Anna" / f"{name}.mp4").time_P
        np.testing.assert_allclose(shown[:45], np.arange(45) / FPS, atol=1e-6)
        assert numbers_of(tmp_path / "new" / "videos" / "Anna" / f"{name}.mp4", shown[:44]) == [
            *range(frame, frame + 44)
        ]
        frame = int(np.ceil(first + 1.5 * FPS - 1e-6))
    checked = command.check_data(tmp_path / "new", channels=["acc_*", "gyro_*"], min_duration=0.5, processes=1)
    assert [problem.message for problem in checked.problems] == []
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"data_pairs", "imu", "videos", "label_mapping.json"}


def test_a_dataset_is_extended_at_its_rate_and_in_its_axes(recording: DeviceRecording, tmp_path: Path) -> None:
    import_it(recording, tmp_path, rate=50.0, axes="right,forward,up")
    other = replace(recording, imu=tuple(replace(one, values_NC=one.values_NC * 1.1) for one in recording.imu))
    lines = import_it(other, tmp_path, "Ben")
    assert any("axes are turned" in line for line in lines)
    anna, ben = table(tmp_path, "0001"), table(tmp_path, "0001", "Ben")
    for name in ("acc_Head_x", "acc_Head_y", "acc_Head_z", "gyro_Head_y"):
        np.testing.assert_allclose(ben[name], 1.1 * anna[name], atol=1e-4)
    assert np.diff(ben["time"]).max() == pytest.approx(0.02, abs=1e-6)
    start = pairs(tmp_path)["0001"]["offset"]
    assert isinstance(start, float)
    np.testing.assert_allclose(anna["acc_Head_x"][9:-9], -acceleration(anna["time"] + start)[9:-9, 0], atol=0.01)


def test_nothing_is_imported_twice_or_overwritten(recording: DeviceRecording, tmp_path: Path) -> None:
    import_it(recording, tmp_path)
    before = everything(tmp_path)
    renamed = replace(recording, source=Path("other.mp4"))
    with pytest.raises(DataError, match=r"is in .* already, as Anna/0001; nothing is written"):
        import_it(renamed, tmp_path, "Ben", clip=2.0, rate=30.0)
    assert everything(tmp_path) == before
    again = replace(recording, imu=tuple(replace(one, values_NC=one.values_NC + 1) for one in recording.imu))
    import_it(again, tmp_path)
    after = everything(tmp_path)
    assert {path for path in before if before[path] != after[path]} == {tmp_path / "data_pairs" / "Anna.json"}
    assert [pair["recording"] for pair in pairs(tmp_path).values()] == ["GX010007", "GX010007-2"]


def test_labels_become_segments_of_the_clips(recording: DeviceRecording, tmp_path: Path) -> None:
    labels = LabelTrack((Label(0.0, 1.0, "standing"), Label(1.0, 3.9, "walking"), Label(8.0, 9.0, "lying")))
    lines = import_it(recording, tmp_path, clip=2.0, labels=labels)
    start = 8 / FPS
    assert pairs(tmp_path)["0001"]["activity_segments"] == [
        {"start": 0.0, "end": pytest.approx(1.0 - start, abs=1e-3), "activity": "standing"},
        {"start": pytest.approx(1.0 - start, abs=1e-3), "end": pytest.approx(2.0, abs=0.04), "activity": "walking"},
    ]
    assert any("1 of 3 labels lie outside the clips" in line for line in lines)
    mapping = json.loads((tmp_path / "label_mapping.json").read_text())
    assert mapping["label_to_idx"] == {"standing": 0, "walking": 1, "lying": 2}


def test_a_gap_divides_a_recording(tmp_path: Path) -> None:
    write_gopro(tmp_path / "lost.mp4", Camera(lost=(2, 60)))
    lines = import_it(read_gopro(tmp_path / "lost.mp4"), tmp_path / "new")
    assert sum("IMU rows" in line for line in lines) == 2
    for pair in pairs(tmp_path / "new").values():
        columns = table(tmp_path / "new", str(pair["imu"])[:4])
        offset = float(str(pair["offset"]))
        np.testing.assert_allclose(columns["acc_Head_x"], np.sin(4 * (columns["time"] + offset)), atol=0.05)


def test_without_video_a_subject_has_imu_files_only(tmp_path: Path) -> None:
    stream = ImuStream("Wrist", channels_of("Wrist"), np.arange(300) / 100, np.ones((300, 6)))
    import_it(DeviceRecording(Path("wrist.csv"), "logger", (stream,)), tmp_path)
    content = json.loads((tmp_path / "data_pairs" / "Anna.json").read_text())
    assert "video_folder" not in content
    assert "video" not in content["pairs"]["0001"]
    assert len(table(tmp_path, "0001")["time"]) == 180


def test_what_cannot_be_imported_leaves_nothing_behind(recording: DeviceRecording, tmp_path: Path) -> None:
    stream = recording.imu[0]
    late = replace(recording, imu=(replace(stream, time_N=stream.time_N + 3.5),))
    with pytest.raises(DataError, match=r"no second in common: video 0\.000 to 4\.004 s, acc_Head 3\."):
        import_it(late, tmp_path / "new")
    with pytest.raises(DataError, match="set --rate to 3"):
        import_it(recording, tmp_path / "new", rate=500.0)
    for wrong in ("up", "left, up, back", "left, back, sideways"):
        with pytest.raises(ConfigError, match="--axes"):
            import_it(recording, tmp_path / "new", axes=wrong)
    for name in ("../Anna", "An\0na"):
        with pytest.raises(ConfigError, match="--subject"):
            import_it(recording, tmp_path / "new", name)
    with pytest.raises(ConfigError, match=r"--subject ää.* has 400 bytes, too many .* at most 100"):
        import_it(recording, tmp_path / "new", "ä" * 200)
    for rate in (0.1, 0.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"--rate .*: IMU files need at least 10 Hz"):
            import_it(recording, tmp_path / "new", rate=rate)
    holes = stream.values_NC.copy()
    holes[300] = np.nan
    with pytest.raises(DataError, match="not finite"):
        import_it(replace(recording, imu=(replace(stream, values_NC=holes),)), tmp_path / "new")
    assert recording.video is not None
    gone = replace(recording, video=replace(recording.video, files=(tmp_path / "gone.mp4",)))
    with pytest.raises(DataError, match="gone"):
        import_it(gone, tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "away" / "data_pairs" / "a.json", {"subject": "Anna", "imu_folder": "../imu", "pairs": {}})
    with pytest.raises(DataError, match="outside the dataset"):
        import_it(recording, tmp_path / "away")
    shutil.rmtree(tmp_path / "away")
    (tmp_path / "imu").mkdir()
    (tmp_path / "label_mapping.json").write_text('{"label_to_idx": {"walking": 0}}')
    (tmp_path / "imu" / "Anna").write_text("a file where a folder should be")
    before = everything(tmp_path)
    with pytest.raises(DataError, match="cannot be written"):
        import_it(recording, tmp_path)
    assert everything(tmp_path) == before
    assert {path.name for path in tmp_path.rglob("*")} == {"imu", "Anna", "label_mapping.json"}


@pytest.fixture
def turned_video(tmp_path: Path) -> Path:
    path = tmp_path / "turned.mp4"
    quarter = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    write_video(path, steady(2.0), codec={"g": "30"}, matrix=quarter)
    return path


def test_a_cut_video_has_the_same_pixels_times_and_rotation(turned_video: Path, tmp_path: Path) -> None:
    video = read_video([turned_video])
    cut_video(video, 17, 50, tmp_path / "cut.mp4")
    time_T = video.time_T[17:50] - video.time_T[17]
    np.testing.assert_allclose(survey(tmp_path / "cut.mp4").time_P[:33], time_T, atol=1e-9)
    expected = read_frames(turned_video, video.time_T[17:50], 72, None)
    np.testing.assert_array_equal(read_frames(tmp_path / "cut.mp4", time_T, 72, None), expected)
    assert expected.shape[1:3] == (96, 72)


@pytest.mark.long
def test_the_command_prints_its_plan_and_writes_it(source: Path, tmp_path: Path) -> None:
    arguments = ["import-recording", str(source), "--subject", "Anna", "--into", str(tmp_path / "new")]
    dry = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "GoPro HERO9 Black, GX010007.MP4" in dry.stdout
    assert "Head: acc [m/s^2], gyro [rad/s], 199.30 Hz" in dry.stdout
    assert "axes: x left, y back, z up" in dry.stdout
    assert not (tmp_path / "new").exists()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert list(pairs(tmp_path / "new")) == ["0001"]
    again = subprocess.run(
        [sys.executable, "-m", "revalexo_clip", *arguments], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert again.stderr.startswith(f"error: {source}: this recording is in")
    assert len(again.stderr.strip().splitlines()) == 1


def test_a_real_recording_equals_the_dataset_that_others_made_of_it(tmp_path: Path) -> None:
    real = real_dataset()
    import_it(read_gopro(real.parent / "raw" / "gopro_max.mp4"), tmp_path, "GoPro2")
    own = table(tmp_path, "0001", "GoPro2")
    other_MC = np.loadtxt(real / "imu" / "GoPro2" / "0001.csv", delimiter=",", skiprows=1)
    assert len(own["time"]) == len(other_MC) == 630
    low_K = np.hanning(13) / np.hanning(13).sum()  # the other file was made without a filter
    for place, name in enumerate(channels_of("Head")):
        one, two = (np.convolve(values_M, low_K, "valid") for values_M in (own[name], other_MC[:, place]))
        products = [float(one[10 + lag : len(one) - 10 + lag] @ (two - two.mean())[10:-10]) for lag in range(-3, 4)]
        assert int(np.argmax(products)) == 3
        assert np.corrcoef(one, two)[0, 1] > 0.999
        assert np.std(one) == pytest.approx(np.std(two), rel=0.01)
        assert one.mean() == pytest.approx(two.mean(), abs=0.01)
    own_T, other_T = (read_video([root / "videos" / "GoPro2" / "0001.mp4"]).time_T for root in (tmp_path, real))
    np.testing.assert_allclose(own_T, other_T, atol=1e-6)


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_the_first_import_can_be_repeated_after_it_was_killed(
    moved: int, recording: DeviceRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process undoes nothing: what it has moved stays."""
    root, real, done = tmp_path / "new", Path.replace, list[Path]()

    def replace_some(source: Path, target: Path) -> Path:
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(target)
        return real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_some)
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        patch.setattr(Path, "rmdir", lambda path: None)
        patch.setattr(shutil, "rmtree", lambda path, ignore_errors=False: None)
        with pytest.raises(KeyboardInterrupt):
            import_it(recording, root)
    assert len(done) == moved
    import_it(recording, root)
    (pair,) = pairs(root).values()
    assert {path.name for path in (root / "imu" / "Anna").iterdir()} == {str(pair["imu"])}, "no clip without a name"
    assert {path.name for path in (root / "videos" / "Anna").iterdir()} == {str(pair["video"])}


def test_only_clips_of_a_killed_import_that_nothing_names_are_removed(
    recording: DeviceRecording, tmp_path: Path
) -> None:
    root, outside = tmp_path / "new", tmp_path / "outside.csv"
    import_it(recording, root)
    before = everything(root)
    (root / "imu" / "Anna" / "0002.csv").write_text("moved by a process that was killed then")
    (root / "imu" / "Anna" / "0003.csv").write_text("somebody's own")
    outside.write_text("not in the dataset")
    moved = ["imu/Anna/0001.csv", "imu/Anna/0002.csv", "videos/Anna/0002.mp4", "../outside.csv"]
    (root / ".import-1").mkdir()
    (root / ".import-1" / "moves.json").write_text(json.dumps(moved))
    (root / ".import-2").mkdir()
    other = replace(recording, imu=tuple(replace(one, values_NC=one.values_NC * 1.1) for one in recording.imu))
    import_it(other, root, "Ben")
    after = everything(root)
    added = {path.relative_to(root).as_posix() for path in after if path not in before}
    assert added == {"data_pairs/Ben.json", "imu/Ben/0001.csv", "videos/Ben/0001.mp4", "imu/Anna/0003.csv"}
    assert all(after[path] == content for path, content in before.items())
    assert outside.exists()


def test_another_rate_than_the_datasets_is_said(recording: DeviceRecording, tmp_path: Path) -> None:
    import_it(recording, tmp_path)
    other = replace(recording, imu=tuple(replace(one, values_NC=one.values_NC * 1.1) for one in recording.imu))
    lines = import_it(other, tmp_path, "Ben", rate=50.0)
    assert any("IMU files of the dataset have 60 Hz" in line for line in lines)


@pytest.mark.parametrize("length", [float("inf"), float("nan"), 0.0])
def test_a_length_of_clips_must_be_a_number_of_seconds(
    length: float, recording: DeviceRecording, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--clip"):
        plan_import(recording, tmp_path / "new", "Anna", ImportOptions(clip=length))


def test_what_another_import_has_added_since_the_plan_is_not_overwritten(
    recording: DeviceRecording, tmp_path: Path
) -> None:
    late = plan_import(recording, tmp_path, "Ben", ImportOptions(labels=LabelTrack((Label(1.0, 3.0, "walking"),))))
    other = replace(recording, imu=tuple(replace(one, values_NC=one.values_NC * 1.1) for one in recording.imu))
    import_it(other, tmp_path, labels=LabelTrack((Label(1.0, 3.0, "standing"),)))
    before = everything(tmp_path)
    with pytest.raises(DataError, match="has changed since the import was planned"):
        write_import(late)
    assert everything(tmp_path) == before
