"""What the figures say, in words, and no more than they say: better than chance, and at what, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import ACTIVITY, WHOLE
from revalexo_clip.reports.values import (
    BASELINES,
    DIRECTIONS,
    NONE,
    PROBES,
    Measured,
    child,
    children,
    first_horizon,
    horizon_text,
    measured,
    number,
    points,
    written,
    written_interval,
)

Answer = Literal["yes", "no", "open", "told"]


MARKS: Mapping[Answer, str] = {"yes": "✓", "no": "✗", "open": "○", "told": ""}


FEW = 10
"""Windows of an activity or a person without which nothing is said of it."""


@dataclass(frozen=True)
class Verdict:
    """A question, the answer, and the figures that it rests on."""

    question: str
    answer: Answer
    short: str
    reasons: str


def verdicts(metrics: JsonObject) -> Iterator[Verdict]:
    """All that a stranger wants to know first."""
    yield _finds(metrics)
    if metrics[ACTIVITY] is not None:
        yield _knows_the_moment(metrics)
    yield _was_worth_it(metrics)
    yield _good_at(metrics)
    yield _for_whom(metrics)


def against(one: Measured, other: float) -> Answer:
    """Whether a figure is above another with its whole interval, or below; open where it may be either."""
    if one.may_be(other):
        return "open"
    assert one.interval is not None
    return "yes" if one.interval[0] > other else "no"


def _finds(metrics: JsonObject) -> Verdict:
    found = child(metrics, WHOLE)
    answer, short = against_chance(found)
    first, ten = (measured(child(found, "imu_to_video"), name) for name in ("r_at_1", "r_at_10"))
    back = child(found, "video_to_imu")
    reasons = (
        f"For {share(first)} of the IMU windows the right one of {metrics['windows']} video windows comes first "
        f"(chance: {_chance(found, 'r_at_1')}), for {share(ten)} it is among the ten nearest (chance: "
        f"{_chance(found, 'r_at_10')}). From video to IMU: {share(measured(back, 'r_at_1'))} and "
        f"{share(measured(back, 'r_at_10'))}."
    )
    return Verdict("Does IMU find its video?", answer, short, reasons)


def _knows_the_moment(metrics: JsonObject) -> Verdict:
    found = child(metrics, ACTIVITY)
    answer, short = against_chance(found)
    size = number(found["gallery_size"]) or 0.0
    reasons = (
        f"Among {size:.0f} windows of the same person and activity (on average), where only the moment differs, "
        f"{share(measured(child(found, 'imu_to_video'), 'r_at_1'))} come first (chance: {_chance(found, 'r_at_1')})."
    )
    return Verdict("Does it know the moment, not only the activity?", answer, short, reasons)


def against_chance(found: JsonObject) -> tuple[Answer, str]:
    """Whether both directions are above what chance gives: at once, or at least among the ten nearest."""
    first, ten = _both_ways(found, "r_at_1"), _both_ways(found, "r_at_10")
    if first == {"yes"}:
        return "yes", f"Yes: right at once {_as_often(found, 'r_at_1')}"
    if ten == {"yes"}:
        return "open", f"In part: among the ten nearest {_as_often(found, 'r_at_10')}; at once is not settled"
    if ten == {"no"}:
        return "no", "No: worse than chance"
    if measured(child(found, "imu_to_video"), "r_at_1").interval is None:
        return "open", f"Not settled, for want of an interval: right at once {_as_often(found, 'r_at_1')}"
    return "open", "Not settled: it may be chance"


def _both_ways(found: JsonObject, name: str) -> set[Answer]:
    chance = number(child(found, "chance")[name]) or 0.0
    return {against(measured(child(found, way), name), chance) for way in DIRECTIONS}


def _as_often(found: JsonObject, name: str) -> str:
    """Of IMU looking for video."""
    share = number(child(found, "imu_to_video")[name]) or 0.0
    factor = share / (number(child(found, "chance")[name]) or 1.0)
    times = f"{factor:.0f}" if factor >= 9.5 else f"{factor:.1f}"
    return f"in {written(name, share)} of cases, {times} times as often as chance"


def _was_worth_it(metrics: JsonObject) -> Verdict:
    question = "Was pretraining worth it?"
    if not isinstance(metrics["probe"], dict):
        return Verdict(question, "open", "Not measured", f"No probe: {metrics['probe_reason']}.")
    probe = child(metrics, "probe")
    gained = {
        (by, over): measured(children(probe, "gain", by, over)[0], "macro_f1") for by in PROBES for over in BASELINES
    }
    found = measured(child(children(probe, "linear", "imu")[0], "all"), "macro_f1")
    points_gained = (
        f"over {name}: " + ", ".join(f"{_gain(gained[by, over])} by {title}" for by, title in PROBES.items())
        for over, name in BASELINES.items()
    )
    reasons = (
        f"A linear probe on frozen IMU features tells the activity {horizon_text(first_horizon(probe))} after the "
        f"window with a macro F1 of {share(found)}. Points gained {'; '.join(points_gained)}."
    )
    return Verdict(question, *of_gains(gained), reasons)


def of_gains(gained: Mapping[tuple[str, str], Measured]) -> tuple[Answer, str]:
    """Worth it where the linear probe is better than with either baseline, and no probe is worse."""
    answers = {which: against(one, 0.0) for which, one in gained.items()}
    better, worse = (
        [f"{BASELINES[over]} (by {PROBES[by]})" for (by, over), answer in answers.items() if answer == wanted]
        for wanted in ("yes", "no")
    )
    if worse:
        return ("open", f"Mixed: worse than {' and '.join(worse)}") if better else ("no", f"No: worse than {worse[0]}")
    if all(answers["linear", over] == "yes" for over in BASELINES):
        return "yes", "Yes: better than untrained and than handcrafted features"
    if better:
        return "open", f"In part: better than {' and '.join(better)}; the rest is not settled"
    return "open", "Not settled by these data"


def _gain(gained: Measured) -> str:
    if gained.value is None:
        return NONE
    within = "" if gained.interval is None else f" [{points(gained.interval[0])}, {points(gained.interval[1])}]"
    return f"{points(gained.value)}{within}"


def _good_at(metrics: JsonObject) -> Verdict:
    question = "Good at what?"
    ordered = _ordered(child(metrics, "activities"), lambda part: measured(child(part, "imu_to_video"), "r_at_10"))
    if len(ordered) < 2:
        return Verdict(question, "open", "Not told", f"Fewer than two activities have {FEW} windows.")
    (best, most), (worst, least) = ordered[0], ordered[-1]
    reasons = (
        f"Of activities with {FEW} windows or more, IMU finds its video among the ten nearest most often in "
        f"{plain_name(best)} ({share(most)}) and least often in {plain_name(worst)} ({share(least)})."
    )
    if isinstance(metrics["probe"], dict):
        reasons += _recognised(child(metrics, "probe"))
    return Verdict(question, "told", f"Best at {plain_name(best)}, worst at {plain_name(worst)}", reasons)


def _recognised(probe: JsonObject) -> str:
    """Which activities the probe recognises best and worst."""
    activities, matrix = probe["activities"], children(probe, "confusion")[0]["windows"]
    assert isinstance(activities, list)
    assert isinstance(matrix, list)
    recall = {}
    for place, (activity, row) in enumerate(zip(activities, matrix, strict=True)):
        counts = [number(count) or 0.0 for count in row] if isinstance(row, list) else []
        if sum(counts) >= FEW:
            recall[str(activity)] = counts[place] / sum(counts)
    if len(recall) < 2:
        return ""
    best, worst = (choose(recall, key=recall.__getitem__) for choose in (max, min))
    most, least = written("recall", recall[best]), written("recall", recall[worst])
    return f" The probe recognises {most} of {plain_name(best)} and {least} of {plain_name(worst)}."


def _for_whom(metrics: JsonObject) -> Verdict:
    question = "For whom?"
    subjects = child(metrics, "subjects")
    new = "" if any(child(metrics, "seen").values()) else ", new to the model"
    if len(subjects) == 1:
        (name,) = subjects
        reasons = "One person was evaluated, so nothing is known of how it varies from person to person."
        return Verdict(question, "told", f"For {name}{new}; for others it is not known", reasons)
    ordered = _ordered(subjects, lambda part: measured(child(part, "imu_to_video"), "r_at_10"), least=1)
    (best, most), (worst, least) = ordered[0], ordered[-1]
    chance = {name: number(child(subjects, name, "chance")["r_at_10"]) or 0.0 for name in subjects}
    better = sum(against(one, chance[name]) == "yes" for name, one in ordered)
    reasons = (
        f"IMU finds its video among the ten nearest most often for {best} ({share(most)}) and least often for {worst} "
        f"({share(least)}). Intervals say how figures vary with other clips of these people, not with other people."
    )
    short = f"{len(ordered)} people{new}: surely above chance for {better} of them"
    return Verdict(question, "told", short, reasons)


def _ordered(
    parts: JsonObject, figure_of: Callable[[JsonObject], Measured], least: int = FEW
) -> list[tuple[str, Measured]]:
    """Parts with windows enough, the best first."""
    found = [
        (name, figure_of(child(parts, name))) for name in parts if (number(child(parts, name)["windows"]) or 0) >= least
    ]
    return sorted(found, key=lambda one: -(one[1].value or 0.0))


def plain_name(activity: str) -> str:
    """An activity as words."""
    return activity.replace("_", " ")


def share(found: Measured) -> str:
    """A share with its interval in brackets."""
    within = "" if found.interval is None else f" [{written_interval('share', found.interval)}]"
    return f"{written('share', found.value)}{within}"


def _chance(found: JsonObject, name: str) -> str:
    return written(name, number(child(found, "chance")[name]))
