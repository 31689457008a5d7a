"""Conclusions of a comparison of variants, for example whether pretraining helped.

Of many differences some are significant by chance. So one result decides, which is always the same: the weighted F1 of
all windows at the first horizon, whose intervals can be trusted with few recordings. And significance is corrected for
the number of variants and shares of the labels, so that if no variant differs from the baseline, the probability of any
answer that one does is at most 5%.
"""

from __future__ import annotations

from collections.abc import Iterator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.verdict import Answer, Verdict, decide
from revalexo_clip.reports.leakage import leakage_warning, warning_about
from revalexo_clip.reports.values import (
    MINUS,
    NOT_SIGNIFICANT,
    SCORES,
    UNTRAINED,
    Measured,
    child,
    children,
    measured,
    nothing_trained,
    number,
    points,
    untrained_note,
    when,
)

DECIDING = "weighted_f1"
_TOO_CLOSE = "which excludes zero, but not far enough for so many comparisons"


def others(comparison: JsonObject) -> list[str]:
    """Return the variants that are compared with the baseline."""
    return [kind for kind in child(comparison, "variants") if kind != comparison["baseline"]]


def first_place(comparison: JsonObject) -> int:
    """Return the place of the first horizon at which a window has a label."""
    for label in children(comparison, "labels"):
        for variant in child(label, "variants").values():
            assert isinstance(variant, dict)
            return next((k for k, one in enumerate(children(variant, "horizons")) if child(one, "all")["windows"]), 0)
    return 0


def horizon_of(comparison: JsonObject) -> str:
    """Return that horizon in words; empty if there is no result."""
    horizons = comparison["horizons"]
    assert isinstance(horizons, list)
    return when(horizons[first_place(comparison)]) if horizons else ""


def figures_at(
    comparison: JsonObject, label: JsonObject, what: str, kind: str, among: str = "all"
) -> JsonObject | None:
    """Return results of a variant (`variants`) or of its difference to the baseline (`differences`), if any."""
    found = child(label, what).get(kind)
    if not isinstance(found, dict):
        return None
    return child(children(found, "horizons")[first_place(comparison)], among)


def share_text(label: JsonObject) -> str:
    """Return `10% of the labels`."""
    return "all labels" if label["fraction"] == 1 else f"{percent(label)} of the labels"


def percent(label: JsonObject) -> str:
    """Return the share of the labels in percent."""
    return f"{100 * (number(label['fraction']) or 0.0):g}%"


Compared = tuple[float, str]
"""Share of the labels and variant of a comparison with the baseline."""


def answers(comparison: JsonObject) -> dict[Compared, str]:
    """Return in a word or two whether each variant is better than the baseline, at each share of the labels."""
    found: dict[Compared, JsonObject | None] = {
        (number(label["fraction"]) or 0.0, kind): figures_at(comparison, label, "differences", kind)
        for label in children(comparison, "labels")
        for kind in others(comparison)
    }
    decided = decide({key: measured(one, DECIDING) for key, one in found.items() if one is not None})
    words = {"yes": "better", "no": "worse", "open": NOT_SIGNIFICANT}

    def answer(key: Compared, one: JsonObject | None) -> str:
        if one is None:
            return "no result"
        if key in untrained:
            return UNTRAINED
        return "same" if child(one, "significant")[DECIDING] == "same" else words[decided[key]]

    untrained = {
        (number(label["fraction"]) or 0.0, kind)
        for label in children(comparison, "labels")
        for kind in others(comparison)
        if any(_learned_nothing(comparison, label, each) for each in (kind, str(comparison["baseline"])))
    }
    return {key: answer(key, one) for key, one in found.items()}


def _learned_nothing(comparison: JsonObject, label: JsonObject, kind: str) -> bool:
    """Return whether a variant was tested on activities only that are not in its training."""
    found = figures_at(comparison, label, "variants", kind)
    return found is not None and nothing_trained(found)


def training_notes(comparison: JsonObject) -> list[str]:
    """Return sentences on activities that are not in training, and in which trainings they are not."""
    told: dict[str, list[str]] = {}
    for label in children(comparison, "labels"):
        for kind, variant in child(label, "variants").items():
            assert isinstance(variant, dict)
            if note := untrained_note(variant):
                told.setdefault(note, []).append(f"{kind} with {percent(label)}")
    count = sum(len(child(label, "variants")) for label in children(comparison, "labels"))
    return [
        note if len(trainings) == count else f"{note} This applies to {', '.join(trainings)}."
        for note, trainings in told.items()
    ]


def sentences(comparison: JsonObject) -> Iterator[str]:
    """Yield how each variant compares with the baseline at each share of the labels."""
    found = answers(comparison)
    for label in children(comparison, "labels"):
        for kind in others(comparison):
            yield sentence(comparison, label, kind, found[number(label["fraction"]) or 0.0, kind])


def sentence(comparison: JsonObject, label: JsonObject, kind: str, answered: str) -> str:
    """Return how a variant compares with the baseline at one share of the labels, in a sentence."""
    baseline, share = comparison["baseline"], share_text(label)
    found = figures_at(comparison, label, "differences", kind)
    if found is None:
        missing = " and ".join(str(one) for one in (baseline, kind) if one not in child(label, "variants"))
        return f"With {share}, {kind} and {baseline} cannot be compared: {missing} has no result."
    gained = measured(found, DECIDING)
    if gained.value is None:
        return f"With {share}, nothing is known: no test window has a label."
    if answered == UNTRAINED:
        return f"With {share}, nothing is known: the activities of all test windows are {UNTRAINED}."
    if answered == "same":
        return f"With {share}, {kind} and {baseline} make the same prediction for every window."
    return f"With {share}, {_difference(gained, answered, kind, str(baseline))}"


def _difference(gained: Measured, answered: str, kind: str, baseline: str) -> str:
    """Return a difference with its interval and what that says."""
    title, shown = f"{kind} {MINUS} {baseline}", f"{points(gained.value or 0.0)} points of {SCORES[DECIDING]}"
    if gained.interval is None:
        return f"{title} is {shown}; without an interval its significance is not known."
    if answered == NOT_SIGNIFICANT:
        why = "which includes zero" if gained.may_be(0.0) else _TOO_CLOSE
        return f"the difference {title} is not significant: {shown} (95% interval {_ends(*gained.interval)}, {why})."
    ends = sorted(map(abs, gained.interval))
    return (
        f"{kind} is {answered} than {baseline} by {100 * abs(gained.value or 0.0):.1f} points of {SCORES[DECIDING]} "
        f"(95% interval {_ends(*ends)})."
    )


def _ends(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}".replace("-", MINUS)


def verdicts(comparison: JsonObject) -> Iterator[Verdict]:
    """Yield for each variant but the baseline with which shares of the labels it is better, and by how much."""
    labels, found = children(comparison, "labels"), answers(comparison)
    for kind in others(comparison):
        answer_of = [found[number(label["fraction"]) or 0.0, kind] for label in labels]
        shares_of: dict[str, list[str]] = {}
        for label, answered in zip(labels, answer_of, strict=True):
            shares_of.setdefault(answered, []).append(percent(label))
        short = "; ".join(
            f"{'the same' if answered == 'same' else answered} with {', '.join(shares)}"
            for answered, shares in shares_of.items()
        )
        marks: dict[str, Answer] = {"better": "yes", "worse": "no"}
        mark = marks.get(next(iter(shares_of)), "open") if len(shares_of) == 1 else "open"
        told = zip(labels, answer_of, strict=True)
        reasons = " ".join(sentence(comparison, label, kind, answered) for label, answered in told)
        yield Verdict(
            f"Is {kind} better than {comparison['baseline']}?", mark, f"{short[:1].upper()}{short[1:]}", reasons
        )


def variant_leakage_warning(comparison: JsonObject) -> str:
    """Return warnings about test subjects that variants were trained on; empty if all are new to all variants."""
    told: dict[str, list[str]] = {}
    for label in children(comparison, "labels"):
        for kind, variant in child(label, "variants").items():
            assert isinstance(variant, dict)
            if (how := leakage_warning(variant["seen"])) and kind not in told.setdefault(how, []):
                told[how].append(kind)
    return " ".join(warning_about(_variants(kinds), how) for how, kinds in told.items())


def _variants(kinds: list[str]) -> str:
    return f"{'Variant' if len(kinds) == 1 else 'Variants'} {' and '.join(kinds)}"
