"""The report of variants: first the question and its answers, and each result with its difference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.html_page import Page
from support.made_variants import made_comparison

from revalexo_clip.reports.html.variants import write_variant_report
from revalexo_clip.reports.values import child, children, measured, within, written_difference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("variants")


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    write_variant_report(folder / "report.html", made_comparison(folder))
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_it_is_one_file_that_asks_for_no_other(page: str) -> None:
    assert "://" not in page
    assert not re.search(r"@import|xlink", page)
    elements = Page(page).elements
    assert not {"script", "link", "iframe", "object", "img", "b"} & {tag for tag, _ in elements}
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert {str(attributes["href"]).removeprefix("#") for _, attributes in elements if "href" in attributes} <= {*ids}


def test_it_begins_with_the_question_and_the_answers(page: str) -> None:
    told = Page(page).text.partition("By share of the labels")[0]
    assert "Did pretraining help <b>activity classifier?" in told
    assert "pretrained encoder: runs/demo scratch the encoder starts with new weights" in told
    assert "Is frozen better than scratch? ○ Not significant with 10%; worse with 100%" in told
    assert "Is full better than scratch? ○ Better with 10%; the same with 100%" in told
    assert "With 10% of the labels, full is better than scratch by " in told
    assert "not with another random seed of the training" in told


def test_it_draws_variants_by_share_of_the_labels_and_differences_around_zero(page: str) -> None:
    drawn = [attributes["aria-label"] for tag, attributes in Page(page).elements if tag == "svg"]
    assert drawn == ["Scores by share of the labels", "Differences to scratch"]
    assert set(re.findall(r"var\(--(\w+)\)", page)) >= {"ink", "c1", "c2"}


def test_tables_hold_every_figure_and_difference_of_the_first_horizon(folder: Path, page: str) -> None:
    told = Page(page).text
    for label in children(made_comparison(folder), "labels"):
        for kind in ("frozen", "full"):
            for among in ("all", "steady", "transition"):
                gained = measured(child(children(label, "differences", kind, "horizons")[0], among), "macro_f1")
                assert f"{written_difference('macro_f1', gained.value)}" in told
                assert within("macro_f1", gained.interval) in told
    assert "10% of the labels, 40 training windows" in told


@pytest.mark.long
def test_a_single_share_has_no_curve_and_failures_are_told(tmp_path: Path) -> None:
    comparison = made_comparison(tmp_path, missing={"full-10": "it <broke>"}, seen={"train": ["Subject[0]"], "val": []})
    write_variant_report(tmp_path / "report.html", comparison | {"labels": [*children(comparison, "labels")[:1]]})
    told = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "No curve: there is only one share of the labels." in told
    assert "full-10 has no result: it <broke>" in told
    assert "⚠ Variant frozen: test subject Subject[0] was used in training, so these results" in told
    assert "full and scratch cannot be compared: full has no result." in told


@pytest.mark.long
def test_a_page_of_nothing_is_written_too(tmp_path: Path) -> None:
    names = [f"{kind}-{percent}" for percent in (10, 100) for kind in ("scratch", "frozen", "full")]
    write_variant_report(tmp_path / "report.html", made_comparison(tmp_path, missing=dict.fromkeys(names, "it broke")))
    assert "scratch-10 has no result: it broke" in Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
