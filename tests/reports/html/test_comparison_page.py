"""The report of a comparison: answers that follow from significance, and each result with its difference."""

from __future__ import annotations

import re
from typing import cast

import pytest
from support.html_page import Page
from support.made_evaluation import made_comparison

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.comparison import answer_of, questions, summaries
from revalexo_clip.reports.html.comparison import page as comparison
from revalexo_clip.reports.html.comparison import tables as comparison_tables
from revalexo_clip.reports.html.comparison.page import write_comparison
from revalexo_clip.reports.values import MINUS, within, written_difference

ODD = "<b>second & co/20250101-000000"
NAMES = ("first/20250101-000000", ODD, "third/20250101-000000")


@pytest.fixture(scope="module")
def metrics() -> JsonObject:
    """The first checkpoint, a better one, and a copy of the first."""
    return made_comparison(dict(zip(NAMES, (1.5, 0.2, 1.5), strict=True)))


@pytest.fixture(scope="module")
def page(metrics: JsonObject, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("comparison") / "report.html"
    write_comparison(path, metrics)
    return path.read_text(encoding="utf-8")


@pytest.mark.long
def test_it_is_one_file_that_asks_for_no_other(page: str) -> None:
    assert "://" not in page
    assert not re.search(r"@import|xlink", page)
    elements = Page(page).elements
    assert not {"script", "link", "iframe", "object", "img", "b"} & {tag for tag, _ in elements}
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert {str(attributes["href"]).removeprefix("#") for _, attributes in elements if "href" in attributes} <= {*ids}
    assert len(ids) == len({*ids})


def test_it_begins_with_who_is_compared_and_the_answers(page: str) -> None:
    told = Page(page).text
    assert "first/20250101-000000 (baseline)" in told
    assert ODD in told
    asked = told.index("Which one finds the matching window more often?")
    assert told.index(ODD) < asked < told.index("Results Retrieval, gallery")
    assert "B is better than A; C and A are the same" in told[asked:]
    assert "Which IMU features predict the activity better? B and A are the same; C and A are the same" in told
    assert "B is better for 2 and worse for 0 of 2 subjects; C is better for 0 and worse for 0 of 2 subjects" in told


def test_the_table_holds_figures_differences_and_intervals(metrics: JsonObject, page: str) -> None:
    told = Page(page).text
    first, second, _ = cast("list[JsonObject]", metrics["checkpoints"])
    difference = cast("list[JsonObject]", metrics["differences"])[0]
    one, other, gained = (
        cast("JsonObject", cast("JsonObject", found["retrieval"])["video_to_imu"])
        for found in (first, second, difference)
    )
    low, high = cast("list[float]", cast("JsonObject", gained["interval"])["mrr"])
    assert low > 0
    by = f"{gained['mrr']:+.3f} ▲ [{low:+.3f}, {high:+.3f}]"
    assert f"MRR {one['mrr']:.3f} {other['mrr']:.3f} {by} {one['mrr']:.3f} +0.000 =" in told
    low, high = cast("list[float]", cast("JsonObject", gained["interval"])["median_rank"])
    assert high < 0
    by = f"{gained['median_rank']:+.1f} ▲ [{low:+.1f}, {high:+.1f}]".replace("-", MINUS)
    assert f"median rank {one['median_rank']:.1f} {other['median_rank']:.1f} {by}" in told
    assert "optim.lr 0.1 0.2" in told


def test_subjects_that_were_seen_are_said_before_the_answers(metrics: JsonObject) -> None:
    first, *others = cast("list[JsonObject]", metrics["checkpoints"])
    seen: JsonObject = {"train": ["Subject<1>"], "val": []}
    leaked: JsonObject = {**first, "seen": seen}
    told = Page(comparison.head({**metrics, "checkpoints": [leaked, *others]})).text
    assert told.index("⚠ Checkpoint A: test subject Subject<1> was used in training, so") < told.index(
        "Which one finds"
    )


@pytest.mark.long
def test_what_is_missing_is_said_in_words(metrics: JsonObject) -> None:
    bare: JsonObject = {
        **metrics,
        "interval_reason": "6 clips are needed",
        "checkpoints": [
            {**one, "probe": None, "probe_reason": "not asked for"}
            for one in cast("list[JsonObject]", metrics["checkpoints"])
        ],
        "differences": [{**one, "probe": None} for one in cast("list[JsonObject]", metrics["differences"])],
    }
    told = {section.anchor: Page(section.body).text for section in comparison.sections(bare)}
    assert told["probe"] == "No probe: not asked for."
    assert told["results"].endswith("There are no intervals: 6 clips are needed.")
    assert (
        "No difference can be called significant, because there are no intervals: 6 clips are needed."
        in Page(comparison.head(bare)).text
    )


@pytest.mark.long
def test_with_a_single_subject_it_is_told_who_trained_the_probes() -> None:
    alone = made_comparison({"a/1": 1.0, "b/1": 0.5}, subjects=1)
    told = {section.anchor: Page(section.body).text for section in comparison.sections(alone)}
    assert (
        "the probe is trained on the 3 training subjects of the pretraining and tested on Subject[0]."
        in told["results"]
    )
    assert "same subject, " not in told["results"]
    assert "subjects" not in told
    first, other = cast("list[JsonObject]", alone["checkpoints"])
    other = {**other, "probe": {**cast("JsonObject", other["probe"]), "trained_on": ["Subject[2]"]}}
    differently = comparison_tables.results({**alone, "checkpoints": [first, other]})
    assert "Probes of the other checkpoints are trained on other subjects" in Page(differently).text


@pytest.mark.long
@pytest.mark.parametrize(
    ("significant", "answer"),
    [
        (["better", "better"], "better"),
        (["better", None], "in part better"),
        (["same", "better"], "in part better"),
        (["better", "worse"], "mixed"),
        (["worse", None], "in part worse"),
        (["worse", "worse"], "worse"),
        (["same", "same"], "the same"),
        (["same", None], "not significant"),
        ([None, None], "not significant"),
    ],
)
def test_an_answer_needs_both_of_its_results(significant: list[str | None], answer: str) -> None:
    assert answer_of(significant) == answer


def test_a_line_says_what_is_significant_and_what_is_not(metrics: JsonObject) -> None:
    better, copy = summaries(metrics)
    assert [question.title for question in questions(metrics)] == [
        *("all windows", "same subject", "same subject and activity", "same clip"),
        *("IMU features", "video features", "IMU and video features"),
    ]
    assert better == (
        "better: all windows, same subject, same subject and activity, same clip; "
        "the same: IMU features, video features, IMU and video features"
    )
    assert copy.startswith("the same: all windows, same subject, ")


@pytest.mark.long
def test_six_subjects_have_a_mean_difference_with_an_interval_between_subjects() -> None:
    several = made_comparison({"a/1": 1.0, "b/1": 0.2}, subjects=6)
    (difference,) = cast("list[JsonObject]", several["differences"])
    figures = cast("JsonObject", cast("JsonObject", difference["retrieval"])["imu_to_video"])
    mean = cast("JsonObject", cast("JsonObject", figures["between_subjects"])["mrr"])
    low, high = cast("list[float]", mean["interval"])
    expected = f"of 6 subjects (mean {mean['mean']:+.3f} [{low:+.3f}, {high:+.3f}])"
    assert expected in Page(comparison.head(several)).text


def test_differences_are_signed_and_in_the_figure_s_unit() -> None:
    assert written_difference("r_at_1", -0.0123) == f"{MINUS}1.2"
    assert written_difference("mrr", 0.02549) == "+0.025"
    assert written_difference("median_rank", -1.5) == f"{MINUS}1.5"
    assert within("accuracy", (-0.01, 0.2)) == f"[{MINUS}1.0, +20.0]"
    assert within("accuracy", None) == ""
