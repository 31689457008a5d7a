"""Conclusions of a comparison of checkpoints: which differences are significant.

Of many differences some are significant by chance. So each question is decided by two results that are always the same:
for retrieval the MRR in both directions, which depends on all ranks; for features the weighted F1 of both probes, whose
intervals can be trusted with few recordings, unlike those of the macro F1. And significance is corrected for the number
of results that decide the question, two for each checkpoint but the first: if no checkpoint differs from the first, the
probability that an answer says so of any of them is at most 5%.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import ACTIVITY, CLIP, SUBJECT, WHOLE
from revalexo_clip.metrics.paired_differences import COMPARED
from revalexo_clip.reports.conclusions.verdict import decide
from revalexo_clip.reports.values import (
    DIRECTIONS,
    GALLERIES,
    PROBES,
    child,
    children,
    measured,
    nothing_trained,
    shown_galleries,
    untrained_note,
)

Answer = Literal["better", "in part better", "worse", "in part worse", "mixed", "the same", "not significant"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
FEATURES = {"imu": "IMU features", "video": "video features", "both": "IMU and video features"}

_ASKED = {
    WHOLE: "Which one finds the matching window more often?",
    SUBJECT: "And among windows of the same subject?",
    ACTIVITY: "And among windows of the same subject and activity?",
    CLIP: "Which one finds the moment, not only the clip?",
    "imu": "Which IMU features predict the activity better?",
    "video": "Which video features?",
    "both": "Which IMU and video features together?",
}

Place = Callable[[JsonObject], JsonObject]
"""Where a result is, among the results of a checkpoint as well as of a difference."""


def in_gallery(gallery: str, direction: str) -> Place:
    """Return the place of retrieval in one gallery and direction."""
    return lambda found: child(found, gallery, direction)


def of_probe(probe: str, name: str) -> Place:
    """Return the place of a probe of some features, at the first horizon and over all windows."""
    return lambda found: child(children(found, "probe", probe, name)[0], "all")


@dataclass(frozen=True)
class Question:
    """A question, and the results that decide it."""

    title: str
    """Subject of the question in a few words."""
    asked: str
    figure: str
    """Name of the deciding result."""
    places: Mapping[str, Place]
    """Where that result is found, by what it measures."""

    def answers(self, differences: Sequence[JsonObject]) -> list[Answer]:
        """Return for each checkpoint but the first which of its differences to it are significant."""
        gained = {
            (number, title): measured(place(difference), self.figure)
            for number, difference in enumerate(differences)
            for title, place in self.places.items()
        }
        decided = decide(gained)
        words = {"yes": "better", "no": "worse"}

        def significance(number: int, title: str) -> JsonValue:
            found = child(self.places[title](differences[number]), "significant")[self.figure]
            return found if found == "same" else words.get(decided[number, title])

        return [answer_of([significance(number, title) for title in self.places]) for number in range(len(differences))]


def answer_of(significant: Sequence[JsonValue]) -> Answer:
    """Return the answer from the significance of two results."""
    better, worse = "better" in significant, "worse" in significant
    if better and worse:
        return "mixed"
    if better:
        return "better" if set(significant) == {"better"} else "in part better"
    if worse:
        return "worse" if set(significant) == {"worse"} else "in part worse"
    return "the same" if set(significant) == {"same"} else "not significant"


def questions(metrics: JsonObject) -> list[Question]:
    """Return all questions about a comparison."""
    first, *_ = children(metrics, "checkpoints")
    found = [
        Question(
            GALLERIES[gallery],
            _ASKED[gallery],
            "mrr",
            {arrow: in_gallery(gallery, direction) for direction, arrow in DIRECTIONS.items()},
        )
        for gallery in shown_galleries(first)
    ]
    if is_probed(metrics) and not any(map(_learned_nothing, children(metrics, "checkpoints"))):
        found += [
            Question(
                FEATURES[name],
                _ASKED[name],
                "weighted_f1",
                {title: of_probe(probe, name) for probe, title in PROBES.items()},
            )
            for name in COMPARED
        ]
    return found


def is_probed(metrics: JsonObject) -> bool:
    """Return whether probes of all checkpoints can be compared."""
    return all(isinstance(one["probe"], dict) for one in children(metrics, "differences"))


def _learned_nothing(checkpoint: JsonObject) -> bool:
    """Return whether the probe of a checkpoint was tested on activities only that are not in its training."""
    return nothing_trained(of_probe("linear", "imu")(checkpoint))


def training_notes(metrics: JsonObject) -> list[str]:
    """Return sentences on activities that are not in the training of the probes."""
    if not is_probed(metrics):
        return []
    told: dict[str, list[str]] = {}
    checkpoints = children(metrics, "checkpoints")
    for one in checkpoints:
        if note := untrained_note(child(one, "probe")):
            told.setdefault(note, []).append(str(one["letter"]))
    return [f"Probes of {', '.join(letters)}: {note[0].lower()}{note[1:]}" for note, letters in told.items()]


def summaries(metrics: JsonObject) -> list[str]:
    """Return all answers on each checkpoint but the first in a line: `better: all windows; not significant: ...`."""
    differences = children(metrics, "differences")
    answers = {question.title: question.answers(differences) for question in questions(metrics)}
    return [
        "; ".join(
            f"{answer}: {', '.join(titles)}"
            for answer in ANSWERS
            if (titles := [title for title, given in answers.items() if given[number] == answer])
        )
        for number in range(len(differences))
    ]
