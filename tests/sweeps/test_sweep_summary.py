"""The figures of a sweep: means, paired differences with t intervals, tables and pages."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.html_page import Page
from support.made_predictions import made_predictions
from support.narrow_terminal import assert_numbers_fit, rendered

from revalexo_clip.core.component import JsonObject
from revalexo_clip.evaluation.storage import write_predictions
from revalexo_clip.reports.conclusions.sweep import answers, sentences
from revalexo_clip.reports.html.sweep import write_sweep_report
from revalexo_clip.reports.terminal.sweep import sweep_report
from revalexo_clip.reports.values import MINUS, child
from revalexo_clip.sweeps.summary import Trial, difference, summarize_setting, summarize_tests


def test_differences_are_paired_by_seed_with_the_interval_of_a_t_test() -> None:
    ours, first = {1: 0.50, 2: 0.61, 3: 0.72, 4: 0.9}, {3: 0.66, 2: 0.58, 1: 0.45, 7: 0.1}
    found = difference(ours, first, 1)
    expected = stats.ttest_rel([0.50, 0.61, 0.72], [0.45, 0.58, 0.66])
    low, high = expected.confidence_interval(0.95)
    assert found["seeds"] == 3
    assert found["mean"] == pytest.approx(0.14 / 3)
    assert found["interval"] == pytest.approx([low, high])
    assert found["p_value"] == pytest.approx(expected.pvalue)
    assert found["significant"] == "better"
    assert difference(ours, first, -1)["significant"] == "worse"


@pytest.mark.parametrize(
    ("ours", "first", "mean", "significant"),
    [
        ({1: 0.5}, {1: 0.4}, 0.1, None),
        ({1: 0.5}, {2: 0.4}, None, None),
        ({1: 0.5, 2: 0.6}, {1: 0.5, 2: 0.6}, 0.0, "same"),
        ({}, {1: 0.4}, None, None),
    ],
)
def test_without_two_different_seeds_there_is_no_interval(
    ours: dict[int, float], first: dict[int, float], mean: float | None, significant: str | None
) -> None:
    found = difference(ours, first, 1)
    assert (found["interval"], found["p_value"], found["significant"]) == (None, None, significant)
    assert found["mean"] == (None if mean is None else pytest.approx(mean))


def test_a_value_that_is_not_finite_is_in_no_mean() -> None:
    found = summarize_setting({"a": Trial(1, 1.0), "b": Trial(2, None), "c": Trial(3, 2.0)})
    assert found["mean"] == 1.5
    assert found["deviation"] == pytest.approx(math.sqrt(0.5))
    assert child(found, "trials", "b") == {"seed": 2, "value": None}
    assert summarize_setting({})["mean"] is None


def made_sweep(metric: str = "val/weighted_f1", better: str = "max") -> JsonObject:
    """Three settings with three seeds, of which one trial failed."""
    rng = np.random.default_rng(0)
    values = {
        number: {seed: 0.5 + gain + rng.normal(0, 0.01) for seed in (42, 43, 44)} for number, gain in _GAINS.items()
    }
    values[3] = {42: values[1][42] + 0.03, 43: values[1][43] - 0.02}
    sign = 1 if better == "max" else -1
    return {
        "experiment": "demo",
        "kind": "finetuning",
        "metric": metric,
        "better": better,
        "on_test_subjects": False,
        "grid": {"optim.lr": ["1e-3", "3e-4"], "imu.type": ["ResNet1D"]},
        "fixed": [],
        "seeds": [42, 43, 44],
        "baseline": 1,
        "settings": [
            {
                "number": number,
                "values": {"optim.lr": f"{number}e-3", "imu.type": "DeepConvLSTM"},
                **summarize_setting({f"{number}-seed{seed}": Trial(seed, value) for seed, value in of.items()}),
            }
            for number, of in values.items()
        ],
        "differences": {str(number): difference(of, values[1], sign) for number, of in values.items() if number != 1},
        "best": 2 if better == "max" else 1,
        "test": None,
        "unfinished": {"3-seed44": "the disk is full <now>"},
    }


_GAINS = {1: 0.0, 2: 0.2, 3: 0.001}


def test_the_table_has_all_numbers_at_every_width() -> None:
    assert_numbers_fit(lambda: sweep_report(made_sweep()))
    text = rendered(sweep_report(made_sweep()), 80)
    assert "Without a result: 3-seed44." in text
    assert "DeepConvLSTM" in text


def test_words_say_which_setting_is_best_and_which_differences_are_significant() -> None:
    assert answers(made_sweep()) == {2: "better", 3: "not significant"}
    best, second, third = sentences(made_sweep())
    assert best.startswith("Setting 2 (lr 2e-3, imu DeepConvLSTM) has the highest mean val/weighted_f1: ")
    assert second.startswith("Setting 2 is better than setting 1: +")
    assert f"Setting 3 {MINUS} setting 1 is not significant" in third
    assert answers(made_sweep("val/loss", "min")) == {2: "worse", 3: "not significant"}
    assert re.search(r"lowest mean val/loss: 0\.\d{4} over 3 seeds", next(sentences(made_sweep("val/loss", "min"))))


def test_the_page_shows_every_trial_and_escapes_errors(tmp_path: Path) -> None:
    write_sweep_report(tmp_path / "report.html", made_sweep())
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "3-seed44 has no result: the disk is full <now>" in page.text
    assert [
        href for tag, of in page.elements if tag == "a" and (href := of.get("href") or "").startswith("trials")
    ] == [
        f"trials/{number}-seed{seed}/log.txt"
        for number in (1, 2, 3)
        for seed in (42, 43, 44)
        if (number, seed) != (3, 44)
    ]


def test_test_results_of_classifiers_are_compared_on_the_same_moments(tmp_path: Path) -> None:
    trials: dict[int, list[Trial]] = {1: [], 2: []}
    for number, made in trials.items():
        for seed in (1, 2):
            path = tmp_path / f"{number}-{seed}.h5"
            write_predictions(path, made_predictions(skill=0.5 + 0.1 * number + 0.05 * seed), {})
            made.append(Trial(seed, 0.5, path))
    found = summarize_tests(trials, 1)
    assert found is not None
    scores, gained = child(found, "scores"), child(found, "differences", "2")
    for name in ("accuracy", "weighted_f1"):
        one, two = (child(scores, number)[name] for number in "12")
        assert isinstance(one, float)
        assert isinstance(two, float)
        assert gained[name] == pytest.approx(two - one)
    assert gained["seeds"] == 2
    assert summarize_tests({1: [Trial(1, 0.5)]}, 1) is None
