from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from support.tiny_dataset import CHANNELS, write_imu

from revalexo_clip.core.errors import DataError
from revalexo_clip.data import RevalExo, imu
from revalexo_clip.data.imu import (
    ImuCache,
    common_channels,
    header_of,
    numeric_columns,
    read_imu,
    read_rows,
    select_channels,
    unit_of,
)

SEGMENTS = (
    "Pelvis", "Right_Upper_Leg", "Right_Lower_Leg", "Right_Foot", "Left_Upper_Leg", "Left_Lower_Leg", "Left_Foot"
)  # fmt: skip
COLUMNS = ["time"] + [f"{kind}_{part}_{axis}" for part in SEGMENTS for kind in ("gyro", "acc", "mag") for axis in "xyz"]


def test_revalexos_patterns_give_its_42_channels_in_pattern_then_file_order() -> None:
    patterns = RevalExo.model_fields["channels"].default
    channels = select_channels(COLUMNS, patterns, Path("a.csv"))
    assert len(channels) == 42
    ordered = (
        "Pelvis",
        "Right_Upper_Leg",
        "Left_Upper_Leg",
        "Right_Lower_Leg",
        "Left_Lower_Leg",
        "Right_Foot",
        "Left_Foot",
    )
    assert channels == tuple(f"{kind}_{part}_{axis}" for kind in ("acc", "gyro") for part in ordered for axis in "xyz")


def test_a_column_is_taken_once_by_the_first_pattern_that_matches() -> None:
    assert select_channels(["a_1", "b_1", "a_2"], ["b_*", "a_2", "*"], Path("a.csv")) == ("b_1", "a_2", "a_1")


def test_a_pattern_that_matches_nothing_names_itself_the_file_and_the_columns() -> None:
    with pytest.raises(
        DataError, match=r"a\.csv: no column matches the channel pattern 'acc_Head_\*'; columns: t, acc_x"
    ):
        select_channels(["t", "acc_x"], ["acc_x", "acc_Head_*"], Path("a.csv"))


def test_a_wildcard_takes_no_clock_and_a_full_name_does() -> None:
    columns = ["time", "Timestamp (ns)", "acc_x", "gyro_t_x", "t"]
    assert select_channels(columns, ["*"], Path("a.csv")) == ("acc_x", "gyro_t_x")
    assert select_channels(columns, ["t", "*_x"], Path("a.csv")) == ("t", "acc_x", "gyro_t_x")
    with pytest.raises(DataError, match=r"no column matches .* 'time\*'; .*clocks need their full name"):
        select_channels(columns, ["time*"], Path("a.csv"))


def test_patterns_are_case_sensitive_on_every_platform() -> None:
    with pytest.raises(DataError, match="ACC"):
        select_channels(["acc_x"], ["ACC_*"], Path("a.csv"))


def test_a_name_that_two_columns_have_is_an_error() -> None:
    with pytest.raises(DataError, match=r"a\.csv: more than one column is named acc_x"):
        select_channels(["acc_x", "acc_y", "acc_x"], ["acc_*"], Path("a.csv"))


def test_units_are_known_for_accelerometers_and_gyroscopes_alone() -> None:
    assert [unit_of(channel) for channel in ("acc_Pelvis_x", "gyro_Pelvis_x", "mag_Pelvis_x", "time")] == [
        "m/s^2", "rad/s", "unknown", "unknown"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (CHANNELS[:-1], "lacks 1 channels \\(gyro_Left_Foot_y\\) of .*first.csv"),
        ((*CHANNELS, "acc_Head_x"), "has 1 channels \\(acc_Head_x\\) that are not in .*first.csv"),
        (
            (CHANNELS[1], CHANNELS[0], *CHANNELS[2:]),
            "has acc_Pelvis_y as channel 0, but it is acc_Pelvis_x in .*first.csv",
        ),
    ],
)
def test_recordings_with_other_channels_are_an_error(other: tuple[str, ...], message: str, tmp_path: Path) -> None:
    for name, channels in (("first", CHANNELS), ("second", CHANNELS), ("third", other)):
        write_imu(tmp_path / f"{name}.csv", channels)
    with pytest.raises(DataError, match="third.csv: " + message):
        common_channels([tmp_path / f"{name}.csv" for name in ("first", "second", "third")], ["acc_*", "gyro_*"])


def test_other_columns_may_differ_from_file_to_file(tmp_path: Path) -> None:
    write_imu(tmp_path / "a.csv", ("mag_x", *CHANNELS))
    write_imu(tmp_path / "b.csv", (*CHANNELS, "note"))
    assert common_channels([tmp_path / "a.csv", tmp_path / "b.csv"], ["acc_*", "gyro_*"]) != ()
    np.testing.assert_allclose(read_imu(tmp_path / "a.csv", ["acc_Pelvis_x"])[:3, 0], [0.001, 1.001, 2.001])
    np.testing.assert_allclose(read_imu(tmp_path / "b.csv", ["acc_Pelvis_x"])[:3, 0], [0.0, 1.0, 2.0])


def test_samples_are_float32_in_the_order_asked_for(tmp_path: Path) -> None:
    write_imu(tmp_path / "a.csv", CHANNELS, duration=1.0)
    samples_nC = read_imu(tmp_path / "a.csv", [CHANNELS[3], CHANNELS[0]])
    assert samples_nC.dtype == np.float32
    np.testing.assert_allclose(samples_nC, np.arange(60)[:, None] + np.array([0.003, 0.0]), atol=1e-5)


def test_quotes_blank_lines_windows_endings_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('\ufeff"acc_x", acc_y,note\r\n1,2,"a,b"\r\n\r\n -3e1 ,4,\r\n\r\n'.encode())
    assert common_channels([tmp_path / "a.csv"], ["acc_*"]) == ("acc_x", "acc_y")
    assert read_imu(tmp_path / "a.csv", ["acc_x", "acc_y"]).tolist() == [[1.0, 2.0], [-30.0, 4.0]]


HEADER = "time,acc_x,acc_y\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "0,1,2\n1,nan,2\n", r"line 3 \(row 2\), column acc_x: 'nan' is not a finite number"),
        (HEADER + "0,1,2\n1,3,-inf\n2,inf,4\n", r"line 3 \(row 2\), column acc_y: '-inf' .* \(2 such values\)"),
        (HEADER + "0,1,1e300\n", r"line 2 \(row 1\), column acc_y: '1e300' is not a finite number"),
        (HEADER + "0,1,2\n\n1,,2\n", r"line 4 \(row 2\), column acc_x: '' is not a number"),
        (HEADER + "0,1,x\n", r"line 2 \(row 1\), column acc_y: 'x' is not a number"),
        (HEADER + "0,1,2\n0,1\n", "line 3 has 2 cells, the header has 3"),
        (HEADER + "0,1,2,3\n", "line 2 has 4 cells, the header has 3"),
        (HEADER + "0,1,2\n0,1,2\n0,", "line 4 has 2 cells, the header has 3"),
        (HEADER, "has a header but no samples"),
        ("time,acc_y\n0,1\n", "no column acc_x; columns: time, acc_y"),
        ("", "no column acc_x"),
        ("0,1,2\n3,4,5\n", "no column acc_x; columns: 0, 1, 2"),
        ("\xff\xfe\x00\x01", "is not a CSV text file"),
        (HEADER + '0,"' + "9" * 200_000 + '",2\n', "is not a CSV text file: field larger"),
    ],
)
def test_a_damaged_recording_is_an_error_that_names_the_place(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.csv: " + message):
        read_imu(tmp_path / "a.csv", ["acc_x", "acc_y"])


def test_a_recording_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for read in (lambda path: read_imu(path, ["acc_x"]), lambda path: common_channels([path], ["acc_x"])):
        with pytest.raises(DataError, match=r"gone\.csv: cannot be read: No such file"):
            read(tmp_path / "gone.csv")


def plain_numeric_columns(path: Path) -> tuple[str, ...]:
    """Reference: read each column alone."""
    kept = []
    for column in header_of(path):
        try:
            read_imu(path, [column])
        except DataError:
            if not column.startswith("acc_"):
                continue
        kept.append(column)
    return tuple(kept)


@pytest.mark.parametrize("last", ["", "1,2\n"], ids=["even", "with a short row"])
def test_the_numeric_columns_of_a_wide_file_are_found_by_parsing_it_once(
    last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {
        "text": "walking",
        "empty": "",
        "nan": "nan",
        "inf": "-inf",
        "too large": "1e39",
        "acc_x": "nan",
        "ok": " 7",
    }
    columns = {**{f"mag_{number}": f"{number}e-3" for number in range(106)}, **cells}
    path = tmp_path / "wide.csv"
    path.write_text(",".join(columns) + "\n" + (",".join(columns.values()) + "\n") * 3 + last)
    expected = plain_numeric_columns(path)
    assert expected == (("acc_x",) if last else (*[f"mag_{number}" for number in range(106)], "acc_x", "ok"))
    parsed: list[Path] = []

    def counted(path: Path) -> tuple[list[str], imu.Rows]:
        parsed.append(path)
        return read_rows(path)

    monkeypatch.setattr(imu, "read_rows", counted)
    assert numeric_columns(path) == expected
    assert parsed == [path]


def test_a_recording_is_parsed_once_and_kept(tmp_path: Path) -> None:
    write_imu(tmp_path / "a.csv")
    cache = ImuCache(CHANNELS)
    first = cache.read(tmp_path / "a.csv")
    (tmp_path / "a.csv").unlink()
    assert cache.read(tmp_path / "a.csv") is first


def test_the_cache_stays_within_its_limit_and_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    for name in "abc":
        write_imu(tmp_path / f"{name}.csv", duration=1.0)
    size = read_imu(tmp_path / "a.csv", CHANNELS).nbytes
    cache = ImuCache(CHANNELS, limit=2 * size)
    kept = cache.read(tmp_path / "a.csv")
    dropped = cache.read(tmp_path / "b.csv")
    cache.read(tmp_path / "a.csv")
    cache.read(tmp_path / "c.csv")
    assert cache.held == 2 * size
    assert cache.read(tmp_path / "a.csv") is kept
    assert cache.read(tmp_path / "b.csv") is not dropped


def test_a_pickled_cache_is_empty(tmp_path: Path) -> None:
    write_imu(tmp_path / "a.csv")
    cache = ImuCache(CHANNELS)
    before = len(pickle.dumps(cache))
    cache.read(tmp_path / "a.csv")
    assert len(pickle.dumps(cache)) == before
