from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.made_tables import write_table

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.tables_columns import named
from revalexo_clip.devices.tables_read import read_tables, read_text


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "columns", "form"),
    [
        ("time,ax\n0.5,1\n1.5,2\n", ("time", "ax"), "',' between cells, header in line 1"),
        (
            "sep=;\r\nt;ax [g];ay [g]\r\n0,5;1,5;2\r\n1,5;1,6;3\r\n",
            ("t", "ax [g]", "ay [g]"),
            "';' between cells, decimal commas, header in line 2",
        ),
        ("# made by X\n// rate: 60\nt\tax\n1\t2\n2\t3\n", ("t", "ax"), "tabs between cells, header in line 3"),
        (
            "F;Pelvis x;Pelvis y;\n0;0,1;0,2;\n1;0,1;0,3;\n",
            ("F", "Pelvis x", "Pelvis y"),
            "';' between cells, decimal commas, header in line 1",
        ),
        (
            "t,ax\ns,m/s^2\n0,1\n1,2\n",
            ("t [s]", "ax [m/s^2]"),
            "',' between cells, header in line 1, units in the line after it",
        ),
        ("t ax  ay\n1 2 3\n2 3  4\n", ("t", "ax", "ay"), "spaces between cells, header in line 1"),
        ('t,"a x"\n"0,5","1,25"\n"1,5","2"\n', ("t", "a x"), "',' between cells, decimal commas, header in line 1"),
        ("1,2,3\n2,3,4\n", ("column 1", "column 2", "column 3"), "',' between cells, no header"),
        (
            '"Time (s)","Acceleration x (m/s^2)"\n0.0E0,1.2E-1\n',
            ("Time (s)", "Acceleration x (m/s^2)"),
            "',' between cells, header in line 1",
        ),
    ],
)
def test_the_form_of_a_file_is_found(tmp_path: Path, text: str, columns: tuple[str, ...], form: str) -> None:
    table = read_text(written(tmp_path, text))
    assert (table.columns, table.form) == (columns, form)


def test_encodings_of_spreadsheets_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        table = read_text(written(tmp_path, "t,Größe µ\n1,2.5\n2,3.5\n", encoding))
        assert table.columns == ("t", "Größe µ")
        assert table.numbers("Größe µ").tolist() == [2.5, 3.5]


def test_empty_cells_are_missing_and_never_zero(tmp_path: Path) -> None:
    table = read_text(written(tmp_path, "t,ax\n1,2\n2,\n3,NaN\n4,null\n5,inf\n6,0\n"))
    np.testing.assert_array_equal(table.numbers("ax"), [2, np.nan, np.nan, np.nan, np.nan, 0])


def test_a_cut_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    table = read_text(written(tmp_path, "t,ax,ay\n1,2,3\n2,3,4\n3,4"))
    assert len(table) == 2
    assert table.notes == ("table.csv: 1 line with too few or too many cells left out, the first is line 4",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"hello\nworld\n", "no rows with two or more columns of numbers"),
        (b"PK\x03\x04\0\0\0", "is not a text file"),
        (b"t,ax\n1,2\n" + b"1,2,3\n2,3,4\n" * 5 + b"3,4\n" * 9, "cells of the header"),
    ],
)
def test_what_is_no_table_is_one_sentence_that_names_the_file(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"table\.csv: ") as raised:
        read_text(path)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_text_in_a_column_of_numbers_names_line_and_column(tmp_path: Path) -> None:
    table = read_text(written(tmp_path, "t,ax\n1,2\n2,oops\n3,4\n"))
    with pytest.raises(DataError, match=r"table\.csv: line 3, column 'ax': 'oops' is not a number"):
        table.numbers("ax")


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=2, max_size=12),
    form=st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", ".")]),
    before=st.lists(st.sampled_from(["# note", "// Rate: 60 Hz", "% a, b; c", ""]), max_size=3),
    header=st.booleans(),
)
def test_numbers_are_read_as_they_were_written(
    tmp_path: Path, rows: list[tuple[float, float, float]], form: tuple[str, str], before: list[str], header: bool
) -> None:
    delimiter, decimal = form
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    names = ("time", "a x", "b") if header else ()
    table = read_text(write_table(tmp_path / "made.csv", names, columns, delimiter, decimal, before))
    assert len(table.columns) == 3
    for name, column in zip(table.columns, columns, strict=True):
        np.testing.assert_array_equal(table.numbers(name), column)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("0123456789.,;\t|#/ -\nabxs=\"'µ"), max_size=80))
def test_any_text_is_a_table_or_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(text.encode())
    problem = ""
    try:
        table = read_text(path)
    except DataError as error:
        problem = str(error)
    assert problem.startswith(str(path)) if problem else {len(cells) for cells in table.cells} == {len(table)}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("ax [g]", ("acc", "x", "", "g", True)),
        ("Gyro X (deg/s)", ("gyro", "x", "", "deg/s", True)),
        ("Linear Acceleration z (m/s^2)", ("acc", "z", "", "m/s^2", False)),
        ("gFx", ("acc", "x", "", "g", True)),
        ("right_arm_acc_y", ("acc", "y", "Right_Arm", None, True)),
        ("acc_Left_Upper_Leg_y", ("acc", "y", "Left_Upper_Leg", None, True)),
        ("FreeAcc_X", ("acc", "x", "", None, False)),
        ("rotationRateY", ("gyro", "y", "", None, True)),
        ("gyroscope_y_dps", ("gyro", "y", "", "deg/s", True)),
        ("AcclX", ("acc", "x", "", None, True)),
        ("X (m/s²)", (None, "x", "", "m/s^2", True)),
        ("Angular acceleration x", None),
        ("Mag_X", None),
        ("quat_x", None),
        ("time", None),
    ],
)
def test_names_say_sensor_axis_place_and_unit(column: str, expected: tuple[object, ...] | None) -> None:
    found = named(column)
    assert (None if found is None else tuple(found)) == expected


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed (extra `devices`)")
def test_parquet_is_read_with_lists_and_times(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "table.parquet"
    moments = pa.array([1_700_000_000_000_000_000, 1_700_000_000_010_000_000], pa.timestamp("ns"))
    content = {"when": moments, "imu": [[1.0, 2.0], [3.0, 4.0]], "ax": [0.5, None], "task": [["go"], ["go"]]}
    pq.write_table(pa.table(content), path)
    (table,) = read_tables(path)
    assert table.columns == ("when", "imu[0]", "imu[1]", "ax", "task")
    np.testing.assert_array_equal(table.numbers("ax"), [0.5, np.nan])
    np.testing.assert_array_equal(table.numbers("imu[1]"), [2.0, 4.0])
    assert table.numbers("when")[1] - table.numbers("when")[0] == pytest.approx(0.01, abs=1e-6)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"table\.parquet: cannot be read as Parquet"):
        read_tables(path)


@pytest.mark.skipif(find_spec("openpyxl") is None, reason="openpyxl is not installed (extra `devices`)")
def test_sheets_of_xlsx_are_tables(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "About"
    book.active.append(["made by hand"])
    sheet = book.create_sheet("Accelerometer")
    for row in (["# comment"], ["Time (s)", "X (m/s^2)"], [0.0, 1.5], [0.01, None]):
        sheet.append(row)
    book.save(tmp_path / "table.xlsx")
    (table,) = read_tables(tmp_path / "table.xlsx")
    assert (table.name, table.columns) == ("table.xlsx[Accelerometer]", ("Time (s)", "X (m/s^2)"))
    np.testing.assert_array_equal(table.numbers("X (m/s^2)"), [1.5, np.nan])
    (tmp_path / "broken.xlsx").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.xlsx: cannot be read as xlsx"):
        read_tables(tmp_path / "broken.xlsx")


def test_what_is_missing_to_read_parquet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'revalexo-clip\[devices\]'"):
        read_tables(path)
