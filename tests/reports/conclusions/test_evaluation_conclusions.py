"""Conclusions in words follow from the results, on each side of every threshold."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.evaluation import against_chance, of_gains, of_subjects
from revalexo_clip.reports.conclusions.features import of_differences, of_gap
from revalexo_clip.reports.conclusions.verdict import MIN_R_AT_1, MIN_R_AT_10, against
from revalexo_clip.reports.html.plots import panels, percent_axis, spread
from revalexo_clip.reports.values import Measured, points, written, written_interval

UP, DOWN, BOTH, NO_INTERVAL = (
    Measured(0.1, (0.02, 0.2), 0.004),
    Measured(-0.1, (-0.2, -0.02), 0.004),
    Measured(0.1, (-0.1, 0.3), 0.3),
    Measured(0.4),
)
BARELY = Measured(0.1, (0.01, 0.2), 0.03)
"""Significant alone, but not if there are two comparisons."""


@pytest.mark.parametrize(("one", "answer"), [(UP, "yes"), (DOWN, "no"), (BOTH, "open"), (NO_INTERVAL, "open")])
def test_only_a_whole_interval_is_significant(one: Measured, answer: str) -> None:
    assert against(one, 0.0) == answer


@pytest.mark.parametrize(
    ("over_untrained", "over_handcrafted", "answer", "says"),
    [
        (UP, UP, "yes", "Yes: better than the untrained encoder and than handcrafted features"),
        (UP, BARELY, "yes", "Yes: better than the untrained encoder and than handcrafted features"),
        (UP, BOTH, "open", "In part: better than the same encoder untrained; the other difference is not significant"),
        (BARELY, BOTH, "open", "No significant difference (corrected for the number of comparisons)"),
        (BOTH, NO_INTERVAL, "open", "No significant difference (corrected for the number of comparisons)"),
        (BOTH, DOWN, "no", "No: worse than handcrafted features"),
        (UP, DOWN, "open", "Mixed: worse than handcrafted features"),
    ],
)
def test_pretraining_was_worth_it_if_it_beats_both_baselines(
    over_untrained: Measured, over_handcrafted: Measured, answer: str, says: str
) -> None:
    found = of_gains({"over_untrained": over_untrained, "over_handcrafted": over_handcrafted})
    assert found == (answer, says)


@pytest.mark.parametrize(
    ("at_once", "of_ten", "back", "answer", "says"),
    [
        ([0.05, 0.15], [0.4, 0.6], [0.05, 0.15], "open", "Above chance (1.0%), low in absolute terms: R@1 10.0% in"),
        (
            [0.0, 0.15],
            [0.4, 0.6],
            [0.0, 0.15],
            "open",
            "Only R@10 is above chance (10.0%): R@1 is not significantly above 1.0%",
        ),
        ([0.05, 0.15], [0.05, 0.6], [0.0, 0.15], "open", "Not significantly different from chance"),
        ([0.0, 0.02], [0.0, 0.09], [0.0, 0.02], "no", "No: worse than chance"),
        (None, None, None, "open", "Significance not known, because there is no interval: R@1 10.0%"),
    ],
)
def test_partners_are_found_if_both_directions_are_above_chance(
    at_once: JsonValue, of_ten: JsonValue, back: JsonValue, answer: str, says: str
) -> None:
    figures: JsonObject = {"r_at_1": 0.1, "r_at_10": 0.5}
    found = against_chance(
        {
            "imu_to_video": {**figures, "interval": {"r_at_1": at_once, "r_at_10": of_ten}},
            "video_to_imu": {**figures, "interval": {"r_at_1": back, "r_at_10": of_ten}},
            "chance": {"r_at_1": 0.01, "r_at_10": 0.1},
        }
    )
    assert found[0] == answer
    assert found[1].startswith(says)


def retrieval(r_at_1: float, back: float) -> JsonObject:
    """R@1 in both directions, significantly above chance."""
    found: JsonObject = {"r_at_10": 0.9, "interval": {"r_at_1": [0.3, 0.8], "r_at_10": [0.8, 1.0]}}
    return {
        "imu_to_video": {"r_at_1": r_at_1, **found},
        "video_to_imu": {"r_at_1": back, **found},
        "chance": {"r_at_1": 0.005, "r_at_10": 0.05},
    }


def test_a_yes_needs_half_of_the_first_results_right_in_both_directions() -> None:
    low = MIN_R_AT_1 - 0.01
    assert against_chance(retrieval(MIN_R_AT_1, MIN_R_AT_1)) == (
        "yes",
        "Yes: R@1 50.0% in the weaker direction, chance 0.5%",
    )
    for one, other in ((low, 0.7), (0.7, low)):
        assert against_chance(retrieval(one, other)) == (
            "open",
            "Above chance (0.5%), low in absolute terms: R@1 49.0% in the weaker direction",
        )


def test_subjects_above_chance_are_called_low_if_most_partners_are_not_among_ten() -> None:
    interval, chance = (0.2, 0.7), {"a": 0.1, "b": 0.1, "c": 0.5}
    high, low = Measured(MIN_R_AT_10, interval), Measured(MIN_R_AT_10 - 0.01, interval)
    assert of_subjects({"a": high, "b": high, "c": high}, chance, new=True) == (
        "R@10 is significantly above chance for 2 of 3 unseen subjects"
    )
    assert of_subjects({"a": high, "b": low, "c": low}, chance, new=False) == (
        "R@10 is significantly above chance for 2 of 3 subjects, low in absolute terms (below 50%) for 1 of them"
    )


def test_figures_are_written_in_their_units() -> None:
    assert [written("r_at_1", 0.0954), written("mrr", 0.21239), written("median_rank", 10.5)] == [
        "9.5%",
        "0.212",
        "10.5",
    ]
    assert written("accuracy", None) == "\N{EN DASH}"
    assert written_interval("mrr", (0.1234, 0.25)) == "0.123\N{EN DASH}0.250"
    assert written_interval("r_at_1", (0.1234, 0.25)) == "12.3\N{EN DASH}25.0"
    assert points(-0.0123) == "\N{MINUS SIGN}1.2"


def test_labels_are_moved_apart_and_stay_in_order() -> None:
    apart = spread([0.5, 0.1, 0.52, 0.51], gap=0.1)
    assert sorted(range(4), key=apart.__getitem__) == [1, 0, 3, 2]
    ordered = sorted(apart)
    assert min(b - a for a, b in pairwise(ordered)) == pytest.approx(0.1)
    assert spread([0.9, 0.2], gap=0.1) == pytest.approx([0.9, 0.2])


def test_small_shares_have_labels_of_their_own() -> None:
    (axes,) = panels(3, 2)
    percent_axis(axes, "x")
    assert [axes.xaxis.get_major_formatter()(share, 0) for share in (0.005, 0.025, 0.2, 1.0)] == [
        "0.5%",
        "2.5%",
        "20%",
        "100%",
    ]


@pytest.mark.parametrize(
    ("closed", "answer"),
    [
        (Measured(0.5, (0.3, 0.7)), "yes"),
        (Measured(0.49, (0.3, 0.7)), "open"),
        (Measured(0.6, (-0.1, 1.2)), "open"),
        (Measured(-0.3, (-0.5, -0.1)), "no"),
        (Measured(0.9), "open"),
    ],
)
def test_half_of_the_gap_is_green_if_it_is_significant(closed: Measured, answer: str) -> None:
    got, short = of_gap(closed)
    assert got == answer
    assert short.startswith(written("share", closed.value))


@pytest.mark.parametrize(
    ("one", "other", "answer", "says"),
    [
        (UP, UP, "yes", "Yes: better than untrained and than handcrafted features"),
        (UP, BOTH, "open", "In part: better than a; other differences are not significant"),
        (UP, DOWN, "open", "Mixed: worse than b"),
        (NO_INTERVAL, DOWN, "no", "No: worse than b"),
        (BOTH, NO_INTERVAL, "open", "No significant difference"),
        (BARELY, BOTH, "open", "No significant difference"),
    ],
)
def test_features_must_be_better_than_both_baselines(one: Measured, other: Measured, answer: str, says: str) -> None:
    got, short = of_differences({"a": one, "b": other})
    assert got == answer
    assert short.startswith(says)
