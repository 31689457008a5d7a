"""The report of an activity classifier: results, conclusions, and missing results."""

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
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.conclusions.classifier import beats_chance, classification_answer, compared, reach, verdicts
from revalexo_clip.reports.conclusions.verdict import MIN_ACCURACY, Verdict
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
    measured = measure_classification(predictions, TimeBootstrap(units_of(predictions), resamples=20))
    subjects = {"train": ["<A>", "B"], "val": ["C"], "test": sorted(set(predictions.clip_subjects))}
    return ClassifierFindings(f"run of {ODD}", {**HEADING, **measured}, predictions, log, subjects)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> ClassifierFindings:
    """Findings of two subjects, with names that contain HTML markup."""
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


@pytest.mark.long
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
    """Return a metric with its interval."""
    ends = cast("JsonObject", figures["interval"])[name]
    percent = [f"{100 * float(str(figures[name])):.1f}%"]
    if isinstance(ends, list):
        percent.append("\N{EN DASH}".join(f"{100 * float(str(end)):.1f}" for end in ends))
    return percent


def test_confusion_matrices_are_those_of_the_first_and_of_the_last_horizon(written: str) -> None:
    text = Page(written).text
    assert text.count(": transitions Rows") + text.count(": transitions true") == 2
    assert "Predicted activity, at the end of the window: all windows" in text
    assert "Predicted activity, 0.5 s after the end of the window: all windows" in text


@pytest.mark.long
def test_the_same_predictions_give_the_same_bytes(findings: ClassifierFindings, written: str, tmp_path: Path) -> None:
    write_classifier_report(tmp_path / "again.html", findings)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == written


def test_subjects_that_were_seen_are_said_before_all_else(findings: ClassifierFindings) -> None:
    seen: JsonObject = {"train": ["Subject<1>"], "val": []}
    for given, told in (
        (seen, "⚠ Test subject Subject<1> was used in training, so these results do not measure generalisation."),
        (None, "⚠ It is not known which subjects the encoder was trained on, so these results may not measure"),
    ):
        text = Page(summary.head(replace(findings, metrics={**findings.metrics, "seen": given}))).text
        assert text.index(told) < text.index("Does it classify")
        assert "unseen" not in text
    text = Page(summary.head(findings)).text
    assert "generalisation" not in text
    assert "2 unseen subjects: weighted F1 from" in text


def told(findings: ClassifierFindings) -> dict[str, str]:
    return {"head": Page(summary.head(findings)).text} | {
        section.anchor: Page(section.body).text for section in sections(findings)
    }


def test_what_is_missing_is_said_in_words() -> None:
    made = made_predictions(subjects=1, clips=2, horizons=(0.0,))
    found = told(made_findings(replace(made, transition_NK=np.zeros_like(made.transition_NK))))
    assert "Significance not known, because there is no interval" in found["head"]
    assert "Does it work in transitions? ○ Not known" in found["head"]
    assert "Only the activity at the end of the window was tested." in found["head"]
    assert "No window with a label is in a transition, so there are no results for this set." in found["head"]
    assert "There are no intervals: 6 blocks of 30 s are needed for 1 subject, and there are 2" in found["results"]
    assert "transitions" not in found["results"]
    assert "No curve" in found["horizons"]
    assert "Only one subject was tested, Subject[0]" in found["subjects"]
    assert "No curves" in found["training"]


def test_without_labels_every_section_says_so() -> None:
    made = made_predictions()
    found = told(made_findings(replace(made, label_NK=np.full_like(made.label_NK, -1))))
    assert "No window has a label, so nothing was measured." in found["head"]
    for anchor in ("activities", "confusion", "subjects"):
        assert found[anchor] == "No window has a label."
    assert found["clips"] == "No window has a label at the end of the window."


def test_a_single_activity_is_no_success() -> None:
    made = made_predictions(subjects=1, clips=9, skill=1.0, skill_in_transition=1.0)
    alike = replace(made, label_NK=np.ones_like(made.label_NK))
    first = next(verdicts(made_findings(alike).metrics))
    assert (first.answer, first.short) == ("open", "Not known: all windows are walking")


@pytest.mark.parametrize(
    ("accuracy", "balanced", "answer", "says"),
    [
        ([0.8, 0.9], [0.7, 0.8], "yes", "Yes: weighted F1 90.0%, macro F1 70.0%"),
        ([0.48, 0.518], [0.3, 0.4], "open", "Above chance (40.0%), low in absolute terms: accuracy 49.9%"),
        ([0.48, 0.521], [0.3, 0.4], "yes", "Yes: weighted F1 90.0%, macro F1 70.0%"),
        ([0.42, 0.48], [0.3, 0.4], "open", "Above chance (40.0%), low in absolute terms: accuracy 45.0%"),
        ([0.8, 0.9], [0.2, 0.4], "open", "Not significantly better than always predicting stairs up"),
        ([0.35, 0.39], [0.3, 0.4], "open", "Not significantly better than always predicting stairs up"),
        ([0.35, 0.39], [0.1, 0.2], "no", "No: worse than always predicting stairs up"),
        (None, None, "open", "Significance not known, because there is no interval"),
    ],
)
def test_a_yes_needs_significantly_more_than_chance_and_mostly_right_predictions(
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
    got, short = classification_answer(found)
    assert got == answer
    assert short.startswith(says)
    assert beats_chance(found) == ("yes" if short.startswith(("Yes", "Above chance")) else answer)


def at_horizon(horizon: float, accuracy: float, *, certain: bool = True) -> JsonObject:
    """Return one horizon at which 20% of the windows have the most frequent activity."""
    ends = cast("JsonObject", [accuracy - 0.05, accuracy + 0.05] if certain else [0.1, 0.9])
    figures: JsonObject = {
        **dict.fromkeys(("accuracy", "balanced_accuracy", "weighted_f1"), accuracy),
        "interval": dict.fromkeys(("accuracy", "balanced_accuracy"), ends),
        "chance": {"activity": "walking", "accuracy": 0.2, "balanced_accuracy": 0.2},
    }
    return {"horizon": horizon, "all": figures}


@pytest.mark.parametrize(
    ("last", "answer", "says"),
    [
        (at_horizon(1.0, MIN_ACCURACY), "yes", "At least 1 s: weighted F1 80.0% at 0 s, 50.0% at 1 s"),
        (at_horizon(1.0, MIN_ACCURACY - 0.01), "open", "Above chance up to 1 s, low in absolute terms: weighted F1"),
        (at_horizon(1.0, 0.6, certain=False), "open", "Above chance at some horizons, at others not significantly"),
    ],
)
def test_it_predicts_as_far_ahead_as_most_predictions_are_right(last: JsonObject, answer: str, says: str) -> None:
    got, short = reach([at_horizon(0.0, 0.8), last])
    assert got == answer
    assert short.startswith(says)


def answers(predictions: Predictions) -> dict[str, Verdict]:
    return {one.question: one for one in verdicts(made_findings(predictions).metrics)}


def test_words_follow_the_figures() -> None:
    good, poor, blind = (
        answers(made_predictions(clips=20, skill=steady, skill_in_transition=moving))
        for steady, moving in ((0.98, 0.6), (0.6, 0.95), (0.05, 0.05))
    )
    assert good["Does it work in transitions?"].short.startswith("Worse than in a steady state: weighted F1")
    assert poor["Does it work in transitions?"].short.startswith("Better than in a steady state: weighted F1")
    assert blind["Does it work in transitions?"].answer == "no"
    assert good["How far ahead does it predict?"].short.startswith("At least 0.5 s: weighted F1")
    assert blind["How far ahead does it predict?"].short == "Below chance at every horizon"
    assert blind["Does it classify activities correctly?"].answer == "no"


@pytest.mark.parametrize(
    ("moving", "says"),
    [
        ((0.5, 0.6), "Worse than in a steady state"),
        ((0.5, 0.85), "No significant difference"),
        ((0.95, 0.99), "Better than in a steady state"),
        (None, "Significance not known, because there are no intervals"),
    ],
)
def test_only_intervals_that_do_not_overlap_make_a_difference_significant(
    moving: tuple[float, float] | None, says: str
) -> None:
    assert compared(Measured(0.7, moving), Measured(0.85, (0.8, 0.9))) == says


def test_every_subject_has_results_of_its_own(findings: ClassifierFindings, written: str) -> None:
    text = Page(written).text.replace(" ", "")
    for subject, found in cast("JsonObject", findings.metrics["subjects"]).items():
        expected = [subject]
        for at_horizon in cast("list[JsonObject]", cast("JsonObject", found)["horizons"]):
            expected += shown(at_horizon, "weighted_f1")
        assert "".join(expected) in text


@pytest.mark.long
def test_clips_are_the_best_the_worst_and_others() -> None:
    made = made_predictions(clips=9)
    label_N, predicted_N = made.label_NK[:, 0], made.predicted()[:, 0]
    right_J = np.array([(label_N == predicted_N)[made.clip_N == clip].mean() for clip in range(18)])
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


@pytest.mark.long
def test_six_subjects_have_a_mean_with_an_interval_between_subjects() -> None:
    found = made_findings(made_predictions(subjects=6, clips=3))
    text = told(found)
    assert "it says how the mean would vary with other subjects" in text["subjects"]
    assert "its interval says how it would vary with other subjects" in text["head"]
    horizon = cast("list[JsonObject]", found.metrics["horizons"])[0]
    between = cast("JsonObject", cast("JsonObject", horizon["all"])["between_subjects"])
    mean = cast("JsonObject", between["weighted_f1"])
    low, high = cast("list[float]", mean["interval"])
    expected = f"mean {100 * cast('float', mean['mean']):.1f}% {100 * low:.1f}\N{EN DASH}{100 * high:.1f}"
    assert expected in text["subjects"]
