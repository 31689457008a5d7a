"""Results of an activity classifier against scikit-learn, and the sentences about missing results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)
from support.documented import undocumented
from support.made_predictions import made_predictions

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES
from revalexo_clip.metrics.evaluated import Bools, Ints, Predictions
from revalexo_clip.metrics.paired_differences import compare_classifiers
from revalexo_clip.metrics.per_horizon import SETS, measure_classification

pytestmark = pytest.mark.filterwarnings(
    "ignore:y_pred contains classes not in y_true", "ignore:A single label was found"
)

ACTIVITIES = ("standing", "walking", "stairs")


def plain(true_N: npt.ArrayLike, predicted_N: npt.ArrayLike) -> dict[str, float]:
    """Return scikit-learn's scores. It warns of classes that are predicted and never true."""
    return {
        "accuracy": accuracy_score(true_N, predicted_N),
        "balanced_accuracy": balanced_accuracy_score(true_N, predicted_N),
        "macro_f1": f1_score(true_N, predicted_N, average="macro", zero_division=0),
        "weighted_f1": f1_score(true_N, predicted_N, average="weighted", zero_division=0),
    }


def at(found: JsonObject, k: int, among: str) -> JsonObject:
    horizon = cast("list[JsonObject]", found["horizons"])[k]
    return cast("JsonObject", horizon[among])


def measured(predictions: Predictions, resamples: int = 5) -> JsonObject:
    found = measure_classification(predictions, TimeBootstrap(units_of(predictions), resamples=resamples))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def rows_of(predictions: Predictions, k: int, among: str) -> Bools:
    wanted = {"all": (False, True), "steady": (False,), "transition": (True,)}[among]
    return (predictions.label_NK[:, k] >= 0) & np.isin(predictions.transition_NK[:, k], wanted)


def check_against_sklearn(predictions: Predictions) -> None:
    found = measured(predictions)
    for k in range(len(predictions.horizons)):
        for among in SETS:
            rows, figures = rows_of(predictions, k, among), at(found, k, among)
            true_N = predictions.label_NK[rows, k]
            predicted_N = predictions.logits_NKA[rows, k].argmax(axis=1)
            assert figures["windows"] == rows.sum()
            assert (figures["reason"] is None) == bool(rows.any())
            if not rows.any():
                assert [figures[name] for name in CLASSIFICATION_SCORES] == [None] * 4
                continue
            assert {name: figures[name] for name in CLASSIFICATION_SCORES} == pytest.approx(plain(true_N, predicted_N))
            labels = range(len(predictions.activities))
            assert figures["confusion"] == confusion_matrix(true_N, predicted_N, labels=labels).tolist()
            check_classes(figures, predictions.activities, true_N, predicted_N)


def check_classes(figures: JsonObject, activities: tuple[str, ...], true_N: Ints, predicted_N: Ints) -> None:
    columns = precision_recall_fscore_support(true_N, predicted_N, labels=range(len(activities)), zero_division=np.nan)
    classes = cast("JsonObject", figures["classes"])
    for name, precision, recall, f1, support in zip(activities, *columns, strict=True):
        own = cast("JsonObject", classes[name])
        assert own["support"] == support
        got = [np.nan if own[figure] is None else own[figure] for figure in ("precision", "recall", "f1")]
        assert got == pytest.approx([precision, recall, f1], nan_ok=True)


@st.composite
def small_predictions(draw: st.DrawFn) -> Predictions:
    """Draw a few windows with any labels: missing, all equal, never or always in transition."""
    windows = draw(st.integers(1, 8))
    cells = st.lists(st.integers(-1, 2), min_size=2 * windows, max_size=2 * windows)
    label_NK = np.array(draw(cells)).reshape(windows, 2)
    flags = st.lists(st.booleans(), min_size=2 * windows, max_size=2 * windows)
    logits = st.lists(st.integers(0, 2), min_size=6 * windows, max_size=6 * windows)  # ties are frequent
    return Predictions(
        logits_NKA=np.array(draw(logits), dtype=np.float32).reshape(windows, 2, 3),
        label_NK=label_NK,
        transition_NK=np.array(draw(flags)).reshape(windows, 2),
        clip_N=np.arange(windows) % 3,
        start_N=np.arange(windows) / 2,
        recording_N=np.arange(windows) % 3,
        time_N=np.arange(windows) / 2,
        clip_subjects=("a", "b", "a"),
        clip_names=("a/0", "b/0", "a/1"),
        activities=ACTIVITIES,
        horizons=(0.0, 0.3),
    )


@pytest.mark.long
@settings(max_examples=20, deadline=None)
@given(small_predictions())
def test_figures_are_those_of_scikit_learn(predictions: Predictions) -> None:
    check_against_sklearn(predictions)


def test_they_are_for_many_windows_too() -> None:
    check_against_sklearn(made_predictions(horizons=(0.0, 0.5, 1.0)))


@pytest.mark.long
def test_intervals_are_those_of_the_windows_drawn() -> None:
    predictions = made_predictions(subjects=1, clips=9)
    bootstrap = TimeBootstrap(units_of(predictions), resamples=40)
    found = measure_classification(predictions, bootstrap)
    figures = at(found, 1, "transition")
    rows = np.flatnonzero(rows_of(predictions, 1, "transition"))
    true_N, predicted_N = predictions.label_NK[:, 1], predictions.logits_NKA[:, 1].argmax(axis=1)
    drawn = [np.repeat(rows, weight_J.astype(int)[predictions.clip_N[rows]]) for weight_J in bootstrap.weight_RU]
    for name, value_R in {
        "weighted_f1": [plain(true_N[some], predicted_N[some])["weighted_f1"] for some in drawn],
        "balanced_accuracy": [plain(true_N[some], predicted_N[some])["balanced_accuracy"] for some in drawn],
    }.items():
        expected = bootstrap.interval(np.array(value_R), predictions.clip_N[rows])
        assert cast("JsonObject", figures["interval"])[name] == pytest.approx(expected)
    walking = cast("JsonObject", cast("JsonObject", figures["classes"])["walking"])
    recall_R = [np.mean(predicted_N[some][true_N[some] == 1] == 1) for some in drawn]
    expected = bootstrap.interval(np.array(recall_R), predictions.clip_N[rows][true_N[rows] == 1])
    assert cast("JsonObject", walking["interval"])["recall"] == (expected and pytest.approx(expected))


def test_chance_is_always_predicting_the_most_frequent_activity() -> None:
    predictions = made_predictions()
    true_N = predictions.label_NK[rows_of(predictions, 0, "all"), 0]
    nothing_N1 = np.zeros((len(true_N), 1))
    always = DummyClassifier(strategy="most_frequent").fit(nothing_N1, true_N)
    chance = cast("JsonObject", at(measured(predictions), 0, "all")["chance"])
    assert chance["activity"] == predictions.activities[always.predict(nothing_N1[:1])[0]]
    expected = plain(true_N, always.predict(nothing_N1))
    assert {name: chance[name] for name in CLASSIFICATION_SCORES} == pytest.approx(expected)


def test_a_subject_is_measured_on_its_own_windows() -> None:
    predictions = made_predictions(subjects=3)
    subjects = cast("JsonObject", measured(predictions)["subjects"])
    assert list(subjects) == ["Subject[0]", "Subject[1]", "Subject[2]"]
    own = cast("JsonObject", subjects["Subject[1]"])
    rows = (predictions.clip_N // 7 == 1) & (predictions.label_NK[:, 1] >= 0)
    figures = cast("list[JsonObject]", own["horizons"])[1]
    expected = plain(predictions.label_NK[rows, 1], predictions.logits_NKA[rows, 1].argmax(axis=1))
    assert {name: figures[name] for name in CLASSIFICATION_SCORES} == pytest.approx(expected)
    assert (own["windows"], own["clips"], figures["windows"]) == (7 * 21, 7, rows.sum())


def told(predictions: Predictions, trained: tuple[str, ...] | None = None) -> list[str]:
    bootstrap = TimeBootstrap(units_of(predictions), resamples=5)
    return cast("list[str]", measure_classification(predictions, bootstrap, trained)["missing"])


def test_what_is_missing_is_said() -> None:
    predictions = made_predictions(horizons=(0.0, 30.0, 40.0), activities=("standing", "walking", "stairs", "ramp"))
    assert told(predictions, ("standing", "stairs")) == [
        "No window has a label at horizon 30 s, 40 s.",
        "No window with a label is in a steady state at horizon 30 s, 40 s.",
        "No window with a label is in a transition at horizon 30 s, 40 s.",
        "Activities without test windows, so not tested: ramp. Predictions of ramp lower the macro F1.",
        "Activities that are not in training, so the classifier could not learn them: walking, ramp. "
        "Their test windows (walking) count as errors.",
    ]
    assert at(measured(predictions), 1, "all")["reason"] == "no window has a label at horizon 30 s"


def test_without_transitions_their_figures_have_a_reason() -> None:
    predictions = made_predictions()
    still = replace(predictions, transition_NK=np.zeros_like(predictions.transition_NK))
    assert told(still)[0] == "No window with a label is in a transition, so there are no results for this set."
    found = at(measured(still), 0, "transition")
    assert found["reason"] == "no window with a label is in a transition at horizon 0 s"
    assert cast("JsonObject", found["chance"])["activity"] is None
    assert at(measured(still), 0, "steady")["accuracy"] == at(measured(still), 0, "all")["accuracy"]


def test_a_single_activity_does_not_show_whether_activities_are_distinguished() -> None:
    predictions = made_predictions()
    walking = replace(predictions, label_NK=np.ones_like(predictions.label_NK))
    assert told(walking) == ["All windows are walking: the results do not say whether activities are distinguished."]


def test_without_any_label_nothing_is_measured() -> None:
    predictions = made_predictions()
    bare = replace(predictions, label_NK=np.full_like(predictions.label_NK, -1))
    assert told(bare) == ["No window has a label, so nothing was measured."]


def test_every_name_is_documented() -> None:
    made = made_predictions()
    assert undocumented(measured(made), {*made.activities, *made.clip_subjects}) == []


def test_few_clips_have_no_intervals_and_a_reason() -> None:
    found = measured(made_predictions(subjects=2, clips=3))
    assert found["interval_reason"] == "7 blocks of 30 s are needed for 2 subjects, and there are 6"
    assert found["interval_unit"] == "blocks of 30 s"
    assert cast("JsonObject", at(found, 0, "all")["interval"])["accuracy"] is None


@pytest.mark.long
def test_a_comparison_is_the_difference_with_a_paired_interval() -> None:
    better, worse = (made_predictions(subjects=1, clips=9, skill=skill) for skill in (0.95, 0.7))
    bootstrap = TimeBootstrap(units_of(better), resamples=40)
    found = at(compare_classifiers(better, worse, bootstrap), 1, "steady")
    rows = np.flatnonzero(rows_of(better, 1, "steady"))

    def difference(some: Ints) -> float:
        one, other = (
            plain(made.label_NK[some, 1], made.logits_NKA[some, 1].argmax(axis=1)) for made in (better, worse)
        )
        return one["macro_f1"] - other["macro_f1"]

    drawn = [np.repeat(rows, weight_J.astype(int)[better.clip_N[rows]]) for weight_J in bootstrap.weight_RU]
    expected = bootstrap.interval(np.array([difference(some) for some in drawn]), better.clip_N[rows])
    assert found["windows"] == len(rows)
    assert found["significant"] == dict.fromkeys(CLASSIFICATION_SCORES, "better")
    assert found["macro_f1"] == pytest.approx(difference(rows))
    assert cast("JsonObject", found["interval"])["macro_f1"] == pytest.approx(expected)


def test_a_difference_is_significant_if_its_interval_excludes_zero() -> None:
    made = made_predictions(subjects=1, clips=9)
    bootstrap = TimeBootstrap(units_of(made), resamples=40)
    worse = compare_classifiers(made_predictions(subjects=1, clips=9, skill=0.7), made, bootstrap)
    assert at(worse, 0, "all")["significant"] == dict.fromkeys(CLASSIFICATION_SCORES, "worse")
    same = compare_classifiers(made, replace(made, logits_NKA=2 * made.logits_NKA), bootstrap)
    assert at(same, 0, "all")["significant"] == dict.fromkeys(CLASSIFICATION_SCORES, "same")
    beyond = replace(made, label_NK=np.where([True, False], made.label_NK, -1))
    assert at(compare_classifiers(beyond, beyond, bootstrap), 1, "all")["significant"] == dict.fromkeys(
        CLASSIFICATION_SCORES
    )


def test_predictions_of_other_windows_are_not_compared() -> None:
    made = made_predictions()
    bootstrap = TimeBootstrap(units_of(made), resamples=5)
    for other, what in (
        (replace(made, start_N=made.start_N + 0.1), "starts"),
        (replace(made, recording_N=made.recording_N + 1), "recordings"),
        (replace(made, time_N=made.time_N + 8.0), "times"),
        (replace(made, label_NK=made.label_NK[::-1]), "labels"),
        (replace(made, horizons=(0.0, 1.0)), "horizons"),
        (replace(made, clip_N=made.clip_N[::-1]), "clips"),
        (made_predictions(clips=6), "clips"),
    ):
        with pytest.raises(DataError, match=f"cannot be compared: their {what} differ"):
            compare_classifiers(made, other, bootstrap)
