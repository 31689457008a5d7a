"""A table on a narrow terminal: it is folded, then split into blocks; no number is cut off."""

from __future__ import annotations

import pytest
from rich.text import Text
from support.narrow_terminal import assert_numbers_fit, rendered

from revalexo_clip.reports.terminal.report_table import Column, ReportTable


def table(*columns: Column) -> ReportTable:
    """Two sections, each with a row of as many numbers as there are columns, and a row of intervals."""
    made = ReportTable("Table 1", columns, label_title="horizon")
    for section in ("all windows", "same subject and activity"):
        made.add_heading(section)
        made.add_row("  IMU [1]", *(Text(f"{10 + k}.5%") for k, _ in enumerate(columns)))
        made.add_row("", *(f"{k}.5-{20 + k}.5" for k, _ in enumerate(columns)), style="dim")
    return made


def lines(made: ReportTable, width: int) -> list[str]:
    return [line.rstrip() for line in rendered([made], width).splitlines()]


def test_a_wide_terminal_shows_one_table_without_folding() -> None:
    shown = lines(table(Column("R@1"), Column("R@5")), 60)
    assert shown[:2] == ["Table 1", "horizon                         R@1       R@5"]
    assert shown[3:6] == [
        "all windows",
        "  IMU [1]                     10.5%     11.5%",
        " " * 27 + "0.5-20.5  1.5-21.5",
    ]
    assert "same subject and activity" in shown


def test_labels_and_headings_are_folded_before_the_table_is_split() -> None:
    shown = lines(table(Column("weighted F1"), Column("R@5")), 32)
    assert [line.split() for line in shown[1:3]] == [["weighted"], ["horizon", "F1", "R@5"]]
    assert "same subject" in shown


def test_blocks_repeat_the_labels_and_keep_groups_together() -> None:
    groups = (Column("A"), Column("B", group=1), Column("B-A", group=1), Column("C", group=2), Column("C-A", group=2))
    shown = lines(table(*groups), 36)
    headings = [line.split() for line in shown if line.startswith("horizon")]
    assert headings == [["horizon", "A"], ["horizon", "B", "B-A"], ["horizon", "C", "C-A"]]
    assert sum(line.startswith("  IMU [1]") for line in shown) == 2 * len(headings)


def test_rows_without_anything_in_a_block_are_left_out() -> None:
    made = ReportTable("", [Column("windows"), Column("accuracy")])
    made.add_row("0 s", "1234567890", "50.0%")
    made.add_row("", "", "40.0-60.0")
    assert lines(made, 16)[0].split() == ["windows"]
    assert lines(made, 16)[2:4] == ["0 s 1234567890", ""]
    *_, heading, _, first, intervals, _ = lines(made, 16)
    assert [heading.split(), first.split(), intervals.split()] == [["accuracy"], ["0", "s", "50.0%"], ["40.0-60.0"]]


@pytest.mark.parametrize("columns", [1, 3, 8])
def test_numbers_are_kept_at_every_width(columns: int) -> None:
    titles = [Column("windows"), *(Column(f"score {k}", group=k // 2) for k in range(1, columns))]
    assert_numbers_fit(lambda: [table(*titles)])
