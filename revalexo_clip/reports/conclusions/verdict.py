"""Questions and answers of a report: what an answer is, and what it needs to be a yes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from revalexo_clip.metrics.multiple_comparisons import holm
from revalexo_clip.reports.values import Measured, written, written_interval

Key = TypeVar("Key")

Answer = Literal["yes", "no", "open", "told"]
"""`yes` is green and `no` is red. `open` is neutral: not significant, not measured, or above chance but low in absolute
terms. `told` is neutral, too: a result that is neither good nor bad."""
MARKS: Mapping[Answer, str] = {"yes": "✓", "no": "✗", "open": "○", "told": ""}

MIN_R_AT_1 = 0.5
"""A green answer on retrieval needs this R@1 in both directions. With hundreds of windows, R@1 is significantly above
chance long before it is high; below one half, the nearest window is more often wrong than right."""
MIN_R_AT_10 = 0.5
"""Below this R@10, retrieval of a subject is called low: most partners are not among the ten nearest."""
FAR_ABOVE_CHANCE = 1.5
"""An MRR of so many times that of chance shows that something is known, if it is significant."""
MIN_ACCURACY = 0.5
"""A green answer on classification needs this accuracy: below one half, more predictions are wrong than right."""
MIN_WINDOWS = 10
"""Windows that an activity needs to be named in a conclusion: shares of fewer windows say little."""

MAX_P = 0.04
"""Corrected p-values of significant differences are below this. Then at most 5% of answers claim a difference if there
is none: in simulations, a 95% interval of a difference in F1 contains the truth in about 94% of cases."""


@dataclass(frozen=True)
class Verdict:
    """A question, the answer, and the results behind it."""

    question: str
    answer: Answer
    short: str
    reasons: str


def against(one: Measured, other: float) -> Answer:
    """Return whether a result is significantly above (`yes`) or below (`no`) a value; `open` if neither."""
    if one.may_be(other):
        return "open"
    assert one.interval is not None
    return "yes" if one.interval[0] > other else "no"


def decide(differences: Mapping[Key, Measured]) -> dict[Key, Answer]:
    """Return for each of several differences whether it is significantly above (`yes`) or below (`no`) zero.

    Their p-values are corrected for the number of differences, so that if all are zero, the probability of any answer
    but `open` is at most 5%.
    """
    corrected = holm({key: one.p_value for key, one in differences.items()})
    answers: dict[Key, Answer] = {}
    for key, one in differences.items():
        p = corrected[key]
        is_significant = p is not None and p < MAX_P and one.value
        answers[key] = "open" if not is_significant else "yes" if (one.value or 0.0) > 0 else "no"
    return answers


def plain_name(activity: str) -> str:
    """Return an activity as words."""
    return activity.replace("_", " ")


def extremes(best: str, most: Measured, worst: str, least: Measured) -> str:
    """Return where a share is highest and lowest, or that it is the same everywhere."""
    if most.value == least.value:
        return f"is the same for all: {written('share', most.value)}"
    return f"is highest for {best} ({share(most)}) and lowest for {worst} ({share(least)})"


def share(found: Measured) -> str:
    """Format a share with its interval in brackets."""
    within = "" if found.interval is None else f" [{written_interval('share', found.interval)}]"
    return f"{written('share', found.value)}{within}"
