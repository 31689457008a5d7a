"""Activities that no training window has are named in every table, page and answer that scores them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console, RenderableType
from support.html_page import Page
from support.made_evaluation import made_evaluation, made_probe_results
from support.made_predictions import made_predictions
from support.made_variants import made_comparison, write_outcome
from support.made_windows import made_windows

from revalexo_clip.core.component import JsonObject
from revalexo_clip.evaluation.comparison import comparison_metrics
from revalexo_clip.evaluation.protocol import Evaluation
from revalexo_clip.finetuning.variant_summary import summarize
from revalexo_clip.finetuning.variants import make_variants
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.conclusions import classifier, comparison, evaluation, variants
from revalexo_clip.reports.findings import ClassifierFindings
from revalexo_clip.reports.html.classifier.page import write_classifier_report
from revalexo_clip.reports.html.comparison.page import write_comparison
from revalexo_clip.reports.html.evaluation.page import sections, tables
from revalexo_clip.reports.html.variants import write_variant_report
from revalexo_clip.reports.terminal.classifier import classifier_report
from revalexo_clip.reports.terminal.comparison import comparison_report
from revalexo_clip.reports.terminal.evaluation import evaluation_report
from revalexo_clip.reports.terminal.variants import variant_report
from revalexo_clip.reports.values import child, children


def printed(report: Iterable[RenderableType]) -> str:
    console = Console(width=200, record=True, file=StringIO())
    for part in report:
        console.print(part)
    return " ".join(console.export_text().split())


def classifier_metrics(trained: tuple[str, ...]) -> JsonObject:
    predictions = made_predictions(clips=12)
    bootstrap = TimeBootstrap(units_of(predictions), resamples=50)
    return {
        **measure_classification(predictions, bootstrap, trained),
        "seen": {"train": [], "val": []},
        "checkpoint": "best.ckpt",
        "sha256": "0",
        "epoch": 1,
    }


@pytest.mark.long
def test_the_test_of_a_classifier_names_them(tmp_path: Path) -> None:
    metrics = classifier_metrics(("standing", "walking", "stairs_down"))
    first = child(children(metrics, "horizons")[0], "all")
    assert first["not_in_training"] == child(first, "classes", "stairs_up")["support"] != 0
    assert "stairs_up, not in training" in printed(classifier_report(metrics))
    findings = ClassifierFindings("made", metrics, made_predictions(clips=12), tmp_path / "no.csv", {})
    write_classifier_report(tmp_path / "report.html", findings)
    told = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "stairs up, not in training" in told
    assert f"stairs up ({child(first, 'classes', 'stairs_up')['support']}, not in training)" in told
    assert "Not counted, because it is not in training: stairs up." in told
    assert "not in training" not in printed(classifier_report(classifier_metrics(made_predictions().activities)))


def test_a_classifier_that_could_learn_nothing_of_the_test_is_not_judged() -> None:
    answers = {one.question: one for one in classifier.verdicts(classifier_metrics(()))}
    for question in ("Does it classify activities correctly?", "Does it work in transitions?"):
        assert answers[question].answer == "open"
        assert answers[question].short.startswith("Not known: the activities of all")


def windows_of_a_lonely_activity() -> EvaluatedWindows:
    """The last subject alone is `never` in its second half, so no probe that is tested on it knows that."""
    windows = made_windows(subjects=2)
    label_NK = windows.label_NK.clone()
    label_NK[-28:] = 2
    return replace(windows, label_NK=label_NK, activities=("[standing]", "walking", "x$\\frac{$"))


@pytest.fixture(scope="module")
def lonely() -> Evaluation:
    windows = windows_of_a_lonely_activity()
    return made_evaluation(windows, "made", made_probe_results(windows))


@pytest.mark.long
def test_an_evaluation_names_what_its_probes_were_not_trained_on(lonely: Evaluation) -> None:
    metrics = lonely.metrics
    probe = child(metrics, "probe")
    assert probe["never_trained"] == ["x$\\frac{$"]
    assert child(children(probe, "linear", "imu")[0], "all")["not_in_training"] == 28
    told = "Not in training: x$\\frac{$. All their test windows count as errors."
    assert told in printed(evaluation_report(metrics))
    pages = {section.anchor: Page(section.body).text for section in sections(lonely.findings)}
    assert told in pages["probe"]
    assert "x$\\frac{$ (28, not in training)" in pages["confusion"]
    assert told in " ".join(one.reasons for one in evaluation.verdicts(metrics))
    assert Page(tables(metrics)).text


@pytest.mark.long
def test_a_name_that_is_no_formula_is_drawn_as_it_is(lonely: Evaluation) -> None:
    pages = {section.anchor: str(section.body) for section in sections(lonely.findings)}
    assert "x$\\frac{$ (28)" in pages["activities"]
    assert not any("mathdefault" in page for page in pages.values())


def untrained(windows: EvaluatedWindows) -> EvaluatedWindows:
    """Each subject has an activity of its own."""
    return replace(windows, label_NK=torch.from_numpy(windows.of_subject())[:, None].repeat(1, 2))


@pytest.mark.long
def test_checkpoints_are_not_compared_by_what_neither_could_learn(tmp_path: Path) -> None:
    windows = untrained(made_windows(subjects=2))
    probed = made_probe_results(windows)
    found = child(children(probed.metrics or {}, "linear", "imu")[0], "all")
    assert found["accuracy"] == 0
    assert found["not_in_training"] == found["windows"]
    pair = [made_evaluation(windows, "made", probed) for _ in range(2)]
    metrics = comparison_metrics(["a/1", "b/1"], [{}], pair)
    assert "IMU features" not in {question.title for question in comparison.questions(metrics)}
    note = "Probes of A, B: not in training: [standing], walking. All their test windows count as errors."
    assert note in printed(comparison_report(metrics))
    write_comparison(tmp_path / "report.html", metrics)
    told = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert note in told
    assert "Which IMU features predict the activity better?" not in told
    (answer,) = [one for one in evaluation.verdicts(pair[0].metrics) if one.question == "Was pretraining worth it?"]
    assert answer.short == "Not known"
    assert "The activities of all tested windows are not in training" in answer.reasons


@pytest.mark.long
def test_variants_are_not_compared_by_what_none_could_learn(tmp_path: Path) -> None:
    tested = made_predictions().activities[:-1]
    found = made_comparison(tmp_path, never_trained=tested)
    assert set(variants.answers(found).values()) == {"not in training"}
    told = printed(variant_report(found))
    assert "With all labels, nothing is known: the activities of all test windows are not in training." in told
    assert f"Not in training: {', '.join(tested)}." in told
    write_variant_report(tmp_path / "report.html", found)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"⚠ Not in training: {', '.join(tested)}. All their test windows count as errors." in Page(page).text
    assert '<strong class="yes">' not in page.partition("<main>")[0]


def test_it_is_told_which_variants_did_not_learn_an_activity(tmp_path: Path) -> None:
    found = made_comparison(tmp_path, never_trained=["stairs_up"])
    first = children(found, "labels")[0]
    child(first, "variants", "full")["never_trained"] = []
    (note,) = variants.training_notes(found)
    assert note.startswith(
        "Not in training: stairs_up. All their test windows count as errors. This applies to scratch"
    )
    assert "full with 10%" not in note
    assert "full with 100%" in note


def test_two_zeros_are_not_the_same_and_not_green(tmp_path: Path) -> None:
    """Both variants are always wrong, each in its own way."""
    predictions = made_predictions(clips=12)
    wrong = [
        replace(predictions, logits_NKA=np.eye(5, dtype=np.float32)[(predictions.label_NK + by) % 5]) for by in (1, 2)
    ]
    made = make_variants(["scratch", "full"], [1.0])
    done = {one: write_outcome(tmp_path / one.name, found) for one, found in zip(made, wrong, strict=True)}
    found: JsonObject = {"experiment": "made", "encoder": "runs/demo", **summarize(done, made, {1.0: 9}, {})}
    assert set(variants.answers(found).values()) == {"not significant"}
    assert "+0.0 points of weighted F1 (95% interval " in printed(variant_report(found))
    (answer,) = variants.verdicts(found)
    assert answer.answer == "open"
