"""The comparison of checkpoints in a terminal."""

from __future__ import annotations

import re
from typing import cast

import pytest
from rich.console import Console
from support.made_evaluation import made_comparison
from support.narrow_terminal import assert_numbers_fit

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.terminal.comparison import comparison_report

LONG = "an_experiment_whose_name_says_all_that_it_is_about_and_more_than_fits_into_a_line/20250101-000000"
NAMES = ("first/20250101-000000", LONG, "[bold]third/20250101-000000", "fourth/20250101-000000")


def shown(metrics: JsonObject, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        for part in comparison_report(metrics):
            console.print(part)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.fixture(scope="module")
def metrics() -> JsonObject:
    """Checkpoints that are worse than the first, equal, and better."""
    return made_comparison(dict(zip(NAMES, (1.0, 2.5, 1.0, 0.2), strict=True)))


def of_first(metrics: JsonObject, count: int) -> JsonObject:
    """Return a comparison of the first `count` checkpoints only."""
    checkpoints, differences = (cast("list[JsonObject]", metrics[name]) for name in ("checkpoints", "differences"))
    return {**metrics, "checkpoints": [*checkpoints[:count]], "differences": [*differences[: count - 1]]}


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3, 4])
def test_everything_fits_without_being_cut(metrics: JsonObject, count: int) -> None:
    lines = shown(of_first(metrics, count))
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    about = lines.index("112 windows of 14 clips (test: 2 subjects), 95% intervals")
    assert LONG in "".join(re.sub(r" +epoch \d+$", "", line[3:]) for line in lines[:about])
    headings = [line.split() for line in lines if line.split()[-1:] == ["interval"]]
    assert headings[0][:4] == ["A", "B", "B\N{MINUS SIGN}A", "interval"]
    assert len(headings) == (1 if count < 4 else 2)


def test_a_row_holds_figures_side_by_side_and_their_difference(metrics: JsonObject) -> None:
    lines = shown(of_first(metrics, 2))
    first, other = (
        cast("JsonObject", cast("JsonObject", one["retrieval"])["imu_to_video"])
        for one in cast("list[JsonObject]", metrics["checkpoints"])[:2]
    )
    difference = cast("JsonObject", cast("list[JsonObject]", metrics["differences"])[0]["retrieval"])["imu_to_video"]
    low, high = cast("list[float]", cast("JsonObject", cast("JsonObject", difference)["interval"])["r_at_10"])
    assert high < 0
    row = next(line for line in lines if line.startswith(" R@10 IMU → video"))
    assert row.removeprefix(" R@10 IMU → video").replace("\N{MINUS SIGN}", "-").split() == [
        f"{100 * cast('float', first['r_at_10']):.1f}%",
        f"{100 * cast('float', other['r_at_10']):.1f}%",
        f"{100 * (cast('float', other['r_at_10']) - cast('float', first['r_at_10'])):+.1f}▼",
        f"{100 * low:.1f},",
        f"{100 * high:.1f}",
    ]


def test_a_line_for_each_says_what_is_significant(metrics: JsonObject) -> None:
    told = " ".join(shown(metrics))
    assert (
        "B compared with A:  worse: all windows, same subject, same subject and activity, same clip; the same: IMU"
        in told
    )
    assert (
        "C compared with A:  the same: all windows, same subject, same subject and activity, same clip, IMU features,"
        in told
    )
    assert (
        "D compared with A:  better: all windows, same subject, same subject and activity, same clip; the same: IMU"
        in told
    )


def test_leakage_and_what_is_missing_is_said(metrics: JsonObject) -> None:
    pair = of_first(metrics, 2)
    first, other = cast("list[JsonObject]", pair["checkpoints"])
    other = {**other, "seen": {"train": ["Subject[1]"], "val": []}, "probe": None, "probe_reason": "not asked for"}
    differences = [{**one, "probe": None} for one in cast("list[JsonObject]", pair["differences"])]
    changed: JsonObject = {"checkpoints": [first, other], "differences": [*differences], "interval_reason": "6 clips"}
    lines = shown({**pair, **changed}, width=100)
    assert "Test subject Subject[1] was used in training, so these results do not" in " ".join(" ".join(lines).split())
    assert lines[-2:] == [
        "No probe: not asked for.",
        "No difference can be called significant, because there are no intervals: 6 clips.",
    ]
    assert not [line for line in lines if "linear" in line]


def test_numbers_are_kept_at_every_width(metrics: JsonObject) -> None:
    checkpoints = [{**one, "name": one["letter"]} for one in cast("list[JsonObject]", metrics["checkpoints"])]
    assert_numbers_fit(lambda: comparison_report({**metrics, "checkpoints": [*checkpoints]}))
