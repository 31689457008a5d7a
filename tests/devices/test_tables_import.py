"""Tables become datasets by the command: the three real recordings, and miniatures; wrong input writes nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.made_gopro import Camera, write_gopro
from support.made_tables import even, imu_table, nodding, video_of, write_table
from support.tiny_dataset import real_dataset
from typer.testing import CliRunner, Result

from revalexo_clip.cli.app import app
from revalexo_clip.core.errors import UserError
from revalexo_clip.data.imu import header_of, read_imu
from revalexo_clip.data.revalexo.layout import read_subject
from revalexo_clip.devices.base import Floats, Label
from revalexo_clip.devices.formats import read_recording
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_units import acc_unit, gyro_unit

REAL = (("gopro_hero7_imu.csv", "GoPro1"), ("gopro_max_imu.csv", "GoPro2"), ("neon_multipart1_imu.csv", "Neon1"))
CHANNELS = tuple(f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in "xyz")


def imported(source: Path, root: Path, *options: str, subject: str = "Anna") -> Result:
    command = ["import-recording", str(source), "--subject", subject, "--into", str(root), *options]
    return CliRunner().invoke(app, command, terminal_width=200)


def one_line(result: Result) -> str:
    """Return the sentence that a command failed with; the command line prints nothing else."""
    assert isinstance(result.exception, UserError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def lag_of(one_N: Floats, other_N: Floats) -> float:
    """Return by how much the second signal is later [samples]: the peak of the correlation, on a tenth of a sample."""
    lags = np.arange(-30, 31) / 10
    place_N = np.arange(10, len(one_N) - 10)
    shifted = [np.interp(place_N + lag, np.arange(len(other_N)), other_N) for lag in lags]
    return float(lags[np.argmax([np.corrcoef(one_N[place_N], signal_N)[0, 1] for signal_N in shifted])])


@pytest.mark.parametrize(("table", "subject"), REAL)
def test_a_real_table_becomes_the_dataset_that_is_there(tmp_path: Path, table: str, subject: str) -> None:
    real = real_dataset()
    video = real / "videos" / subject / "0001.mp4"
    root = tmp_path / "made"
    result = imported(real.parent / table, root, "--video", str(video), "--place", "Head", subject=subject)
    assert result.exit_code == 0, result.output
    (pair,) = read_subject(root / "data_pairs" / f"{subject}.json").pairs.values()
    assert pair.recording == Path(table).stem
    assert header_of(root / "imu" / subject / "0001.csv") == ("time", *CHANNELS)
    made_NC = read_imu(root / "imu" / subject / "0001.csv", CHANNELS).astype(np.float64)
    there_MC = read_imu(real / "imu" / subject / "0001.csv", CHANNELS).astype(np.float64)
    at_N = (float(pair.offset or 0.0) + np.arange(len(made_NC)) / 60) * 60
    inside_N = (at_N > 6) & (at_N < len(there_MC) - 3)
    for place in range(len(CHANNELS)):
        expected_n = np.interp(at_N[inside_N], np.arange(len(there_MC)), there_MC[:, place])
        assert np.corrcoef(expected_n, made_NC[inside_N, place])[0, 1] > 0.98
        assert abs(lag_of(expected_n, made_NC[inside_N, place])) <= 0.3
    assert len(made_NC) >= 0.9 * len(there_MC)


def test_units_of_real_recordings_are_found_or_asked_for_but_never_wrong() -> None:
    with np.load(real_dataset().parent / "har_classyglass1a_60hz.npz") as content:
        edges, data_NC = content["offsets"].tolist(), content["data"].astype(np.float64)
    found: dict[str, list[str | None]] = {"rad/s": [], "deg/s": [], "m/s^2": []}
    for first, last in list(pairwise(edges))[::3]:
        rows_nC, time_n = data_NC[first:last], np.arange(last - first) / 60
        for unit, factor in (("rad/s", 1.0), ("deg/s", 180 / np.pi)):
            gyro = gyro_unit(rows_nC[:, 3:] * factor, time_n, rows_nC[:, :3], time_n)
            found[unit].append(gyro.unit if gyro else None)
        acc = acc_unit(rows_nC[:, :3])
        found["m/s^2"].append(acc.unit if acc else None)
    for unit, units in found.items():
        assert set(units) <= {unit, None}
        assert units.count(unit) >= 0.9 * len(units)


def test_a_table_becomes_a_dataset_with_labels_in_one_command(tmp_path: Path) -> None:
    time_N = even()
    names = ("timestamp", *(f"a{axis}" for axis in "xyz"), *(f"g{axis}" for axis in "xyz"))
    columns = [time_N * 1000 + 5000, *nodding(time_N).T]
    source = write_table(tmp_path / "log.tsv", names, columns, "\t")
    (tmp_path / "labels.txt").write_text("1.0\t3.0\twalking\n3.0\t5.5\tsitting\n")
    video = video_of(tmp_path / "camera.mp4")
    options = ["--video", str(video), "--video-starts", "5500", "--labels", str(tmp_path / "labels.txt")]
    options += ["--map", "acc_Foot_x=ay", "--map", "acc_Foot_y=-ax", "--map", "acc_Foot_z=az", "--unit", "acc=m/s^2"]
    dry = imported(source, tmp_path / "made", *options, "--dry-run")
    assert "log.tsv: tabs between cells, header in line 1; clock: column 'timestamp' [ms]" in " ".join(
        dry.output.split()
    )
    assert not (tmp_path / "made").exists()
    assert imported(source, tmp_path / "made", *options).exit_code == 0
    (pair,) = read_subject(tmp_path / "made" / "data_pairs" / "Anna.json").pairs.values()
    assert [(one.start, one.end, one.activity) for one in pair.activity_segments] == [
        (1.0, 3.0, "walking"),
        (3.0, 5.5, "sitting"),
    ]
    made_NC = read_imu(tmp_path / "made" / "imu" / "Anna" / "0001.csv", [f"acc_Foot_{axis}" for axis in "xyz"])
    at_N = np.arange(len(made_NC)) / 60 + 0.5
    expected_N6 = nodding(at_N)
    inside = slice(20, len(made_NC) - 20)
    np.testing.assert_allclose(made_NC[inside, 0], expected_N6[inside, 1], atol=0.05)
    np.testing.assert_allclose(made_NC[inside, 2], expected_N6[inside, 2], atol=0.05)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "where on the body was the sensor of column 'ax'?"),
        (["--place", "Head", "--time", "when"], "log.csv: has no column 'when'; its columns are 't', 'ax'"),
        (["--map", "acc_Head_x"], "--map acc_Head_x: write CHANNEL=COLUMN"),
        (["--unit", "acc=parsec"], "--unit acc=parsec: write NAME=UNIT"),
        (["--place", "Head", "--labels", "none.csv"], "none.csv: there is no such file with labels"),
        (["--place", "Head", "--video", "none.mp4"], "none.mp4: there is no such video"),
        (["--format", "tables"], "--format tables: there is no such format; choose from aria, neon, gopro,"),
    ],
)
def test_wrong_input_is_one_sentence_and_writes_nothing(tmp_path: Path, options: list[str], problem: str) -> None:
    source = imu_table(tmp_path / "log.csv")
    result = imported(source, tmp_path / "made", *options)
    assert problem in one_line(result)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("epic-kitchens", "tables of EPIC-KITCHENS-100 are named P01_101-accl.csv"),
        ("movella", "is no export of a DOT or MTw sensor"),
        ("lerobot", "a LeRobotDataset?"),
        ("mvn", "needs Sensor Free Acceleration and Segment Angular Velocity"),
        ("phyphox", "time.csv: "),
        ("sensor-logger", "has neither an accelerometer nor a gyroscope"),
    ],
)
def test_another_format_than_the_file_has_is_one_sentence(tmp_path: Path, name: str, problem: str) -> None:
    source = imu_table(tmp_path / "log.csv")
    assert problem in one_line(imported(source, tmp_path / "made", "--format", name, "--place", "Head"))
    assert not (tmp_path / "made").exists()


def test_options_of_tables_are_refused_for_cameras(tmp_path: Path) -> None:
    video = video_of(tmp_path / "GX010001.MP4")
    assert "--map is for tables" in one_line(imported(video, tmp_path / "made", "--map", "acc_Head_x=ax"))


def test_labels_are_for_cameras_too(tmp_path: Path) -> None:
    write_gopro(tmp_path / "GX010001.MP4", Camera())
    labels = write_table(tmp_path / "labels.csv", ("start", "end", "label"), [["0.5"], ["1.5"], ["walking"]])
    recording = read_recording(tmp_path / "GX010001.MP4", options=TableOptions(labels=labels))
    assert recording.labels.labels == (Label(0.5, 1.5, "walking"),)
    assert recording.imu[0].segment == "Head"


def test_recordings_with_and_without_gravity_are_not_mixed_in_a_dataset(tmp_path: Path) -> None:
    source = imu_table(tmp_path / "log.csv")
    assert imported(source, tmp_path / "made", "--place", "Head").exit_code == 0
    names = ("t", *(f"linear acc {axis} [m/s^2]" for axis in "xyz"))
    free = write_table(tmp_path / "free.csv", names, [even(), *(nodding(even())[:, :3].T - 5)])
    result = imported(free, tmp_path / "made", "--place", "Head", subject="Ben")
    assert "its acceleration is without gravity, and that of Anna/0001 in" in one_line(result)
    assert not (tmp_path / "made" / "data_pairs" / "Ben.json").exists()
