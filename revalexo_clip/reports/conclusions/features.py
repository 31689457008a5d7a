"""Conclusions on the IMU features: the gap that pretraining closes, few labels, and transitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports import headline
from revalexo_clip.reports.conclusions.verdict import Answer, Verdict, against, decide, share
from revalexo_clip.reports.values import (
    NONE,
    Measured,
    child,
    children,
    measured,
    number,
    object_of,
    points,
    undecidable_probe,
    when,
    within,
    written,
    written_interval,
)

NO_DIFFERENCE = "No significant difference (corrected for the number of comparisons)"

MIN_GAP_CLOSED = 0.5
"""A green answer needs this share of the gap between the untrained and the supervised network."""


def feature_verdicts(metrics: JsonObject) -> Iterator[Verdict]:
    """Yield the headline conclusions; none without a probe, or if it could not tell activities apart."""
    probe = metrics["probe"]
    if not isinstance(probe, dict) or undecidable_probe(probe):
        return
    if isinstance(probe["gap_closed"], dict):
        yield _gap(probe)
    yield _few_labels(probe)
    yield _transitions(probe)


def _gap(probe: JsonObject) -> Verdict:
    question = "How much of what labels teach does pretraining teach without them?"
    found = child(probe, "gap_closed")
    scores = {name: measured(_first(probe, name), "macro_f1") for name in ("imu", "imu_untrained", "imu_supervised")}
    reasons = (
        f"Macro F1 of a linear probe on unseen subjects: {share(scores['imu'])} with features of the pretrained "
        f"network, {share(scores['imu_untrained'])} untrained, {share(scores['imu_supervised'])} trained on all labels."
    )
    if reason := object_of(found["reason"])["macro_f1"]:
        return Verdict(question, "open", "Not known", f"{reasons} The gap has no share, because {reason}.")
    closed = measured(found, "macro_f1")
    return Verdict(question, *of_gap(closed), reasons)


def of_gap(closed: Measured) -> tuple[Answer, str]:
    """Return whether pretraining closes a significant share of the gap, and at least `MIN_GAP_CLOSED` of it."""
    ends = "" if closed.interval is None else f" [{written_interval('share', closed.interval)}]"
    short = f"{written('share', closed.value)}{ends} of the gap between the untrained and the supervised network"
    answer = against(closed, 0.0)
    if answer == "yes" and (closed.value or 0.0) < MIN_GAP_CLOSED:
        answer = "open"
    return answer, short


def _few_labels(probe: JsonObject) -> Verdict:
    question = "Are its features worth more where labels are few?"
    fewest, single, _ = headline.columns(probe)
    gained = {
        f"{over}, {column}": headline.gains(probe, key)[place]
        for place, column in enumerate((fewest, single))
        for key, over in headline.OVER.items()
    }
    windows = children(probe, "few_labels", "imu")[0]["windows"]
    reasons = (
        f"Macro F1 of a linear probe {_when(probe)}. With {fewest} ({windows} windows): {_against(probe, 0)}. With the "
        f"labels of one subject: {_against(probe, 1)}."
    )
    return Verdict(question, *of_differences(gained), reasons)


def _transitions(probe: JsonObject) -> Verdict:
    question = "Are they worth more in transitions?"
    windows = child(_of_horizon(probe, "imu"), "transition")["windows"]
    if not windows:
        return Verdict(question, "open", "Not known", f"No window is in a transition {_when(probe)}.")
    gained = {over: headline.gains(probe, key)[2] for key, over in headline.OVER.items()}
    reasons = f"Macro F1 of the {windows} windows in a transition {_when(probe)}: {_against(probe, 2)}."
    return Verdict(question, *of_differences(gained), reasons)


def of_differences(gained: Mapping[str, Measured]) -> tuple[Answer, str]:
    """Return whether pretrained features are significantly better than all baselines, which are the keys.

    Significance is corrected for the number of differences, see `decide`.
    """
    answers = decide(gained)
    better, worse = ([name for name, answer in answers.items() if answer == wanted] for wanted in ("yes", "no"))
    if len(better) == len(answers):
        return "yes", "Yes: better than untrained and than handcrafted features"
    if worse:
        least = f"worse than {' and '.join(worse)}"
        return ("open", f"Mixed: {least}") if better else ("no", f"No: {least}")
    if better:
        return "open", f"In part: better than {' and '.join(better)}; other differences are not significant"
    return "open", NO_DIFFERENCE


def _against(probe: JsonObject, place: int) -> str:
    """Return the score of the pretrained features, those of the baselines, and the differences, of a column."""
    ours = headline.figures(probe, "imu")[place]
    others = []
    for key, name in headline.OVER.items():
        feature = "imu_untrained" if name == "untrained" else name
        gained = headline.gains(probe, key)[place]
        change = NONE if gained.value is None else f"{points(gained.value)} {within('macro_f1', gained.interval)}"
        others.append(f"{name} {written('macro_f1', headline.figures(probe, feature)[place].value)} ({change.strip()})")
    return f"pretrained {written('macro_f1', ours.value)}, {', '.join(others)}"


def _when(probe: JsonObject) -> str:
    return when(number(_of_horizon(probe, "imu")["horizon"]))


def _of_horizon(probe: JsonObject, name: str) -> JsonObject:
    return children(probe, "linear", name)[0]


def _first(probe: JsonObject, name: str) -> JsonObject:
    return child(_of_horizon(probe, name), "all")
