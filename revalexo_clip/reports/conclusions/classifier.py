"""Conclusions of an activity classifier's test: chance, transitions, horizons, activities and subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.verdict import (
    MIN_ACCURACY,
    MIN_WINDOWS,
    Answer,
    Verdict,
    against,
    extremes,
    plain_name,
    share,
)
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.values import (
    UNTRAINED,
    Measured,
    child,
    children,
    horizon_text,
    mean_of_subjects,
    measured,
    never_trained,
    nothing_trained,
    number,
    when,
    written,
)

_ACCURACY, _BALANCED, _WEIGHTED, _MACRO = "accuracy", "balanced_accuracy", "weighted_f1", "macro_f1"
_QUESTION = "Does it classify activities correctly?"


def verdicts(metrics: JsonObject) -> Iterator[Verdict]:
    """Yield the main conclusions of an activity classifier's test."""
    horizons = [one for one in children(metrics, "horizons") if number(child(one, "all")["windows"])]
    if not horizons:
        yield Verdict(_QUESTION, "open", "Not known", "No test window has a label.")
        return
    yield _overall(horizons[0])
    yield _in_transitions(horizons[0])
    yield _by_horizon(horizons)
    yield _by_activity(metrics, horizons[0])
    yield _by_subject(metrics, horizons[0])


def _overall(first: JsonObject) -> Verdict:
    found, chance = child(first, "all"), child(first, "all", "chance")
    reasons = (
        f"The activity {when(first['horizon'])} is right for {share(measured(found, _ACCURACY))} of {found['windows']} "
        f"windows. The weighted F1 is {share(measured(found, _WEIGHTED))}, the macro F1 "
        f"{share(measured(found, _MACRO))}. For comparison, {_always(found)} gives an accuracy of "
        f"{written(_ACCURACY, number(chance[_ACCURACY]))}, a weighted F1 of "
        f"{written(_WEIGHTED, number(chance[_WEIGHTED]))} and a macro F1 of {written(_MACRO, number(chance[_MACRO]))}."
    )
    return Verdict(_QUESTION, *classification_answer(found), reasons)


def classification_answer(found: JsonObject) -> tuple[Answer, str]:
    """Return whether predictions are significantly better than chance and more often right than wrong."""
    scored = (
        f"weighted F1 {written(_WEIGHTED, number(found[_WEIGHTED]))}, macro F1 {written(_MACRO, number(found[_MACRO]))}"
    )
    if unknown := _unknown(found, scored):
        return "open", unknown
    answer = beats_chance(found)
    if answer == "no":
        return "no", f"No: worse than {_always(found)}"
    if answer == "open":
        return "open", f"Not significantly better than {_always(found)}: {scored}"
    if not _is_mostly_right(found):
        accuracy, chance = (written(_ACCURACY, number(one[_ACCURACY])) for one in (found, child(found, "chance")))
        return "open", f"Above chance ({chance}), low in absolute terms: accuracy {accuracy}, {scored}"
    return "yes", f"Yes: {scored}"


def _unknown(found: JsonObject, scored: str) -> str:
    """Return why it is not known whether predictions are better than chance; empty if it is."""
    if nothing_trained(found):
        return f"Not known: the activities of all test windows are {UNTRAINED}"
    if number(child(found, "chance")[_ACCURACY]) == 1:
        return f"Not known: all windows are {plain_name(str(child(found, 'chance')['activity']))}"
    if measured(found, _ACCURACY).interval is None:
        return f"Significance not known, because there is no interval: {scored}"
    return ""


def beats_chance(found: JsonObject) -> Answer:
    """Return whether accuracy and balanced accuracy are above those of always predicting the most frequent activity.

    No prediction that ignores the input has a higher accuracy than that, and none a higher balanced accuracy.
    """
    if nothing_trained(found):
        return "open"
    chance = child(found, "chance")
    answers = {against(measured(found, score), number(chance[score]) or 0.0) for score in (_ACCURACY, _BALANCED)}
    return answers.pop() if len(answers) == 1 else "open"


def _is_mostly_right(found: JsonObject) -> bool:
    return (number(found[_ACCURACY]) or 0.0) >= MIN_ACCURACY


def _in_transitions(first: JsonObject) -> Verdict:
    question = "Does it work in transitions?"
    found, steady = child(first, "transition"), child(first, "steady")
    if not number(found["windows"]):
        return Verdict(question, "open", "Not known", "No test window with a label is in a transition.")
    one, other = measured(found, _WEIGHTED), measured(steady, _WEIGHTED)
    reasons = (
        f"Of {found['windows']} windows in a transition {share(measured(found, _ACCURACY))} are right; "
        f"{_always(found)} gives {written(_ACCURACY, number(child(found, 'chance')[_ACCURACY]))}. The weighted F1 is "
        f"{share(one)} in transitions and {share(other)} in a steady state, the macro F1 "
        f"{share(measured(found, _MACRO))} and {share(measured(steady, _MACRO))}."
    )
    answer = beats_chance(found)
    if nothing_trained(found):
        told = f"Not known: the activities of all windows in a transition are {UNTRAINED}"
        return Verdict(question, "open", told, reasons)
    if answer == "no":
        return Verdict(question, answer, f"No: worse than {_always(found)}", reasons)
    told = f"weighted F1 {written(_WEIGHTED, one.value)}, in a steady state {written(_WEIGHTED, other.value)}"
    return Verdict(question, "told", f"{compared(one, other)}: {told}", reasons)


def compared(one: Measured, other: Measured) -> str:
    """Compare transitions with steady states: only intervals that do not overlap make a difference significant."""
    if one.interval is None or other.interval is None:
        return "Significance not known, because there are no intervals"
    if one.interval[1] < other.interval[0]:
        return "Worse than in a steady state"
    return "Better than in a steady state" if one.interval[0] > other.interval[1] else "No significant difference"


def _by_horizon(horizons: Sequence[JsonObject]) -> Verdict:
    question = "How far ahead does it predict?"
    if len(horizons) == 1:
        return Verdict(question, "open", "Not known", f"Only the activity {when(horizons[0]['horizon'])} was tested.")
    reasons = "; ".join(
        f"{horizon_text(one['horizon'])}: {share(measured(child(one, 'all'), _WEIGHTED))}" for one in horizons
    )
    return Verdict(question, *reach(horizons), f"Weighted F1 by prediction horizon: {reasons}.")


def reach(horizons: Sequence[JsonObject]) -> tuple[Answer, str]:
    """Return at which horizons predictions are better than chance and more often right than wrong."""
    found = [child(one, "all") for one in horizons]
    answers = [beats_chance(one) for one in found]
    end = horizon_text(horizons[-1]["horizon"])
    first, last = (written(_WEIGHTED, number(one[_WEIGHTED])) for one in (found[0], found[-1]))
    course = f"weighted F1 {first} at {horizon_text(horizons[0]['horizon'])}, {last} at {end}"
    if set(answers) == {"yes"}:
        if all(map(_is_mostly_right, found)):
            return "yes", f"At least {end}: {course}"
        return "open", f"Above chance up to {end}, low in absolute terms: {course}"
    if "yes" in answers:
        return "open", f"Above chance at some horizons, at others not significantly: {course}"
    if "open" in answers:
        return "open", f"Not significantly above chance at any horizon: {course}"
    return "no", "Below chance at every horizon"


def _by_activity(metrics: JsonObject, first: JsonObject) -> Verdict:
    question = "Which activities work best?"
    classes, found = child(first, "all", "classes"), child(first, "all")
    untrained = [name for name in never_trained(metrics) if number(child(classes, name)["support"])]
    remark = f" Not counted, because it is {UNTRAINED}: {_listed(untrained)}." if untrained else ""
    held = [
        name
        for name in classes
        if (number(child(classes, name)["support"]) or 0) >= MIN_WINDOWS and name not in untrained
    ]
    if len(held) < 2:
        few = f"Fewer than two activities have {MIN_WINDOWS} windows.{remark}"
        return Verdict(question, "open", "Not known", few)
    ordered = sorted(held, key=lambda name: -(number(child(classes, name)["f1"]) or 0.0))
    best, worst = ordered[0], ordered[-1]
    most, least = (measured(child(classes, name), "f1") for name in (best, worst))
    reasons = (
        f"Of the activities with at least {MIN_WINDOWS} windows, F1 "
        f"{extremes(plain_name(best), most, plain_name(worst), least)}."
        f"{_most_frequent_confusion(metrics, found, held)}{remark}"
    )
    short = f"Best: {plain_name(best)}; worst: {plain_name(worst)}"
    if most.value == least.value:
        short = f"All alike: F1 {written('f1', most.value)}"
    return Verdict(question, "told", short, reasons)


def _listed(activities: Sequence[str]) -> str:
    return ", ".join(map(plain_name, activities))


def _most_frequent_confusion(metrics: JsonObject, found: JsonObject, held: Sequence[str]) -> str:
    """Return the most frequent wrong prediction, as a share of the windows of the true activity."""
    activities, confusion = metrics["activities"], found["confusion"]
    assert isinstance(activities, list)
    assert isinstance(confusion, list)
    shares: dict[tuple[str, str], float] = {}
    for name, counts in zip(map(str, activities), confusion, strict=True):
        row = [number(count) or 0.0 for count in counts] if isinstance(counts, list) else []
        if name in held:
            shares |= {
                (name, str(other)): count / sum(row)
                for other, count in zip(activities, row, strict=True)
                if other != name
            }
    (true, predicted), worst = max(shares.items(), key=lambda item: item[1])
    if not worst:
        return " None of them is ever confused with another."
    return (
        f" The most frequent confusion: {written('share', worst)} of {plain_name(true)} is predicted as "
        f"{plain_name(predicted)}."
    )


def _by_subject(metrics: JsonObject, first: JsonObject) -> Verdict:
    question = "Does it work for every subject?"
    subjects = child(metrics, "subjects")
    new = "" if leakage_warning(metrics["seen"]) else "unseen "
    if len(subjects) == 1:
        (name,) = subjects
        reasons = "Only one subject was tested, so the variation between subjects is not known."
        return Verdict(question, "open", f"Not known: only {name} was tested", reasons)
    scored = {name: _at(children(subjects, name, "horizons"), first["horizon"]) for name in subjects}
    ordered = sorted(
        (item for item in scored.items() if item[1].value is not None), key=lambda item: -(item[1].value or 0.0)
    )
    (best, most), (worst, least) = ordered[0], ordered[-1]
    reasons = (
        f"Weighted F1 {extremes(best, most, worst, least)}. These intervals "
        "say how results vary with other moments of these subjects, not with other subjects."
    )
    mean = mean_of_subjects(child(first, "all"), _WEIGHTED)
    if mean is not None and mean.interval is not None:
        reasons += f" The mean over subjects is {share(mean)}; its interval says how it would vary with other subjects."
    span = f"weighted F1 from {written(_WEIGHTED, least.value)} to {written(_WEIGHTED, most.value)}"
    return Verdict(question, "told", f"{len(subjects)} {new}subjects: {span}", reasons)


def _at(horizons: Sequence[JsonObject], horizon: object) -> Measured:
    return next(measured(one, _WEIGHTED) for one in horizons if one["horizon"] == horizon)


def _always(found: JsonObject) -> str:
    return f"always predicting {plain_name(str(child(found, 'chance')['activity']))}"
