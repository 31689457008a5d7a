"""Did pretraining help? What the differences of variants have settled, in words.

Of many differences some leave zero out by chance. So one figure decides, which is always the same one: the weighted F1
of all windows at the first horizon, whose intervals can be trusted with few clips.
"""

from __future__ import annotations

from collections.abc import Iterator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.evaluation import Answer, Verdict
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.values import (
    MINUS,
    SCORES,
    child,
    children,
    horizon_text,
    measured,
    number,
    points,
)

DECIDING = "weighted_f1"


def others(comparison: JsonObject) -> list[str]:
    """The variants that are compared with the first."""
    return [kind for kind in child(comparison, "variants") if kind != comparison["baseline"]]


def first_place(comparison: JsonObject) -> int:
    """The place of the first horizon at which a window has a label."""
    for label in children(comparison, "labels"):
        for variant in child(label, "variants").values():
            assert isinstance(variant, dict)
            return next((k for k, one in enumerate(children(variant, "horizons")) if child(one, "all")["windows"]), 0)
    return 0


def horizon_of(comparison: JsonObject) -> str:
    """That horizon in words; empty where there is no result."""
    horizons = comparison["horizons"]
    assert isinstance(horizons, list)
    return horizon_text(number(horizons[first_place(comparison)]) or 0.0) if horizons else ""


def figures_at(
    comparison: JsonObject, label: JsonObject, what: str, kind: str, among: str = "all"
) -> JsonObject | None:
    """Figures of an variant (`variants`) or of its difference to the first (`differences`), None where there are none."""
    found = child(label, what).get(kind)
    if not isinstance(found, dict):
        return None
    return child(children(found, "horizons")[first_place(comparison)], among)


def share_text(label: JsonObject) -> str:
    """`10% of the labels`."""
    return "all labels" if label["fraction"] == 1 else f"{percent(label)} of the labels"


def percent(label: JsonObject) -> str:
    """The share of the labels."""
    return f"{100 * (number(label['fraction']) or 0.0):g}%"


def answer(comparison: JsonObject, label: JsonObject, kind: str) -> str:
    """In a word or two whether an variant is better than the first one."""
    found = figures_at(comparison, label, "differences", kind)
    if found is None:
        return "no result"
    known = child(found, "significant")[DECIDING]
    return known if isinstance(known, str) else "not settled"


def sentence(comparison: JsonObject, label: JsonObject, kind: str) -> str:
    """What is known of an variant beside the first one, with one share of the labels."""
    less, share = comparison["baseline"], share_text(label)
    found, said = figures_at(comparison, label, "differences", kind), answer(comparison, label, kind)
    if found is None:
        missing = " and ".join(str(one) for one in (less, kind) if one not in child(label, "variants"))
        return f"With {share}, {kind} and {less} cannot be compared: {missing} has no result."
    gained = measured(found, DECIDING)
    if gained.value is None:
        return f"With {share}, nothing is known: no test window has a label."
    if said == "same":
        return f"With {share}, {kind} and {less} say the same of every window."
    if said == "not settled":
        within = "without an interval" if gained.interval is None else f"({_ends(*gained.interval)})"
        return (
            f"With {share}, it is not settled whether {kind} is better than {less}: {points(gained.value)} points of "
            f"{SCORES[DECIDING]} {within}."
        )
    assert gained.interval is not None
    ends = sorted(map(abs, gained.interval))
    return (
        f"With {share}, {kind} is {said} than {less} by {100 * abs(gained.value):.1f} points of {SCORES[DECIDING]} "
        f"({_ends(*ends)})."
    )


def _ends(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}".replace("-", MINUS)


def verdicts(comparison: JsonObject) -> Iterator[Verdict]:
    """For each variant but the first: with which shares of the labels it is better, and by how much."""
    labels = children(comparison, "labels")
    for kind in others(comparison):
        said: dict[str, list[str]] = {}
        for label in labels:
            said.setdefault(answer(comparison, label, kind), []).append(percent(label))
        short = "; ".join(
            f"{'the same' if answered == 'same' else answered} with {', '.join(shares)}"
            for answered, shares in said.items()
        )
        marks: dict[str, Answer] = {"better": "yes", "worse": "no"}
        mark = marks.get(next(iter(said)), "open") if len(said) == 1 else "open"
        reasons = " ".join(sentence(comparison, label, kind) for label in labels)
        yield Verdict(f"{kind} beside {comparison['baseline']}", mark, f"{short[:1].upper()}{short[1:]}", reasons)


def variant_leakage_warning(comparison: JsonObject) -> str:
    """In which way figures of variants flatter them; empty where all test subjects are new to all of them."""
    told: dict[str, list[str]] = {}
    for label in children(comparison, "labels"):
        for kind, variant in child(label, "variants").items():
            assert isinstance(variant, dict)
            if (how := leakage_warning(variant["seen"])) and kind not in told.setdefault(how, []):
                told[how].append(kind)
    return " ".join(f"The figures of {' and '.join(kinds)} {how}." for how, kinds in told.items())
