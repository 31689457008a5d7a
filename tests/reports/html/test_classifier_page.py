"""The report of an activity classifier's test: its figures, its words, and a word where something is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from support.html_page import Page
from support.made_predictions import made_predictions

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.bootstrap import ClipBootstrap
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.conclusions.classifier import beats_chance, compared, recognised, verdicts
from revalexo_clip.reports.conclusions.evaluation import Verdict
from revalexo_clip.reports.findings import ClassifierFindings
from revalexo_clip.reports.html import plots as plot
from revalexo_clip.reports.html.classifier import page as summary
from revalexo_clip.reports.html.classifier import timelines
from revalexo_clip.reports.html.classifier.page import sections, write_classifier_report
from revalexo_clip.reports.values import Measured

ODD = '<b>"walking" & co'
HEADING: JsonObject = {
    "checkpoint": "runs/made/best.ckpt",
    "sha256": "0123456789abcdef",
    "epoch": 2,
    "seen": {"train": [], "val": []},
}


def made_findings(predictions: Predictions, log: Path = Path("metrics.csv")) -> ClassifierFindings:
    measured = measure_classification(predictions, ClipBootstrap(predictions.clip_subjects, resamples=20))
    subjects = {"train": ["<A>", "B"], "val": ["C"], "test": sorted(set(predictions.clip_subjects))}
    return ClassifierFindings(f"run of {ODD}", {**HEADING, **measured}, predictions, log, subjects)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> ClassifierFindings:
    """Of two subjects, with names that HTML would take for its own."""
    log = tmp_path_factory.mktemp("run") / "metrics.csv"
    log.write_text(
        "epoch,step,train/loss,val/loss,val/macro_f1,val/weighted_f1,val/accuracy\n"
        "0,0,3.0,,,,\n0,1,,2.2,0.5,0.6,0.6\n1,2,1.5,,,,\n1,2,,1.9,0.6,0.7,0.7\n"
    )
    return made_findings(made_predictions(activities=("standing", ODD, "stairs_up", "never")), log)


@pytest.fixture(scope="module")
def written(findings: ClassifierFindings, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_classifier_report(path, findings)
    return path.read_text(encoding="utf-8")


def test_it_is_one_file_in_the_colours_of_the_page(written: str) -> None:
    page = Page(written)
    assert "://" not in written
    assert not {"script", "link", "iframe", "object", "b"} & {tag for tag, _ in page.elements}
    assert not [colour for colour in plot.COLOUR.values() if colour in written]
    assert {*re.findall(r"var\((--\w+)\)", written)} <= {*re.findall(r"(--\w+):", written)}
    assert f"Activity classification by run of {ODD}" in page.text
    assert "Trained on 2 <A>, B Selected on 1 C Tested on 2 Subject[0], Subject[1]" in page.text


def test_the_tables_hold_the_figures_of_metrics_json(findings: ClassifierFindings, written: str) -> None:
    text = Page(written).text.replace(" ", "")
    horizon = cast("list[JsonObject]", findings.metrics["horizons"])[1]
    for title, among in (("0.5s", "all"), ("0.5s", "steady"), ("0.5s", "transition")):
        figures = cast("JsonObject", horizon[among])
        expected = [title, str(figures["windows"])]
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"):
            expected += shown(figures, name)
        assert "".join(expected) in text
    figures = cast("JsonObject", cast("JsonObject", cast("JsonObject", horizon["all"])["classes"])["stairs_up"])
    expected = ["stairsup", str(figures["support"])]
    for name in ("precision", "recall", "f1"):
        expected += shown(figures, name)
    assert "".join(expected) in text


def shown(figures: JsonObject, name: str) -> list[str]:
    """A figure, and its interval."""
    ends = cast("JsonObject", figures["interval"])[name]
    percent = [f"{100 * float(str(figures[name])):.1f}%"]
    if isinstance(ends, list):
        percent.append("\N{EN DASH}".join(f"{100 * float(str(end)):.1f}" for end in ends))
    return percent


def test_confusion_matrices_are_those_of_the_first_and_of_the_last_horizon(written: str) -> None:
    text = Page(written).text
    assert text.count("in a transition, predicted:") == 2
    assert "Activity 0 s after the window, all windows, predicted:" in text
    assert "Activity 0.5 s after the window, all windows, predicted:" in text


def test_the_same_predictions_give_the_same_bytes(findings: ClassifierFindings, written: str, tmp_path: Path) -> None:
    write_classifier_report(tmp_path / "again.html", findings)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == written


def test_subjects_that_were_seen_are_said_before_all_else(findings: ClassifierFindings) -> None:
    seen: JsonObject = {"train": ["Subject<1>"], "val": []}
    for given, told in (
        (seen, "These figures flatter it: it was trained on Subject<1>."),
        (None, "These figures may flatter it: it is not known on whom its encoder was trained."),
    ):
        text = Page(summary.head(replace(findings, metrics={**findings.metrics, "seen": given}))).text
        assert text.index(told) < text.index("Does it recognise")
        assert "new to the model" not in text
    text = Page(summary.head(findings)).text
    assert "flatter" not in text
    assert "2 people, new to the model: weighted F1 from" in text


def told(findings: ClassifierFindings) -> dict[str, str]:
    return {"head": Page(summary.head(findings)).text} | {
        section.anchor: Page(section.body).text for section in sections(findings)
    }


def test_what_is_missing_is_said_in_words() -> None:
    made = made_predictions(subjects=1, clips=2, horizons=(0.0,))
    found = told(made_findings(replace(made, transition_NK=np.zeros_like(made.transition_NK))))
    assert "Not settled, for want of an interval" in found["head"]
    assert "In transitions? ○ Not known" in found["head"]
    assert "Only the activity 0 s after the window was asked for." in found["head"]
    assert "No window with a label is in a transition, so nothing is said of those." in found["head"]
    assert "There are no intervals: 6 clips of a subject are needed" in found["figures"]
    assert "in a transition" not in found["figures"]
    assert "no curve" in found["ahead"]
    assert "One person was tested, Subject[0]" in found["people"]
    assert "no curves" in found["training"]


def test_without_labels_every_section_says_so() -> None:
    made = made_predictions()
    found = told(made_findings(replace(made, label_NK=np.full_like(made.label_NK, -1))))
    assert "No window has a label, so nothing was measured." in found["head"]
    for anchor in ("activities", "confusion", "people"):
        assert found[anchor] == "No window has a label."
    assert found["clips"] == "No window has a label 0 s after its end."


def test_a_single_activity_is_no_success() -> None:
    made = made_predictions(subjects=1, clips=9, skill=1.0, skill_in_transition=1.0)
    alike = replace(made, label_NK=np.ones_like(made.label_NK))
    first = next(verdicts(made_findings(alike).metrics))
    assert (first.answer, first.short) == ("open", "Not known: all windows are walking")


@pytest.mark.parametrize(
    ("accuracy", "balanced", "answer", "says"),
    [
        ([0.8, 0.9], [0.7, 0.8], "yes", "Yes: weighted F1 90.0%, macro F1 70.0%"),
        ([0.42, 0.48], [0.3, 0.4], "open", "In part, better than chance but more often wrong than right"),
        ([0.8, 0.9], [0.2, 0.4], "open", "Not settled, it may be no better than always saying stairs up"),
        ([0.35, 0.39], [0.3, 0.4], "open", "Not settled, it may be no better than always saying stairs up"),
        ([0.35, 0.39], [0.1, 0.2], "no", "No: worse than always saying stairs up"),
        (None, None, "open", "Not settled, for want of an interval"),
    ],
)
def test_it_recognises_where_windows_and_activities_are_right_more_often_than_by_guessing(
    accuracy: list[float] | None, balanced: list[float] | None, answer: str, says: str
) -> None:
    middle = 0.0 if accuracy is None else sum(accuracy) / 2
    found: JsonObject = {
        "accuracy": middle,
        "balanced_accuracy": 0.0 if balanced is None else sum(balanced) / 2,
        "macro_f1": 0.7,
        "weighted_f1": 0.9,
        "interval": {"accuracy": cast("JsonObject", accuracy), "balanced_accuracy": cast("JsonObject", balanced)},
        "chance": {"activity": "stairs_up", "accuracy": 0.4, "balanced_accuracy": 0.25},
    }
    got, short = recognised(found)
    assert got == answer
    assert short.startswith(says)
    assert beats_chance(found) == ("yes" if short.startswith(("Yes", "In part")) else answer)


def answers(predictions: Predictions) -> dict[str, Verdict]:
    return {one.question: one for one in verdicts(made_findings(predictions).metrics)}


def test_words_follow_the_figures() -> None:
    good, poor, blind = (
        answers(made_predictions(clips=20, skill=steady, skill_in_transition=moving))
        for steady, moving in ((0.98, 0.6), (0.6, 0.95), (0.05, 0.05))
    )
    assert good["In transitions?"].short.startswith("Less well: weighted F1")
    assert poor["In transitions?"].short.startswith("Better: weighted F1")
    assert blind["In transitions?"].answer == "no"
    assert good["How far ahead?"].short.startswith("0.5 s at least: weighted F1")
    assert blind["How far ahead?"].short == "At no horizon"
    assert blind["Does it recognise what is done?"].answer == "no"


@pytest.mark.parametrize(
    ("moving", "says"),
    [
        ((0.5, 0.6), "Less well"),
        ((0.5, 0.85), "No difference that is settled"),
        ((0.95, 0.99), "Better"),
        (None, "Not settled, for want of intervals"),
    ],
)
def test_only_intervals_that_are_apart_settle_a_difference(moving: tuple[float, float] | None, says: str) -> None:
    assert compared(Measured(0.7, moving), Measured(0.85, (0.8, 0.9))) == says


def test_everybody_has_figures_of_their_own(findings: ClassifierFindings, written: str) -> None:
    text = Page(written).text.replace(" ", "")
    for subject, found in cast("JsonObject", findings.metrics["subjects"]).items():
        expected = [subject]
        for at_horizon in cast("list[JsonObject]", cast("JsonObject", found)["horizons"]):
            expected += shown(at_horizon, "weighted_f1")
        assert "".join(expected) in text


def test_clips_are_the_best_the_worst_and_others() -> None:
    made = made_predictions(clips=9)
    label_N, said_N = made.label_NK[:, 0], made.predicted()[:, 0]
    right_J = np.array([(label_N == said_N)[made.clip_N == clip].mean() for clip in range(18)])
    chosen = timelines.choose(made)
    assert [one.why for one in chosen] == ["best"] * 2 + ["drawn at random"] * 2 + ["worst"] * 2
    assert len({one.clip for one in chosen}) == 6
    assert [one.accuracy for one in chosen] == pytest.approx(right_J[[one.clip for one in chosen]])
    changing = [clip for clip in range(18) if len(np.unique(label_N[made.clip_N == clip])) > 1]
    assert chosen[0].accuracy == right_J[changing].max()
    assert chosen[-2].accuracy == right_J[changing].min()
    assert len(timelines.choose(made_predictions(subjects=1, clips=3))) == 3


def test_clips_in_which_nothing_changes_are_not_shown() -> None:
    made = made_predictions(clips=9)
    label_NK = np.where(made.clip_N[:, None] < 4, 1, made.label_NK)
    shown_clips = timelines.choose(replace(made, label_NK=label_NK))
    assert len(shown_clips) == 6
    assert min(one.clip for one in shown_clips) >= 4
    assert len(timelines.choose(replace(made, label_NK=np.ones_like(label_NK)))) == 6
