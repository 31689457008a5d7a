"""What one wants to know of two checkpoints, and the answers that their differences have settled.

Of many differences some leave zero out by chance. So each question is decided by two figures that are always the same
ones: for retrieval the MRR, which counts all ranks, in both directions; for features the weighted F1 by both probes,
whose intervals can be trusted with few clips, unlike those of the macro F1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import ACTIVITY, SUBJECT, WHOLE
from revalexo_clip.metrics.paired_differences import COMPARED
from revalexo_clip.reports.values import DIRECTIONS, GALLERIES, PROBES, child, children, shown_galleries

Answer = Literal["better", "in part better", "worse", "in part worse", "mixed", "the same", "not settled"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
FEATURES = {"imu": "IMU features", "video": "video features", "both": "features of both"}

_ASKED = {
    WHOLE: "Which finds the partner of a window more often?",
    SUBJECT: "And among windows of the same person?",
    ACTIVITY: "Which knows the moment, not only the activity?",
    "imu": "Whose IMU features know more of the activity?",
    "video": "Whose video features do?",
    "both": "And IMU and video together?",
}

Place = Callable[[JsonObject], JsonObject]
"""Where a figure is, among those of a checkpoint and among those of a difference alike."""


def in_gallery(gallery: str, direction: str) -> Place:
    """Retrieval in one gallery and direction."""
    return lambda found: child(found, gallery, direction)


def of_probe(probe: str, name: str) -> Place:
    """What a probe finds in features at the first horizon, over all windows."""
    return lambda found: child(children(found, "probe", probe, name)[0], "all")


@dataclass(frozen=True)
class Question:
    """Something to know, and the figures that decide it."""

    title: str
    """In a few words what it is about."""
    asked: str
    figure: str
    """The name of the deciding figure,"""
    places: Mapping[str, Place]
    """and where it is to be found, under what it is of."""

    def answer(self, difference: JsonObject) -> Answer:
        """What is settled of one checkpoint beside the first."""
        return answer_of([child(place(difference), "significant")[self.figure] for place in self.places.values()])


def answer_of(settled: Sequence[JsonValue]) -> Answer:
    """The answer that two figures give together."""
    better, worse = "better" in settled, "worse" in settled
    if better and worse:
        return "mixed"
    if better:
        return "better" if set(settled) == {"better"} else "in part better"
    if worse:
        return "worse" if set(settled) == {"worse"} else "in part worse"
    return "the same" if set(settled) == {"same"} else "not settled"


def questions(metrics: JsonObject) -> list[Question]:
    """All that can be asked of a comparison."""
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
    if is_probed(metrics):
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
    """Whether probes of all checkpoints can be compared."""
    return all(isinstance(one["probe"], dict) for one in children(metrics, "differences"))


def summary(metrics: JsonObject, difference: JsonObject) -> str:
    """All answers in a line: `better: all windows; not settled: same subject, IMU features`."""
    answers = {question.title: question.answer(difference) for question in questions(metrics)}
    return "; ".join(
        f"{answer}: {', '.join(titles)}"
        for answer in ANSWERS
        if (titles := [title for title, given in answers.items() if given == answer])
    )
