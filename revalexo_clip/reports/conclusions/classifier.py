"""What an activity classifier's figures say, in words: how good, in transitions, how far ahead, at what, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.evaluation import FEW, Answer, Verdict, against, plain_name, share
from revalexo_clip.reports.leakage import leakage_warning
from revalexo_clip.reports.values import (
    Measured,
    child,
    children,
    horizon_text,
    measured,
    number,
    written,
)

_WEIGHTED, _MACRO = "weighted_f1", "macro_f1"
_SHARES = ("accuracy", "balanced_accuracy")
_NO_TRANSITION = "No test window with a label is in a transition."


def verdicts(metrics: JsonObject) -> Iterator[Verdict]:
    """All that a stranger wants to know first."""
    horizons = [one for one in children(metrics, "horizons") if number(child(one, "all")["windows"])]
    if not horizons:
        yield Verdict("Does it recognise what is done?", "open", "Not known", "No test window has a label.")
        return
    yield _recognises(horizons[0])
    yield _in_transitions(horizons[0])
    yield _ahead(horizons)
    yield _good_at(metrics, horizons[0])
    yield _for_whom(metrics, horizons[0])


def _recognises(first: JsonObject) -> Verdict:
    found, chance = child(first, "all"), child(first, "all", "chance")
    weighted, macro = measured(found, _WEIGHTED), measured(found, _MACRO)
    reasons = (
        f"Of {found['windows']} windows the activity {_when(first)} is right for {share(measured(found, 'accuracy'))}. "
        f"F1 is {share(weighted)} where activities count as often as they occur, {share(macro)} where all count alike. "
        f"{_always(found).capitalize()} would be right for {written('accuracy', number(chance['accuracy']))}, with "
        f"an F1 of {written(_WEIGHTED, number(chance[_WEIGHTED]))} and {written(_MACRO, number(chance[_MACRO]))}."
    )
    return Verdict("Does it recognise what is done?", *recognised(found), reasons)


def recognised(found: JsonObject) -> tuple[Answer, str]:
    """Whether a set of windows is recognised: better than by chance, and more often than not."""
    scored = (
        f"weighted F1 {written(_WEIGHTED, number(found[_WEIGHTED]))}, macro F1 {written(_MACRO, number(found[_MACRO]))}"
    )
    if number(child(found, "chance")["accuracy"]) == 1:
        return "open", f"Not known: all windows are {plain_name(str(child(found, 'chance')['activity']))}"
    if measured(found, "accuracy").interval is None:
        return "open", f"Not settled, for want of an interval: {scored}"
    answer = beats_chance(found)
    if answer == "no":
        return "no", f"No: worse than {_always(found)}"
    if answer == "open":
        return "open", f"Not settled, it may be no better than {_always(found)}: {scored}"
    if (number(found["accuracy"]) or 0.0) < 0.5:
        return "open", f"In part, better than chance but more often wrong than right: {scored}"
    return "yes", f"Yes: {scored}"


def beats_chance(found: JsonObject) -> Answer:
    """Whether more is right than if the most frequent activity were named every time, by windows and by activities.

    No guess has a higher accuracy than that one, and none a higher balanced accuracy.
    """
    chance = child(found, "chance")
    answers = {against(measured(found, score), number(chance[score]) or 0.0) for score in _SHARES}
    return answers.pop() if len(answers) == 1 else "open"


def _in_transitions(first: JsonObject) -> Verdict:
    question = "In transitions?"
    found, steady = child(first, "transition"), child(first, "steady")
    if not number(found["windows"]):
        return Verdict(question, "open", "Not known", _NO_TRANSITION)
    one, other = measured(found, _WEIGHTED), measured(steady, _WEIGHTED)
    reasons = (
        f"Of {found['windows']} windows in a transition {share(measured(found, 'accuracy'))} are right. Their weighted "
        f"F1 is {share(one)}, in a steady state it is {share(other)}; macro F1 is {share(measured(found, _MACRO))} and "
        f"{share(measured(steady, _MACRO))}. {_always(found).capitalize()} would be right in "
        f"{written('accuracy', number(child(found, 'chance')['accuracy']))} of transitions."
    )
    answer = beats_chance(found)
    if answer == "no":
        return Verdict(question, answer, f"No: worse than {_always(found)}", reasons)
    told = f"weighted F1 {written(_WEIGHTED, one.value)} against {written(_WEIGHTED, other.value)} in a steady state"
    return Verdict(question, "told", f"{compared(one, other)}: {told}", reasons)


def compared(one: Measured, other: Measured) -> str:
    """Less well only where intervals are apart: that two of them overlap settles nothing."""
    if one.interval is None or other.interval is None:
        return "Not settled, for want of intervals"
    if one.interval[1] < other.interval[0]:
        return "Less well"
    return "Better" if one.interval[0] > other.interval[1] else "No difference that is settled"


def _ahead(horizons: Sequence[JsonObject]) -> Verdict:
    question = "How far ahead?"
    if len(horizons) == 1:
        return Verdict(question, "open", "Not known", f"Only the activity {_when(horizons[0])} was asked for.")
    answers = [beats_chance(child(one, "all")) for one in horizons]
    first, last = (measured(child(one, "all"), _WEIGHTED) for one in (horizons[0], horizons[-1]))
    end = horizon_text(number(horizons[-1]["horizon"]) or 0.0)
    course = f"weighted F1 {written(_WEIGHTED, first.value)} at first, {written(_WEIGHTED, last.value)} {end} ahead"
    reasons = "; ".join(
        f"{horizon_text(number(one['horizon']) or 0.0)}: {share(measured(child(one, 'all'), _WEIGHTED))}"
        for one in horizons
    )
    return Verdict(question, *_reach(answers, end, course), f"Weighted F1 by horizon: {reasons}.")


def _reach(answers: Sequence[Answer], end: str, course: str) -> tuple[Answer, str]:
    if set(answers) == {"yes"}:
        return "yes", f"{end} at least: {course}"
    if "yes" in answers:
        return "open", f"In part, at some horizons it is not settled: {course}"
    return answers[0], f"Not settled at any horizon: {course}" if "open" in answers else "At no horizon"


def _good_at(metrics: JsonObject, first: JsonObject) -> Verdict:
    question = "Good at what?"
    classes, found = child(first, "all", "classes"), child(first, "all")
    held = [name for name in classes if (number(child(classes, name)["support"]) or 0) >= FEW]
    if len(held) < 2:
        return Verdict(question, "open", "Not told", f"Fewer than two activities have {FEW} windows.")
    ordered = sorted(held, key=lambda name: -(number(child(classes, name)["f1"]) or 0.0))
    best, worst = ordered[0], ordered[-1]
    most, least = (measured(child(classes, name), "f1") for name in (best, worst))
    reasons = (
        f"Of activities with {FEW} windows or more, F1 is highest for {plain_name(best)} ({share(most)}) and lowest "
        f"for {plain_name(worst)} ({share(least)}).{_mistake(metrics, found, held)}"
    )
    return Verdict(question, "told", f"Best at {plain_name(best)}, worst at {plain_name(worst)}", reasons)


def _mistake(metrics: JsonObject, found: JsonObject, held: Sequence[str]) -> str:
    """The activity that is most often taken for another one, as a share of its windows."""
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
    (true, taken), worst = max(shares.items(), key=lambda item: item[1])
    if not worst:
        return " None of them is ever taken for another."
    return f" The most frequent mistake: {plain_name(true)} taken for {plain_name(taken)}, {written('share', worst)}."


def _for_whom(metrics: JsonObject, first: JsonObject) -> Verdict:
    question = "For whom?"
    subjects = child(metrics, "subjects")
    new = "" if leakage_warning(metrics["seen"]) else ", new to the model"
    if len(subjects) == 1:
        (name,) = subjects
        reasons = "One person was tested, so nothing is known of how it varies from person to person."
        return Verdict(question, "told", f"For {name}{new}; for others it is not known", reasons)
    scored = {name: _at(children(subjects, name, "horizons"), first["horizon"]) for name in subjects}
    ordered = sorted(
        (item for item in scored.items() if item[1].value is not None), key=lambda item: -(item[1].value or 0.0)
    )
    (best, most), (worst, least) = ordered[0], ordered[-1]
    reasons = (
        f"Weighted F1 is highest for {best} ({share(most)}) and lowest for {worst} ({share(least)}). Intervals say how "
        "figures vary with other clips of these people, not with other people."
    )
    span = f"weighted F1 from {written(_WEIGHTED, least.value)} to {written(_WEIGHTED, most.value)}"
    return Verdict(question, "told", f"{len(subjects)} people{new}: {span}", reasons)


def _at(horizons: Sequence[JsonObject], horizon: object) -> Measured:
    return next(measured(one, _WEIGHTED) for one in horizons if one["horizon"] == horizon)


def _always(found: JsonObject) -> str:
    return f"always saying {plain_name(str(child(found, 'chance')['activity']))}"


def _when(at_horizon: JsonObject) -> str:
    return f"{horizon_text(number(at_horizon['horizon']) or 0.0)} after the window"
