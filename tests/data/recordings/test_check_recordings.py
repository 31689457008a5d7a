"""Labelled recordings whose files are not what they should be: training refuses the first, check-data lists all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.recorded import write_csv, write_npz, write_table

from revalexo_clip.cli.app import app
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data import ImuRecordings
from revalexo_clip.data.recordings.file_format import parse_channels
from revalexo_clip.data.recordings.units import parse_units
from revalexo_clip.data.revalexo.check.command import check_data

SUBJECTS = ("Anna", "Ben", "Carla", "Dora")
AXES = tuple(f"{kind}_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
GRAVITY = np.array([0.3, 9.7, 0.5])


def signals(seed: int, seconds: float = 6.0) -> np.ndarray:
    """Return [n, 6] of a body at rest: gravity along y and noise [m/s^2], slow turns [rad/s]."""
    rng = np.random.default_rng(seed)
    turns = 0.5 * np.sin(np.arange(round(60 * seconds))[:, None] / 20 + rng.uniform(0, 6, 3))
    return np.hstack([GRAVITY + rng.normal(0, 0.5, turns.shape), turns + rng.normal(0, 0.05, turns.shape)])


def write(
    root: Path, change: Callable[[np.ndarray], np.ndarray] = lambda rows: rows, names: tuple[str, ...] = AXES
) -> Path:
    """Write a recording of each subject; that of the first one is changed."""
    for number, subject in enumerate(SUBJECTS):
        rows = signals(number)
        rows, columns = (change(rows), names) if number == 0 else (rows, AXES)
        write_csv(root / f"{subject}.csv", dict(zip(columns, rows.T, strict=True)))
    write_table(root / "recordings.csv", "file,subject,label", *(f"{name}.csv,{name},walking" for name in SUBJECTS))
    return root


def anna(root: Path, **fields: object) -> ImuRecordings:
    wanted: dict[str, object] = {"root": root, "rate": 60.0, "train_subjects": (), "val_subjects": ("Anna",)}
    return ImuRecordings.model_validate(wanted | fields)


def read(root: Path, **fields: object) -> np.ndarray:
    return anna(root, **fields).labelled("val", seed=0)[0, 0].imu_LC.numpy()


def rewrite(root: Path, change: Callable[[str], str]) -> None:
    (root / "Anna.csv").write_text(change((root / "Anna.csv").read_text()))


def kinds(root: Path, **fields: object) -> list[tuple[str, str]]:
    """Return kind and file of each problem that check-data finds."""
    return [(problem.kind, problem.file.name) for problem in check_data(root, **fields).problems]  # type: ignore[arg-type]


def test_nothing_is_wrong_with_sound_recordings(tmp_path: Path) -> None:
    found = check_data(write(tmp_path))
    assert (found.problems, found.findings.clips, found.findings.seconds) == ((), 4, 24.0)
    assert found.summary() == f"{tmp_path}: 4 recordings, 0.01 h, 4 subjects: no problems found"
    assert read(tmp_path).shape == (120, 6)


@pytest.mark.parametrize("names", [("accl_x", "accl_y", "accl_z", *AXES[3:]), ("AccX", "AccY", "AccZ", *AXES[3:])])
def test_columns_that_look_like_sensors_are_not_dropped_without_a_word(names: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path, names=names)
    message = rf'Anna\.csv: {names[0]}, .* look like sensors, .* data\.channels={{"acc_x": "{names[0]}", "acc_y": '
    with pytest.raises(DataError, match=message):
        read(tmp_path)
    assert kinds(tmp_path) == [("near_miss", "Anna.csv")]
    given = read(tmp_path, channels=dict(zip(AXES, names, strict=True)))
    assert np.allclose(given.mean(axis=0)[:3], GRAVITY, atol=0.5)


def with_commas(text: str) -> str:
    return text.replace(",", ";").replace(".", ",")


FORMS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "semicolons": (lambda text: text.replace(",", ";"), r"separated by ';' instead of ','", "missing_channel"),
    "tabs": (lambda text: text.replace(",", "\t"), r"separated by '\\t' instead of ','", "missing_channel"),
    "sep=": (lambda text: f"sep=,\n{text}", r"its first line, 'sep=,', is no header", "missing_channel"),
    "a comment first": (lambda text: f"# Movella DOT\n{text}", "its first line is a comment", "missing_channel"),
    "decimal commas": (with_commas, r"separated by ';' .*; its numbers have decimal commas: write", "missing_channel"),
    "metadata first": (lambda text: f"Device\nS/N 3\n{text}", "line 3 has 6 cells and the first", "missing_channel"),
    "a comment within": (lambda text: text.replace("\n", "\n# started\n", 1), r"\(a comment line\?\)", "ragged_rows"),
    "commas for all": (lambda text: text.replace(".", ","), r"\(decimal commas\?\)", "ragged_rows"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_another_form_is_refused_with_the_cause(form: str, tmp_path: Path) -> None:
    change, message, kind = FORMS[form]
    rewrite(write(tmp_path), change)
    with pytest.raises(DataError, match=rf"Anna\.csv: .*{message}"):
        read(tmp_path)
    (problem,) = check_data(tmp_path).problems
    assert (problem.kind, problem.file.name) == (kind, "Anna.csv")
    assert re.search(message, problem.message)


def test_a_table_of_another_form_is_refused_with_the_cause(tmp_path: Path) -> None:
    table = write(tmp_path) / "recordings.csv"
    table.write_text(table.read_text().replace(",", ";"))
    with pytest.raises(
        DataError, match=r"recordings\.csv: no column file; columns: file;subject;label \(its columns are"
    ):
        read(tmp_path)
    assert kinds(tmp_path) == [("recording_table", "recordings.csv")]


def test_blanks_of_a_slower_sensor_are_named_as_such(tmp_path: Path) -> None:
    def blank(text: str) -> str:
        header, *rows = text.splitlines()
        return "\n".join(
            [header, *(row if number % 2 == 0 else row.rsplit(",", 1)[0] + "," for number, row in enumerate(rows))]
        )

    rewrite(write(tmp_path), blank)
    message = (
        r"line 3 \(row 2\), column gyro_z: '' is not a number \(the cell is empty, like 180 of 360 in this column: a "
    )
    with pytest.raises(DataError, match=rf"Anna\.csv: {message}sensor that is slower than the others\? Interpolate"):
        read(tmp_path)
    assert kinds(tmp_path) == [("not_a_number", "Anna.csv")]


@pytest.mark.parametrize(
    ("kind", "unit", "factor"), [("acc", "g", 1 / 9.80665), ("gyro", "deg/s", 180 / np.pi)], ids=["g", "deg/s"]
)
def test_units_that_are_not_declared_are_refused(kind: str, unit: str, factor: float, tmp_path: Path) -> None:
    own = slice(0, 3) if kind == "acc" else slice(3, 6)

    def change(rows: np.ndarray) -> np.ndarray:
        rows[:, own] *= factor * (1 if kind == "acc" else 6)
        return rows

    write(tmp_path, change)
    with pytest.raises(
        DataError, match=rf"Anna\.csv: {kind}: .*as in {unit}; .* data\.units={{'{kind}': '{unit}'}}; if"
    ):
        read(tmp_path)
    assert kinds(tmp_path) == [("undeclared_units", "Anna.csv")]
    plain = read(tmp_path, units={kind: "m/s^2" if kind == "acc" else "rad/s"})
    declared = read(tmp_path, units={kind: unit})
    np.testing.assert_allclose(declared[:, own] * factor, plain[:, own], rtol=1e-5)
    assert kinds(write(tmp_path, lambda rows: rows), units={}) == []


def test_declared_units_are_applied_by_check_data(tmp_path: Path) -> None:
    for number, subject in enumerate(SUBJECTS):
        rows = signals(number)
        write_csv(
            tmp_path / f"{subject}.csv", dict(zip(AXES, np.hstack([rows[:, :3] / 9.8, rows[:, 3:]]).T, strict=True))
        )
    write_table(tmp_path / "recordings.csv", "file,subject,label", *(f"{name}.csv,{name},walking" for name in SUBJECTS))
    assert {kind for kind, _ in kinds(tmp_path)} == {"undeclared_units"}
    assert kinds(tmp_path, units=parse_units("acc=g, gyro=rad/s")) == []
    with pytest.raises(ConfigError, match=r"--units: 'acc=mg' is not a channel or prefix, '=' and one of m/s\^2, g"):
        parse_units("acc=mg")


def test_missing_gravity_is_noticed_and_is_no_error(tmp_path: Path) -> None:
    write(tmp_path, lambda rows: rows - np.array([*GRAVITY, 0, 0, 0]))
    (problem,) = check_data(tmp_path).problems
    assert (problem.kind, problem.severity) == ("no_gravity", "warning")
    assert "has it been removed ('linear' or 'free' acceleration)" in problem.message
    assert read(tmp_path).shape == (120, 6)


def test_permuted_axes_are_noticed(tmp_path: Path) -> None:
    (problem,) = check_data(write(tmp_path, lambda rows: rows[:, [1, 0, 2, 4, 3, 5]])).problems
    assert (problem.kind, problem.severity, problem.file.name) == ("permuted_axes", "warning", "Anna.csv")
    assert problem.message.startswith(
        "Anna: acc: the mean acceleration is (9.7, 0.2, 0.5) m/s^2, and that of the other"
    )
    assert "With the axes (y, x, z) it would be" in problem.message


def test_every_problem_is_listed(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Ben.csv").unlink()
    rewrite(tmp_path, lambda text: text.replace("\n", "\nnan,", 1))
    write_table(tmp_path / "recordings.csv", "file,subject", *(f"{name}.csv,{name}" for name in SUBJECTS))
    write_table(tmp_path / "segments.csv", "file,start,end,label", "Carla.csv,0,9,a", "Dora.csv,0,6,b")
    assert kinds(tmp_path) == [
        ("missing_file", "Ben.csv"),
        ("ragged_rows", "Anna.csv"),
        ("recording_table", "segments.csv"),
    ]


def test_a_clock_is_checked(tmp_path: Path) -> None:
    for number, subject in enumerate(SUBJECTS):
        time_n = np.arange(360) / 60 + (np.arange(360) > 200) * (number == 0)
        write_csv(tmp_path / f"{subject}.csv", {"t": time_n, **dict(zip(AXES, signals(number).T, strict=True))})
    write_table(tmp_path / "recordings.csv", "file,subject,label", *(f"{name}.csv,{name},walking" for name in SUBJECTS))
    assert kinds(tmp_path) == [("clock_contradicts_rate", "Anna.csv")]
    assert kinds(tmp_path, time="t") == [("bad_clock", "Anna.csv")]


def test_a_clock_without_video_may_start_anywhere(tmp_path: Path) -> None:
    for number, subject in enumerate(SUBJECTS):
        columns = {"t": 50 + np.arange(360) / 60, **dict(zip(AXES, signals(number).T, strict=True))}
        write_csv(tmp_path / f"{subject}.csv", columns)
    write_table(tmp_path / "recordings.csv", "file,subject,label", *(f"{name}.csv,{name},walking" for name in SUBJECTS))
    assert kinds(tmp_path, time="t") == []


def test_an_npz_file_is_checked(tmp_path: Path) -> None:
    rows = np.concatenate([signals(number) for number in range(5)]).astype(np.float32)
    rows[:360, :3] /= 9.80665
    rows[400, 4] = np.nan
    offsets, subjects = np.arange(6) * 360, np.arange(5)
    path = write_npz(tmp_path / "five.npz", data=rows, offsets=offsets, channels=np.array(AXES), subject=subjects)
    found = check_data(path).problems
    assert [(problem.kind, problem.clip) for problem in found] == [("not_finite", "1/1"), ("undeclared_units", "0/0")]
    path.write_bytes(b"PK no")
    assert [kind for kind, _ in kinds(path)] == ["recording_table"]


def test_the_command_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, lambda rows: rows / np.array([9.8] * 3 + [1] * 3))
    with pytest.raises(SystemExit) as stopped:
        app(["check-data", str(tmp_path), "--json"], standalone_mode=True)
    assert stopped.value.code == 1
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)["problems"]] == ["undeclared_units"]
    app(["check-data", str(tmp_path), "--units", "acc=g", "--channels", "acc_*"], standalone_mode=False)


def test_columns_of_other_names_are_checked_as_the_channels_they_are(tmp_path: Path) -> None:
    """Also units, which go by the channels; brackets in names are no patterns."""
    names = ("a [x]", "a [y]", "a [z]", *"uvw")
    named = dict(zip(AXES, names, strict=True))
    for number, subject in enumerate(SUBJECTS):
        rows = signals(number) / np.array([9.8] * 3 + [1] * 3)
        write_csv(tmp_path / f"{subject}.csv", dict(zip(names, rows.T, strict=True)))
    write_table(tmp_path / "recordings.csv", "file,subject,label", *(f"{name}.csv,{name},walking" for name in SUBJECTS))
    assert {kind for kind, _ in kinds(tmp_path, channels=named)} == {"undeclared_units"}
    assert kinds(tmp_path, channels=named, units=parse_units("acc=g")) == []
    text = ",".join(f"{name}={column}" for name, column in named.items())
    app(["check-data", str(tmp_path), "--units", "acc=g", "--channels", text], standalone_mode=False)
    rows, offsets = np.concatenate([signals(number) for number in range(5)]), np.arange(6) * 360
    write_npz(tmp_path / "a.npz", data=rows, offsets=offsets, channels=np.array(names), subject=np.arange(5))
    assert kinds(tmp_path / "a.npz", channels=named) == []
    with pytest.raises(ConfigError, match=r"--channels NAME=COLUMN: .* is not a folder with recordings\.csv"):
        check_data(tmp_path.parent, channels=named)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acc_x", "'acc_x' is not the name of a channel, '=' and a column"),
        ("acc_x=", "'acc_x=' is not the name"),
        ("acc_x=ax,acc_x=ay", "acc_x is named twice"),
        ("acc_x=ax,acc_y=ax", "ax is named twice"),
    ],
)
def test_wrong_columns_of_channels_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"--channels: {message}"):
        parse_channels([text])
