"""Rows of IMU tables: those that cannot be placed or have no value are left out and counted, never replaced."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.clocks import ClockError
from revalexo_clip.data.ego4d.rows import Faults, Table, clean, longest_ascending
from revalexo_clip.data.ego4d.tables import read_csv, read_npy


def table(times: list[float], **changed: float) -> Table:
    """Return a table with two channels, whose first is the time."""
    time_n = np.array(times)
    samples_nC = np.stack([time_n, np.ones(len(times))], axis=1).astype(np.float32)
    for name, value in changed.items():
        samples_nC[int(name.removeprefix("row")), 1] = value
    return Table(time_n, samples_nC)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_longest_ascending_rows_are_kept(times: list[int]) -> None:
    kept = longest_ascending(np.array(times, dtype=np.float64))
    chosen = [times[place] for place in kept]
    assert (np.diff(kept) > 0).all()
    assert all(one < other for one, other in pairwise(chosen))
    longest = max(
        size
        for size in range(1, len(times) + 1)
        for some in combinations(times, size)
        if all(one < other for one, other in pairwise(some))
    )
    assert len(kept) == longest


def test_one_row_in_the_future_costs_one_row() -> None:
    times = [number / 100 for number in range(40)]
    times[5] = 999.0
    pieces, faults = clean(table(times), 0.1)
    assert faults == Faults(rows=40, backward=1)
    assert pieces[0].time_n.tolist() == times[:5] + times[6:]


def test_rows_are_counted_once_and_kept_values_are_unchanged() -> None:
    times = [number / 100 for number in range(60)]
    times[3] = times[4] = np.nan
    times[20] = 0.01
    rows = table(times, row4=np.nan, row10=np.inf, row11=np.nan)
    pieces, faults = clean(rows, 0.1)
    assert faults == Faults(rows=60, without_time=2, not_finite=2, backward=1)
    assert faults.left_out == 5
    (piece,) = pieces
    left = [number for number in range(60) if number not in (3, 4, 10, 11, 20)]
    np.testing.assert_array_equal(piece.samples_nC, rows.samples_nC[left])


def test_a_recording_is_cut_at_gaps_and_absent_components_are_named() -> None:
    times = [number / 100 for number in (*range(30), *range(50, 80))]
    rows = table(times)._replace(component_n=np.repeat([1, 3], 30))
    pieces, faults = clean(rows, 0.1)
    assert [len(piece.time_n) for piece in pieces] == [30, 30]
    assert faults == Faults(rows=60, gaps=1, absent_components=(0, 2))
    assert [kind for kind, _ in faults.findings()] == ["absent_component", "imu_gap"]


@pytest.mark.long
def test_what_no_row_is_left_of_is_an_error_that_says_why() -> None:
    with pytest.raises(ClockError, match=r"fewer than two rows can be used \(3 of 3 rows have no time"):
        clean(table([np.nan] * 3), 0.1)
    with pytest.raises(ClockError, match="are these milliseconds"):
        clean(table([5.0 * number for number in range(30)]), 0.1)


def test_cells_without_a_number_are_nan(tmp_path: Path) -> None:
    path = tmp_path / "imu.csv"
    path.write_text("t,part,b,a\n1000,0,1,2\n\n,1,,4\n2000,x,5\n3000,2,nan,1e99\n")
    found = read_csv(path, ("a", "b"), "t", 1e3, "part")
    np.testing.assert_array_equal(found.time_n, [1, np.nan, 2, 3])
    np.testing.assert_array_equal(found.samples_nC, [[2, 1], [4, np.nan], [np.nan, 5], [np.inf, np.nan]])
    assert found.component_n is not None
    assert found.component_n.tolist() == [0, 1, -1, 2]


def test_a_table_without_faults_is_read_in_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "imu.csv"
    drawn = np.random.default_rng(0).normal(0, 10, (50, 3))
    lines = [f"{row % 3},{1000 * time!r},{one!r},{other!r}" for row, (time, one, other) in enumerate(drawn.tolist())]
    path.write_text("\n".join(["part,t,b,a", *lines, "0,nan,inf,-1e40"]) + "\n")
    fast = read_csv(path, ("a", "b"), "t", 1e3, "part")
    slow = read_csv(path, ("a", "b"), "t", lambda cell: float(cell) / 1e3, "part")
    for one, other in zip(fast, slow, strict=True):
        assert one is not None
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("t,a\n1,2\n", "no column b; columns: t, a"),
        ("t,a,b\n", "has a header but no samples"),
        ("t;a;b\n1;2;3\n", "columns are separated by ';'"),
    ],
)
def test_tables_of_another_form_are_errors(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "imu.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_csv(path, ("a", "b"), "t", 1.0)
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_csv(tmp_path / "none.csv", ("a",), "t", float)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_arrays_of_nanoseconds_become_seconds(tmp_path: Path, dtype: type) -> None:
    path, origin = tmp_path / "imu.npy", 10**15 + 7
    np.save(path, np.array([[origin + 5_000_000, 1, 2], [origin + 10_000_000, 3, 4]], dtype=dtype))
    found = read_npy(path, 2, origin)
    np.testing.assert_allclose(found.time_n, [0.005, 0.010], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.samples_nC, [[1, 2], [3, 4]])
    np.testing.assert_allclose(read_npy(path, 2, None).time_n, [0, 0.005], rtol=0, atol=1e-9)
    with pytest.raises(DataError, match=r"should be numbers \[n, 4\]"):
        read_npy(path, 3, origin)
