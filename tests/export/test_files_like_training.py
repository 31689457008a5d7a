"""Columns of other names: given, or those of the training files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.made_classifier import RATE, made_classifier, signals, write_classifier
from support.made_classifier import write_table as write_named
from typer.testing import CliRunner

from revalexo_clip import ConfigError, DataError, ImuRecordings, load_classifier, predict_recording
from revalexo_clip.cli.app import app
from revalexo_clip.data.recordings.file_format import FileFormat
from revalexo_clip.devices.base import channels_of
from revalexo_clip.export import ExportedClassifier

COLUMNS = ("ax", "ay", "az", "gx", "gy", "gz")
NAMES = dict(zip(channels_of("Head"), COLUMNS, strict=True))
TO_G = np.array([1 / 9.80665] * 3 + [180 / np.pi] * 3)
FORMAT = FileFormat(channels=NAMES, units={"acc": "g", "gyro": "deg/s"}, time="when", time_unit="ms")


def write(path: Path, values_n6: npt.NDArray[np.floating], header: str = "when," + ",".join(COLUMNS)) -> Path:
    """Write a CSV file whose first column is a clock in ms."""
    time_n = 1000 * np.arange(len(values_n6)) / RATE
    np.savetxt(path, np.column_stack([time_n, values_n6]), delimiter=",", header=header, comments="", fmt="%.9f")
    return path


@pytest.fixture(scope="module")
def plain() -> ExportedClassifier:
    return made_classifier()


@pytest.fixture(scope="module")
def trained_on_columns() -> ExportedClassifier:
    """The same classifier, trained on files with other names and units."""
    made = made_classifier()
    made.description = made.description.model_copy(update={"files": FORMAT})
    return made


def expected(plain: ExportedClassifier, folder: Path) -> npt.NDArray[np.float32]:
    """Return what the file with the classifier's own names, units and clock gives."""
    return predict_recording(write_named(folder / "named.csv", signals(300)), plain).predictions.probability_NKA


def test_given_columns_are_those_of_the_channels(plain: ExportedClassifier, tmp_path: Path) -> None:
    own = expected(plain, tmp_path)
    path = write(tmp_path / "other.csv", signals(300) * TO_G)
    units = FORMAT.units
    given = predict_recording(path, plain, channels=NAMES, units=units, time="when", time_unit="ms")
    np.testing.assert_allclose(given.predictions.probability_NKA, own, rtol=0, atol=1e-5)
    np.savez(tmp_path / "a.npz", data=signals(300), channels=COLUMNS, fs=RATE)
    from_npz = predict_recording(tmp_path / "a.npz", plain, channels=NAMES)
    np.testing.assert_allclose(from_npz.predictions.probability_NKA, own, rtol=0, atol=1e-5)
    some = write(tmp_path / "some.csv", signals(300), "when,acc_Head_x,ay,az,gyro_Head_x,gyro_Head_y,gyro_Head_z")
    two = {"acc_Head_y": "ay", "acc_Head_z": "az"}
    mixed = predict_recording(some, plain, channels=two, time="when", time_unit="ms")
    np.testing.assert_allclose(mixed.predictions.probability_NKA, own, rtol=0, atol=1e-5)


def test_a_file_like_those_of_training_needs_no_options(
    plain: ExportedClassifier, trained_on_columns: ExportedClassifier, tmp_path: Path
) -> None:
    own = expected(plain, tmp_path)
    path = write(tmp_path / "other.csv", signals(300) * TO_G)
    found = predict_recording(path, trained_on_columns)
    np.testing.assert_allclose(found.predictions.probability_NKA, own, rtol=0, atol=1e-5)
    assert found.notes == (
        "read like the training files: columns ax, ay, az, gx, gy, gz; units acc=g, gyro=deg/s; clock when [ms]",
    )
    np.savez(tmp_path / "a.npz", data=signals(300) * TO_G, channels=COLUMNS, fs=RATE)
    from_npz = predict_recording(tmp_path / "a.npz", trained_on_columns)
    np.testing.assert_allclose(from_npz.predictions.probability_NKA, own, rtol=0, atol=1e-5)
    # Options take precedence, and a file with the classifier's own names is in its own units.
    si = write(tmp_path / "si.csv", signals(300))
    in_si = predict_recording(si, trained_on_columns, units={"acc": "m/s^2", "gyro": "rad/s"})
    named = predict_recording(tmp_path / "named.csv", trained_on_columns)
    for other in (in_si, named):
        np.testing.assert_allclose(other.predictions.probability_NKA, own, rtol=0, atol=1e-5)
    assert named.notes == ()


def test_the_rate_of_training_files_without_a_clock_is_taken(
    plain: ExportedClassifier, trained_on_columns: ExportedClassifier, tmp_path: Path
) -> None:
    own = expected(plain, tmp_path)
    files = FileFormat(channels=NAMES, rate=RATE)
    trained_on_columns.description = trained_on_columns.description.model_copy(update={"files": files})
    path = write(tmp_path / "other.csv", signals(300), "row," + ",".join(COLUMNS))
    found = predict_recording(path, trained_on_columns)
    np.testing.assert_allclose(found.predictions.probability_NKA, own, rtol=0, atol=1e-5)
    assert found.notes == ("read like the training files: columns ax, ay, az, gx, gy, gz; rate 50 Hz",)
    trained_on_columns.description = trained_on_columns.description.model_copy(update={"files": FORMAT})


def test_wrong_columns_are_named(plain: ExportedClassifier, tmp_path: Path) -> None:
    path = write(tmp_path / "other.csv", signals(300))
    for channels, options, message in (
        ({**NAMES, "acc_Head_x": "none"}, {}, r"other\.csv: has no column none; it has when, ax, ay"),
        ({"acc_Foot_x": "ax"}, {}, r"--channels: the encoder has no channel acc_Foot_x; it takes acc_Head_x"),
        (NAMES, {"place": "Foot"}, "--channels and --place exclude each other"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            predict_recording(path, plain, channels=channels, time="when", time_unit="ms", **options)  # type: ignore[arg-type]
    video = tmp_path / "video.mp4"
    video.touch()
    with pytest.raises(ConfigError, match=r"--recording and --channels are for .npz files and for CSV files"):
        predict_recording(video, plain, channels=NAMES)


def test_folders_keep_the_format_and_old_folders_have_none(
    trained_on_columns: ExportedClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_classifier(tmp_path / "classifier", trained_on_columns)
    assert load_classifier(folder).description.files == FORMAT
    description = folder / "config.json"
    write(tmp_path / "other.csv", signals(300) * TO_G)
    command = ["predict", "other.csv", "--classifier", "classifier"]
    printed = CliRunner().invoke(app, command, catch_exceptions=False).stdout
    assert "note: read like the training files" in printed
    written = trained_on_columns.description.model_dump(mode="json")
    del written["files"]
    description.write_text(type(trained_on_columns.description).model_validate(written).model_dump_json())
    assert load_classifier(folder).description.files is None
    named = ",".join(f"{name}={column}" for name, column in NAMES.items())
    options = ["--units", "acc=g,gyro=deg/s", "--time", "when", "--time-unit", "ms", "--out", "again.csv"]
    CliRunner().invoke(app, [*command, "--channels", named, *options], catch_exceptions=False)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "other-predictions.csv").read_text()


def test_recordings_tell_their_format(tmp_path: Path) -> None:
    fields = {"root": tmp_path, "train_subjects": ("A",), "val_subjects": ("B",)}
    clocked = ImuRecordings(**fields, channels=NAMES, units=FORMAT.units, time="when", time_unit="ms")
    assert clocked.file_format() == FORMAT
    assert ImuRecordings(**fields, rate=50.0).file_format() is None
