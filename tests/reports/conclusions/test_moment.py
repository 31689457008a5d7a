"""Whether a model knows the moment: embeddings that know the clip alone must never look as if they did."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.made_evaluation import made_evaluation
from support.made_windows import knowing_the_clip, knowing_the_moment, made_pieces, with_embeddings

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.probe_results import unprobed
from revalexo_clip.reports.conclusions.evaluation import moment_answer, verdicts
from revalexo_clip.reports.conclusions.verdict import Verdict


def answers(windows: EvaluatedWindows) -> tuple[Verdict, Verdict]:
    """Return whether IMU finds its video, and whether it finds the moment."""
    whole, moment, *_ = verdicts(made_evaluation(windows, "made", unprobed("not asked for"), resamples=500).metrics)
    assert moment.question == "Does it find the moment, not only the clip?"
    return whole, moment


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.02, 0.1])
def test_knowing_the_clip_is_not_knowing_the_moment(noise: float) -> None:
    whole, moment = answers(knowing_the_clip(made_pieces(subjects=2, recordings=4), noise))
    assert (moment.answer, moment.short) == ("no", "Knows the clip, not the moment")
    assert whole.answer != "yes"


@pytest.mark.parametrize("pieces", [(1, 1, 30), (3, 8, 1), (1, 1, 2)])
def test_knowing_the_clip_is_never_green(pieces: tuple[int, int, int]) -> None:
    assert [one.answer == "yes" for one in answers(knowing_the_clip(made_pieces(*pieces)))] == [False, False]


@pytest.mark.parametrize("make", [knowing_the_moment, lambda windows: knowing_the_moment(windows, noise=0.5)])
def test_knowing_the_moment_is(make: Callable[[EvaluatedWindows], EvaluatedWindows]) -> None:
    whole, moment = answers(make(made_pieces(subjects=2, recordings=4)))
    assert moment.short.startswith("Yes: R@1 ")
    assert [whole.answer, moment.answer] == ["yes", "yes"]


def test_knowing_the_subject_is_neither() -> None:
    windows = made_pieces(subjects=2, recordings=4)
    of_subject_N1 = 2.0 * (windows.clip_N[:, None] // 32) - 1
    _, moment = answers(with_embeddings(windows, of_subject_N1.repeat(1, 64), noise=0.5))
    assert (moment.answer, moment.short) == ("no", "Knows the subject or the activity, not the moment")


def in_clip(r_at_1: float, low: float, high: float) -> JsonObject:
    """The same-clip gallery with this R@1, other galleries above chance; chance is 0.1 everywhere."""

    def gallery(value: float, ends: list[float]) -> JsonObject:
        of_direction: JsonObject = {
            **dict.fromkeys(("r_at_1", "r_at_10", "mrr"), value),
            "interval": {name: [*ends] for name in ("r_at_1", "r_at_10", "mrr")},
        }
        chance: JsonObject = dict.fromkeys(("r_at_1", "r_at_10", "mrr"), 0.1)
        return {"imu_to_video": of_direction, "video_to_imu": of_direction, "chance": chance, "gallery_size": 10}

    others = dict.fromkeys(
        ("retrieval", "retrieval_within_subject", "retrieval_within_subject_and_activity"), gallery(0.3, [0.2, 0.4])
    )
    return {**others, "retrieval_within_clip": gallery(r_at_1, [low, high]), "interval_reason": None}


@pytest.mark.parametrize(
    ("figures", "answer", "says"),
    [
        ((0.6, 0.5, 0.7), "yes", "Yes: R@1 60.0%"),
        ((0.3, 0.2, 0.4), "open", "Above chance (10.0%), low in absolute terms"),
        ((0.12, 0.08, 0.2), "no", "Knows the clip, not the moment"),
        ((0.3, 0.05, 0.6), "open", "Not significantly different from chance"),
    ],
)
def test_an_answer_depends_on_the_same_clip(figures: tuple[float, float, float], answer: str, says: str) -> None:
    got, short = moment_answer(in_clip(*figures))
    assert got == answer
    assert short.startswith(says)


def test_clips_of_one_window_say_nothing_about_moments() -> None:
    found = in_clip(1.0, 1.0, 1.0)
    gallery = found["retrieval_within_clip"]
    assert isinstance(gallery, dict)
    alone: JsonObject = {**found, "retrieval_within_clip": {**gallery, "gallery_size": 1}}
    assert moment_answer(alone) == ("open", "Not known: every clip has a single window")
