"""A perfect and a collapsed model do not read alike: in the JSON, in the terminal and in the report."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
import torch
from rich.console import Console
from support.html_page import Page
from support.made_evaluation import made_evaluation
from support.made_windows import made_windows

from revalexo_clip.evaluation.protocol import Evaluation
from revalexo_clip.metrics.probe_results import unprobed
from revalexo_clip.reports.conclusions.evaluation import verdicts
from revalexo_clip.reports.html.evaluation.page import head, tables
from revalexo_clip.reports.terminal.evaluation import evaluation_report
from revalexo_clip.reports.values import child


@pytest.fixture(scope="module")
def models() -> dict[str, Evaluation]:
    """Each partner is nearest, or all embeddings are the same."""
    windows = made_windows(subjects=2, clips=12)
    same_ND = torch.nn.functional.normalize(torch.ones_like(windows.imu_ND), dim=1)
    made = {
        "perfect": replace(windows, video_ND=windows.imu_ND),
        "collapsed": replace(windows, imu_ND=same_ND, video_ND=same_ND),
    }
    return {name: made_evaluation(one, name, unprobed("not asked for")) for name, one in made.items()}


@pytest.mark.long
def test_both_have_exact_intervals(models: dict[str, Evaluation]) -> None:
    found = {name: child(one.metrics, "retrieval", "imu_to_video") for name, one in models.items()}
    assert [found[name]["r_at_10"] for name in ("perfect", "collapsed")] == [1.0, 0.0]
    least = pytest.approx(0.025 ** (1 / 24))
    assert child(found["perfect"], "interval")["r_at_10"] == [least, 1.0]
    assert child(found["collapsed"], "interval")["r_at_10"] == [0.0, pytest.approx(1 - 0.025 ** (1 / 24))]
    mrr = child(found["collapsed"], "interval")["mrr"]
    assert isinstance(mrr, list)
    assert mrr[0] != mrr[1]


def test_answers_differ(models: dict[str, Evaluation]) -> None:
    answers = {name: {one.question: one for one in verdicts(model.metrics)} for name, model in models.items()}
    perfect, collapsed = answers["perfect"], answers["collapsed"]
    asked = "Does IMU find the matching video?"
    assert (perfect[asked].answer, perfect[asked].short) == (
        "yes",
        "Yes: R@1 100.0% in the weaker direction, chance 0.5%",
    )
    assert collapsed[asked].answer != "yes"
    asked = "Does it work for every subject?"
    assert perfect[asked].short == "R@10 is significantly above chance for 2 of 2 unseen subjects"
    assert collapsed[asked].short == "R@10 is significantly above chance for 0 of 2 unseen subjects"
    asked = "Which activities work best?"
    assert perfect[asked].short == "All alike: R@10 100.0%"
    assert "is the same for all: 100.0%" in perfect[asked].reasons


@pytest.mark.parametrize(("name", "ends"), [("perfect", "85.8-100.0"), ("collapsed", "0.0-14.2")])
def test_terminal_and_report_show_the_bounds(models: dict[str, Evaluation], name: str, ends: str) -> None:
    metrics = models[name].metrics
    console = Console(width=120, record=True, file=StringIO())
    for part in evaluation_report(metrics):
        console.print(part)
    printed = console.export_text()
    assert ends in printed
    assert "Results of exactly 0% or 100% have exact bounds." in " ".join(printed.split())
    assert ends.replace("-", "\N{EN DASH}") in Page(tables(metrics)).text
    assert ends.replace("-", "\N{EN DASH}") in Page(head(name, metrics)).text
