"""The comparison of variants in a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from support.made_variants import made_comparison
from support.narrow_terminal import assert_numbers_fit

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.terminal.variants import variant_report
from revalexo_clip.reports.values import MINUS, NONE, child, children, measured


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> JsonObject:
    return made_comparison(tmp_path_factory.mktemp("variants"))


def shown(comparison: JsonObject, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        for part in variant_report(comparison):
            console.print(part)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_everything_fits_without_being_cut(comparison: JsonObject) -> None:
    lines = shown(comparison)
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]


def test_rows_are_shares_of_the_labels_and_columns_are_variants(comparison: JsonObject) -> None:
    lines = shown(comparison)
    assert lines[0] == "Did pretraining help? 294 windows of 14 clips, 2 test subjects, 95% intervals"
    first, _ = children(comparison, "labels")
    for title, score in (("Weighted F1, at", "weighted_f1"), ("Balanced accuracy, at", "balanced_accuracy")):
        place = next(number for number, line in enumerate(lines) if line.startswith(title))
        assert lines[place + 1].split() == ["labels", "windows", "scratch", "frozen", "full"]
        figures = [
            measured(child(children(first, "variants", kind, "horizons")[0], "all"), score)
            for kind in ("scratch", "frozen", "full")
        ]
        assert lines[place + 3].split() == ["10%", "40", *(f"{100 * (one.value or 0):.1f}%" for one in figures)]
        ends = [one.interval or (0.0, 0.0) for one in figures]
        assert lines[place + 4].split() == [f"{100 * low:.1f}{NONE}{100 * high:.1f}" for low, high in ends]


def test_a_sentence_says_of_each_difference_whether_it_is_significant(comparison: JsonObject) -> None:
    told = " ".join(shown(comparison, width=1000))
    gained = [
        measured(child(children(label, "differences", kind, "horizons")[0], "all"), "weighted_f1")
        for label in children(comparison, "labels")
        for kind in ("frozen", "full")
    ]
    (low, high), (least, most) = gained[1].interval or (0, 0), gained[2].interval or (0, 0)
    assert (
        f"With 10% of the labels, full is better than scratch by {100 * (gained[1].value or 0):.1f} points of weighted "
        f"F1 (95% interval {100 * low:.1f} to {100 * high:.1f})." in told
    )
    assert (
        f"With all labels, frozen is worse than scratch by {-100 * (gained[2].value or 0):.1f} points of weighted F1 "
        f"(95% interval {-100 * most:.1f} to {-100 * least:.1f})." in told
    )
    assert f"With 10% of the labels, the difference frozen {MINUS} scratch is not significant: {MINUS}" in told
    assert "With all labels, full and scratch make the same prediction for every window." in told


def test_with_few_clips_nothing_is_called_significant(tmp_path: Path) -> None:
    told = " ".join(shown(made_comparison(tmp_path, clips=3), width=1000))
    assert (
        "No difference can be called significant, because there are no intervals: 7 blocks of 30 s are needed" in told
    )
    assert "better" not in told


def test_variants_without_a_result_and_leakage_are_named(tmp_path: Path) -> None:
    seen = {"train": ["Subject[0]"], "val": []}
    told = " ".join(shown(made_comparison(tmp_path, missing={"scratch-10": "it broke"}, seen=seen), width=1000))
    assert told.startswith("Variants frozen and full: test subject Subject[0] was used in training, so these")
    assert "With 10% of the labels, full and scratch cannot be compared: scratch has no result." in told
    assert told.endswith("Without a result: scratch-10.")


def test_numbers_are_kept_at_every_width(comparison: JsonObject) -> None:
    assert_numbers_fit(lambda: variant_report(comparison))
