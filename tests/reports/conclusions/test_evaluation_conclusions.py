"""What is said in words follows from the figures, and from no more than them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.evaluation import against, against_chance, of_gains
from revalexo_clip.reports.html.plots import panels, percent_axis, spread
from revalexo_clip.reports.values import Measured, points, written, written_interval

UP, DOWN, BOTH, NO_INTERVAL = (
    Measured(0.1, (0.02, 0.2)),
    Measured(-0.1, (-0.2, -0.02)),
    Measured(0.1, (-0.1, 0.3)),
    Measured(0.4),
)


@pytest.mark.parametrize(("one", "answer"), [(UP, "yes"), (DOWN, "no"), (BOTH, "open"), (NO_INTERVAL, "open")])
def test_only_a_whole_interval_settles_a_question(one: Measured, answer: str) -> None:
    assert against(one, 0.0) == answer


@pytest.mark.parametrize(
    ("linear_untrained", "linear_handcrafted", "knn_untrained", "answer", "says"),
    [
        (UP, UP, BOTH, "yes", "Yes: better than untrained and than handcrafted features"),
        (UP, BOTH, BOTH, "open", "In part: better than the same encoder untrained (by a linear probe);"),
        (BOTH, BOTH, UP, "open", "In part: better than the same encoder untrained (by nearest neighbours);"),
        (BOTH, NO_INTERVAL, BOTH, "open", "Not settled by these data"),
        (BOTH, DOWN, BOTH, "no", "No: worse than handcrafted features (by a linear probe)"),
        (UP, DOWN, BOTH, "open", "Mixed: worse than handcrafted features (by a linear probe)"),
        (UP, UP, DOWN, "open", "Mixed: worse than the same encoder untrained (by nearest neighbours)"),
    ],
)
def test_pretraining_was_worth_it_where_it_beats_both_baselines(
    linear_untrained: Measured, linear_handcrafted: Measured, knn_untrained: Measured, answer: str, says: str
) -> None:
    found = of_gains(
        {
            ("linear", "over_untrained"): linear_untrained,
            ("linear", "over_handcrafted"): linear_handcrafted,
            ("knn", "over_untrained"): knn_untrained,
            ("knn", "over_handcrafted"): BOTH,
        }
    )
    assert found[0] == answer
    assert found[1].startswith(says)


@pytest.mark.parametrize(
    ("at_once", "of_ten", "back", "answer", "says"),
    [
        ([0.05, 0.15], [0.4, 0.6], [0.05, 0.15], "yes", "Yes: right at once in 10.0% of cases, 10 times as often"),
        (
            [0.0, 0.15],
            [0.4, 0.6],
            [0.0, 0.15],
            "open",
            "In part: among the ten nearest in 50.0% of cases, 5.0 times as",
        ),
        ([0.05, 0.15], [0.05, 0.6], [0.0, 0.15], "open", "Not settled: it may be chance"),
        ([0.0, 0.02], [0.0, 0.09], [0.0, 0.02], "no", "No: worse than chance"),
        (None, None, None, "open", "Not settled, for want of an interval: right at once in 10.0%"),
    ],
)
def test_partners_are_found_where_both_directions_are_above_guessing(
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
