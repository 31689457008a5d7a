"""Conclusions of an evaluation: retrieval against chance, the gain from pretraining, activities and subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import ACTIVITY, CLIP, SUBJECT, WHOLE
from revalexo_clip.reports.conclusions.features import NO_DIFFERENCE, feature_verdicts
from revalexo_clip.reports.conclusions.verdict import (
    FAR_ABOVE_CHANCE,
    MIN_R_AT_1,
    MIN_R_AT_10,
    MIN_WINDOWS,
    Answer,
    Verdict,
    against,
    decide,
    extremes,
    plain_name,
    share,
)
from revalexo_clip.reports.values import (
    BASELINES,
    DIRECTIONS,
    NONE,
    PROBES,
    Measured,
    child,
    children,
    first_horizon,
    is_imu_alone,
    mean_of_subjects,
    measured,
    never_trained,
    number,
    points,
    undecidable_probe,
    untrained_note,
    when,
    within,
    written,
)


def verdicts(metrics: JsonObject) -> Iterator[Verdict]:
    """Yield the main conclusions of an evaluation: those on the features first, if they were probed."""
    yield from feature_verdicts(metrics)
    if is_imu_alone(metrics):
        yield _pretraining(metrics)
        return
    yield _retrieval(metrics)
    yield _moment(metrics)
    yield _pretraining(metrics)
    yield _by_activity(metrics)
    yield _by_subject(metrics)


def _retrieval(metrics: JsonObject) -> Verdict:
    found = child(metrics, WHOLE)
    answer, short = against_chance(found)
    if answer == "yes" and moment_answer(metrics)[0] == "no":  # clips have so few windows that the clip is enough
        answer, short = "open", f"In part, because only the moment is missed: {short.removeprefix('Yes: ')}"
    first, ten = (measured(child(found, "imu_to_video"), name) for name in ("r_at_1", "r_at_10"))
    back = child(found, "video_to_imu")
    reasons = (
        f"For {share(first)} of the IMU windows the nearest of {metrics['windows']} video windows is the right one "
        f"(chance: {_chance(found, 'r_at_1')}); for {share(ten)} the right one is among the ten nearest (chance: "
        f"{_chance(found, 'r_at_10')}). From video to IMU: {share(measured(back, 'r_at_1'))} and "
        f"{share(measured(back, 'r_at_10'))}."
    )
    return Verdict("Does IMU find the matching video?", answer, short, reasons)


def _moment(metrics: JsonObject) -> Verdict:
    found = child(metrics, CLIP)
    size = number(found["gallery_size"]) or 0.0
    reasons = (
        f"Among {size:.0f} windows of the same clip (on average), in which only the moment differs, the nearest is the "
        f"right one for {share(measured(child(found, 'imu_to_video'), 'r_at_1'))} of the IMU windows (chance: "
        f"{_chance(found, 'r_at_1')})."
    )
    if metrics[ACTIVITY] is not None:
        activity = child(metrics, ACTIVITY)
        reasons += (
            f" Among {number(activity['gallery_size']) or 0.0:.0f} windows of the same subject and activity, which the "
            f"clip may distinguish as well, it is {share(measured(child(activity, 'imu_to_video'), 'r_at_1'))} "
            f"(chance: {_chance(activity, 'r_at_1')})."
        )
    return Verdict("Does it find the moment, not only the clip?", *moment_answer(metrics), reasons)


def moment_answer(metrics: JsonObject) -> tuple[Answer, str]:
    """Return whether retrieval is above chance in the same clip; if not, what makes it better than chance elsewhere.

    Only in the same clip is it the moment that distinguishes windows, and nothing else.
    """
    found, intervals = child(metrics, CLIP), metrics["interval_reason"] is None
    if number(found["gallery_size"]) == 1:
        return "open", "Not known: every clip has a single window"
    if intervals and _is_at_chance(found):
        narrowest = next(name for name in (ACTIVITY, SUBJECT, WHOLE) if metrics[name] is not None)
        if _is_far_above_chance(child(metrics, narrowest)):
            return "no", "Knows the clip, not the moment"
        if any(_is_far_above_chance(child(metrics, name)) for name in (WHOLE, SUBJECT)):
            return "no", "Knows the subject or the activity, not the moment"
    return against_chance(found)


def _is_far_above_chance(found: JsonObject) -> bool:
    least = FAR_ABOVE_CHANCE * (number(child(found, "chance")["mrr"]) or 0.0)
    far = all((number(child(found, way)["mrr"]) or 0.0) >= least for way in DIRECTIONS)
    return far and _both_ways(found, "mrr") == {"yes"}


def _is_at_chance(found: JsonObject) -> bool:
    """Return whether R@1 is not above chance in both directions, and is known not to be high in any."""
    upper = [measured(child(found, way), "r_at_1") for way in DIRECTIONS]
    highest = max((one.value or 0.0) if one.interval is None else one.interval[1] for one in upper)
    return _both_ways(found, "r_at_1") != {"yes"} and highest < MIN_R_AT_1


def against_chance(found: JsonObject) -> tuple[Answer, str]:
    """Return whether retrieval is significantly above chance in both directions, and high in absolute terms."""
    first, ten = (_both_ways(found, name) for name in ("r_at_1", "r_at_10"))
    chance, lower = _chance(found, "r_at_1"), min(number(child(found, way)["r_at_1"]) or 0.0 for way in DIRECTIONS)
    shown = f"R@1 {written('r_at_1', lower)}"
    if first == {"yes"} and lower >= MIN_R_AT_1:
        return "yes", f"Yes: {shown} in the weaker direction, chance {chance}"
    if first == {"yes"}:
        return "open", f"Above chance ({chance}), low in absolute terms: {shown} in the weaker direction"
    if ten == {"yes"}:
        return (
            "open",
            f"Only R@10 is above chance ({_chance(found, 'r_at_10')}): R@1 is not significantly above {chance}",
        )
    if ten == {"no"}:
        return "no", "No: worse than chance"
    if any(measured(child(found, way), "r_at_1").interval is None for way in DIRECTIONS):
        return "open", f"Significance not known, because there is no interval: {shown} in the weaker direction"
    return "open", "Not significantly different from chance"


def _both_ways(found: JsonObject, name: str) -> set[Answer]:
    """Return the answers of both directions: above chance (`yes`), below (`no`) or neither (`open`)."""
    chance = number(child(found, "chance")[name]) or 0.0
    return {against(measured(child(found, way), name), chance) for way in DIRECTIONS}


def _pretraining(metrics: JsonObject) -> Verdict:
    question = "Was pretraining worth it?"
    if not isinstance(metrics["probe"], dict):
        return Verdict(question, "open", "Not measured", f"No probe: {metrics['probe_reason']}.")
    probe = child(metrics, "probe")
    if warning := undecidable_probe(probe):
        return Verdict(question, "open", "Not known", warning)
    gained = {
        (by, over): measured(children(probe, "gain", by, over)[0], DECIDING) for by in PROBES for over in BASELINES
    }
    found = measured(child(children(probe, "linear", "imu")[0], "all"), DECIDING)
    differences = (
        f"over {name}: " + ", ".join(f"{_gain(gained[by, over])} ({title})" for by, title in PROBES.items())
        for over, name in BASELINES.items()
    )
    reasons = (
        f"A linear probe on frozen IMU features predicts the activity {when(first_horizon(probe))} with a weighted F1 "
        f"of {share(found)}. Gain in percentage points {'; '.join(differences)}. The gains of the linear probe decide."
    )
    deciding = {over: gained[DECIDING_PROBE, over] for over in BASELINES}
    return Verdict(question, *of_gains(deciding), reasons)


DECIDING_PROBE, DECIDING = "linear", "weighted_f1"
"""The probe and the score whose gains decide whether pretraining was worth it, named beforehand. The score is the one
whose intervals can be trusted with few recordings, as in comparisons; the other probe is only told."""


def of_gains(gained: Mapping[str, Measured]) -> tuple[Answer, str]:
    """Return whether the deciding probe is better than with both `BASELINES`, which are the keys.

    Significance is corrected for the two comparisons, see `decide`.
    """
    answers = decide(gained)
    better, worse = (
        [BASELINES[over] for over, answer in answers.items() if answer == wanted] for wanted in ("yes", "no")
    )
    if worse:
        return ("open", f"Mixed: worse than {' and '.join(worse)}") if better else ("no", f"No: worse than {worse[0]}")
    if len(better) == len(gained):
        return "yes", "Yes: better than the untrained encoder and than handcrafted features"
    if better:
        return "open", f"In part: better than {' and '.join(better)}; the other difference is not significant"
    return "open", NO_DIFFERENCE


def _gain(gained: Measured) -> str:
    if gained.value is None:
        return NONE
    return f"{points(gained.value)} {within(DECIDING, gained.interval)}".strip()


def _by_activity(metrics: JsonObject) -> Verdict:
    question = "Which activities work best?"
    ordered = _ordered(
        child(metrics, "activities"), lambda part: measured(child(part, "imu_to_video"), "r_at_10"), MIN_WINDOWS
    )
    if len(ordered) < 2:
        return Verdict(question, "open", "Not known", f"Fewer than two activities have {MIN_WINDOWS} windows.")
    (best, most), (worst, least) = ordered[0], ordered[-1]
    reasons = (
        f"Of the activities with at least {MIN_WINDOWS} windows, R@10 from IMU to video "
        f"{extremes(plain_name(best), most, plain_name(worst), least)}."
    )
    if isinstance(metrics["probe"], dict):
        reasons += _probe_recall(child(metrics, "probe"))
    short = f"Best: {plain_name(best)}; worst: {plain_name(worst)}"
    if most.value == least.value:
        short = f"All alike: R@10 {written('r_at_10', most.value)}"
    return Verdict(question, "told", short, reasons)


def _probe_recall(probe: JsonObject) -> str:
    """Return for which activities the recall of the linear probe is highest and lowest."""
    activities, matrix = probe["activities"], children(probe, "confusion")[0]["windows"]
    assert isinstance(activities, list)
    assert isinstance(matrix, list)
    recall, untrained = {}, never_trained(probe)
    for place, (activity, row) in enumerate(zip(activities, matrix, strict=True)):
        counts = [number(count) or 0.0 for count in row] if isinstance(row, list) else []
        if sum(counts) >= MIN_WINDOWS and activity not in untrained:
            recall[str(activity)] = counts[place] / sum(counts)
    remark = f" {untrained_note(probe)}" if untrained else ""
    if len(recall) < 2:
        return remark
    best, worst = (choose(recall, key=recall.__getitem__) for choose in (max, min))
    most, least = written("recall", recall[best]), written("recall", recall[worst])
    return (
        f" Recall of the linear probe is highest for {plain_name(best)} ({most}) and lowest for {plain_name(worst)} "
        f"({least}).{remark}"
    )


def _by_subject(metrics: JsonObject) -> Verdict:
    question = "Does it work for every subject?"
    subjects = child(metrics, "subjects")
    new = not any(child(metrics, "seen").values())
    if len(subjects) == 1:
        (name,) = subjects
        reasons = "Only one subject was evaluated, so the variation between subjects is not known."
        return Verdict(question, "open", f"Not known: only {name} was evaluated", reasons)
    ordered = _ordered(subjects, lambda part: measured(child(part, "imu_to_video"), "r_at_10"), 1)
    (best, most), (worst, least) = ordered[0], ordered[-1]
    chance = {name: number(child(subjects, name, "chance")["r_at_10"]) or 0.0 for name in subjects}
    reasons = (
        f"R@10 from IMU to video {extremes(best, most, worst, least)}. These "
        "intervals say how results vary with other moments of these subjects, not with other subjects."
        f"{_other_subjects(metrics)}"
    )
    return Verdict(question, "told", of_subjects(dict(ordered), chance, new=new), reasons)


def _other_subjects(metrics: JsonObject) -> str:
    """Return the mean over subjects with its interval for other subjects; empty if there is none."""
    mean = mean_of_subjects(child(metrics, WHOLE, "imu_to_video"), "r_at_10")
    if mean is None or mean.interval is None:
        return ""
    return f" The mean over subjects is {share(mean)}; its interval says how it would vary with other subjects."


def of_subjects(found: Mapping[str, Measured], chance: Mapping[str, float], *, new: bool) -> str:
    """Return for how many subjects R@10 is significantly above chance, and for how many it is low all the same."""
    above = [name for name, one in found.items() if against(one, chance[name]) == "yes"]
    low = sum((found[name].value or 0.0) < MIN_R_AT_10 for name in above)
    of = f"{len(found)} {'unseen ' if new else ''}subjects"
    short = f"R@10 is significantly above chance for {len(above)} of {of}"
    return f"{short}, low in absolute terms (below {100 * MIN_R_AT_10:.0f}%) for {low} of them" if low else short


def _ordered(parts: JsonObject, figure_of: Callable[[JsonObject], Measured], least: int) -> list[tuple[str, Measured]]:
    """Return the parts with at least so many windows, the best first."""
    found = [
        (name, figure_of(child(parts, name))) for name in parts if (number(child(parts, name)["windows"]) or 0) >= least
    ]
    return sorted(found, key=lambda one: -(one[1].value or 0.0))


def _chance(found: JsonObject, name: str) -> str:
    return written(name, number(child(found, "chance")[name]))
