"""What a person sees of a comparison of variants in a terminal of 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from support.made_variants import made_comparison

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


def test_rows_are_shares_of_the_labels_and_columns_are_arms(comparison: JsonObject) -> None:
    lines = shown(comparison)
    assert lines[0] == "Did pretraining help? 294 windows of 14 clips, 2 test subjects, 95% intervals"
    first, _ = children(comparison, "labels")
    for title, score in (("weighted F1, 0 s", "weighted_f1"), ("balanced accuracy, 0 s", "balanced_accuracy")):
        place = next(number for number, line in enumerate(lines) if line.startswith(title))
        assert lines[place + 2].split() == ["labels", "windows", "scratch", "frozen", "full"]
        figures = [
            measured(child(children(first, "variants", kind, "horizons")[0], "all"), score)
            for kind in ("scratch", "frozen", "full")
        ]
        assert lines[place + 4].split() == ["10%", "40", *(f"{100 * (one.value or 0):.1f}%" for one in figures)]
        ends = [one.interval or (0.0, 0.0) for one in figures]
        assert lines[place + 5].split() == [f"{100 * low:.1f}{NONE}{100 * high:.1f}" for low, high in ends]


def test_a_sentence_says_of_each_difference_what_is_settled(comparison: JsonObject) -> None:
    told = " ".join(shown(comparison, width=1000))
    gained = [
        measured(child(children(label, "differences", kind, "horizons")[0], "all"), "weighted_f1")
        for label in children(comparison, "labels")
        for kind in ("frozen", "full")
    ]
    (low, high), (least, most) = gained[1].interval or (0, 0), gained[2].interval or (0, 0)
    assert (
        f"With 10% of the labels, full is better than scratch by {100 * (gained[1].value or 0):.1f} points of weighted "
        f"F1 ({100 * low:.1f} to {100 * high:.1f})." in told
    )
    assert (
        f"With all labels, frozen is worse than scratch by {-100 * (gained[2].value or 0):.1f} points of weighted F1 "
        f"({-100 * most:.1f} to {-100 * least:.1f})." in told
    )
    assert f"With 10% of the labels, it is not settled whether frozen is better than scratch: {MINUS}" in told
    assert "With all labels, full and scratch say the same of every window." in told


def test_of_few_clips_there_is_no_word_but_that_nothing_is_settled(tmp_path: Path) -> None:
    told = " ".join(shown(made_comparison(tmp_path, clips=3), width=1000))
    assert "Nothing is settled, for want of intervals: 6 clips of a subject are needed" in told
    assert "better" not in told


def test_arms_without_a_result_and_figures_that_flatter_are_named(tmp_path: Path) -> None:
    seen = {"train": ["Subject[0]"], "val": []}
    told = " ".join(shown(made_comparison(tmp_path, missing={"scratch-10": "it broke"}, seen=seen), width=1000))
    assert told.startswith("The figures of frozen and full flatter it: it was trained on Subject[0].")
    assert "With 10% of the labels, full and scratch cannot be compared: scratch has no result." in told
    assert told.endswith("Without a result: scratch-10.")
