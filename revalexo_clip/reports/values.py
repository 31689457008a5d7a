"""Results as `metrics.json` holds them, and as text: the same names and the same digits in every report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.between_subjects import LEAST_SUBJECTS
from revalexo_clip.metrics.galleries import ACTIVITY, CLIP, SUBJECT, WHOLE

RETRIEVAL = {"r_at_1": "R@1", "r_at_5": "R@5", "r_at_10": "R@10", "mrr": "MRR", "median_rank": "median rank"}
_F1 = {"macro_f1": "macro F1", "weighted_f1": "weighted F1"}
SCORES = {"accuracy": "accuracy", **_F1}
CLASSIFICATION = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", **_F1}
TITLES = RETRIEVAL | SCORES
SETS = {"all": "all windows", "steady": "steady state", "transition": "transitions"}
DIRECTIONS = {"imu_to_video": "IMU → video", "video_to_imu": "video → IMU"}
GALLERIES = {
    WHOLE: "all windows",
    SUBJECT: "same subject",
    ACTIVITY: "same subject and activity",
    CLIP: "same clip",
}
FEATURES = {
    "imu": "IMU, pretrained",
    "imu_untrained": "IMU, untrained",
    "handcrafted": "IMU, handcrafted",
    "imu_supervised": "IMU, supervised",
    "video": "video",
    "both": "IMU and video",
}
MODALITIES = {"imu": "IMU", "video": "video"}
IMU_ALONE = "IMU alone: the encoder was pretrained without video, so there is no retrieval."
PROBES = {"linear": "linear probe", "knn": "nearest neighbours"}
BASELINES = {"over_untrained": "the same encoder untrained", "over_handcrafted": "handcrafted features"}

SIGNIFICANT = {"better": "▲", "worse": "▼", "same": "="}
"""Marks of significant differences; the others have none."""
NOT_SIGNIFICANT = "not significant"
NO_INTERVALS = "No difference can be called significant, because there are no intervals"
CORRECTED = "Marks are of single results; the answers in words are corrected for the number of comparisons."

NONE = "\N{EN DASH}"
"""Shown instead of a missing value, and between the ends of an interval."""
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Measured:
    """A measured value and its 95% interval, which says how it would vary with other moments of the same subjects."""

    value: float | None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    """Of a difference: the smallest error probability at which its interval does not contain zero."""

    def may_be(self, other: float) -> bool:
        """Return whether the interval includes another value; true if there is no interval."""
        return self.interval is None or self.interval[0] <= other <= self.interval[1]


def measured(found: JsonObject, name: str) -> Measured:
    """Return the value of that name, with its interval and p-value if it has them."""
    intervals, p_values = found.get("interval"), found.get("p_value")
    ends = intervals.get(name) if isinstance(intervals, dict) else None
    p_value = number(p_values.get(name)) if isinstance(p_values, dict) else None
    return Measured(number(found[name]), (_end(ends[0]), _end(ends[1])) if isinstance(ends, list) else None, p_value)


def mean_of_subjects(found: JsonObject, name: str) -> Measured | None:
    """Return the mean over subjects of that name, with its 95% interval for other subjects; None if there is none."""
    between = found["between_subjects"]
    if not isinstance(between, dict):
        return None
    one = child(between, name)
    ends = one["interval"]
    return Measured(number(one["mean"]), (_end(ends[0]), _end(ends[1])) if isinstance(ends, list) else None)


def resampled_text(metrics: JsonObject) -> str:
    """Return where 95% intervals come from and what they say: `from resampled recordings. They say how ...`."""
    return (
        f"from resampled {metrics['interval_unit']}. They say how results would vary with other moments of the same "
        "subjects, not with other subjects"
    )


def interval_note(metrics: JsonObject) -> str:
    """Return what 95% intervals say, or why there are none."""
    if metrics["interval_reason"] is not None:
        return f"There are no intervals: {metrics['interval_reason']}. {ONLY_EXACT}"
    return f"95% intervals are {resampled_text(metrics)}. {EXACT}"


NO_MACRO_F1 = "A macro F1 has no interval if an activity occurs in too few recordings or blocks of them."
EXACT = "Results of exactly 0% or 100% have exact bounds."
ONLY_EXACT = "Only results of exactly 0% or 100% have exact bounds."


SUBJECT_INTERVALS = (
    "The mean of subjects weights each subject equally. Its 95% interval is a t interval over the figures of the "
    "single subjects: it says how the mean would vary with other subjects. All other intervals say how results would "
    "vary with other moments of the same subjects."
)
SUBJECT_DIFFERENCES = (
    f"with {LEAST_SUBJECTS} or more, the 95% interval of the mean difference is a t interval over the subjects."
)
FEW_OR_SAME = "there is too little data, or the difference is the same in all resamples"
"""Why a difference has no interval."""


def few_units(metrics: JsonObject) -> str:
    """Return why a result has no interval."""
    return f"it is from too few {metrics['interval_unit']}"


TOO_FEW_SUBJECTS = f"With fewer than {LEAST_SUBJECTS} subjects there is no interval for other subjects."


UNTRAINED = "not in training"
"""Said of an activity that no training window has, so that no window of it can be classified correctly."""


def never_trained(metrics: JsonObject) -> list[str]:
    """Return the activities that are not in training; none if that is not known."""
    found = metrics["never_trained"]
    return [str(name) for name in found] if isinstance(found, list) else []


def marked(activity: str, untrained: Sequence[str]) -> str:
    """Return an activity, with a remark if it is not in training."""
    return f"{activity}, {UNTRAINED}" if activity in untrained else activity


def nothing_trained(found: JsonObject) -> bool:
    """Return whether no activity of the measured windows is in training."""
    return bool(found.get("windows")) and found.get("not_in_training") == found["windows"]


def untrained_note(found: JsonObject) -> str:
    """Return a sentence on the activities that are not in training; empty if all are."""
    names = never_trained(found)
    return f"{UNTRAINED.capitalize()}: {', '.join(names)}. All their test windows count as errors." if names else ""


def number(value: JsonValue) -> float | None:
    """Return a number, or None for null."""
    assert value is None or isinstance(value, int | float)
    return None if value is None else float(value)


def _end(value: JsonValue) -> float:
    assert isinstance(value, int | float)
    return float(value)


def child(found: JsonObject, *names: str) -> JsonObject:
    """Return the object under a path of names."""
    for name in names:
        inner = found[name]
        assert isinstance(inner, dict)
        found = inner
    return found


def children(found: JsonObject, *names: str) -> list[JsonObject]:
    """Return the objects of the list under a path of names."""
    *path, last = names
    listed = child(found, *path)[last]
    assert isinstance(listed, list)
    return [item for item in listed if isinstance(item, dict)]


def written(name: str, value: float | None) -> str:
    """Format a value: shares in percent, MRR with three decimals, ranks with one."""
    if value is None:
        return NONE
    if name == "mrr":
        return f"{value:.3f}"
    return f"{value:.1f}" if name == "median_rank" else f"{100 * value:.1f}%"


def written_interval(name: str, interval: tuple[float, float] | None) -> str:
    """Format an interval in the unit of its value; empty if there is none."""
    if interval is None:
        return ""
    scale, digits = {"mrr": (1, 3), "median_rank": (1, 1)}.get(name, (100, 1))
    return NONE.join(f"{scale * end:.{digits}f}" for end in interval)


def points(value: float) -> str:
    """Format a difference of shares in percentage points, signed."""
    return f"{100 * value:+.1f}".replace("-", MINUS)


def written_difference(name: str, value: float | None) -> str:
    """Format a difference, signed: shares in percentage points."""
    if value is None:
        return NONE
    if name in {"mrr", "median_rank"}:
        return f"{value:+.{3 if name == 'mrr' else 1}f}".replace("-", MINUS)
    return points(value)


def within(name: str, interval: tuple[float, float] | None) -> str:
    """Format the interval of a difference in brackets, in its unit; empty if there is none."""
    return "" if interval is None else f"[{', '.join(written_difference(name, end) for end in interval)}]"


def is_imu_alone(metrics: JsonObject) -> bool:
    """Return whether an encoder was evaluated that was pretrained without video."""
    return metrics[WHOLE] is None


def first_horizon(probe: JsonObject) -> float:
    """Return the first prediction horizon of a probe [s]."""
    return number(children(probe, "linear", "imu")[0]["horizon"]) or 0.0


def probed_features(probe: JsonObject) -> dict[str, str]:
    """Return the titles of the features that were probed: there may be no video, and no supervised reference."""
    return {name: title for name, title in FEATURES.items() if name in child(probe, "linear")}


def single_activity_warning(probe: JsonObject) -> str:
    """Return a warning if a probe was tested on a single activity; otherwise an empty text."""
    names = list_of(probe["activities"])
    rows = list_of(children(probe, "confusion")[0]["windows"])
    tested = [str(name) for name, row in zip(names, rows, strict=True) if any(list_of(row))]
    if len(tested) != 1:
        return ""
    return f"All windows are {tested[0]}: the probe does not say whether activities are distinguished."


def undecidable_probe(probe: JsonObject) -> str:
    """Return why the results of a probe answer no question; empty if they do."""
    if nothing_trained(child(children(probe, "linear", "imu")[0], "all")):
        return f"The activities of all tested windows are {UNTRAINED}: {', '.join(never_trained(probe))}."
    return single_activity_warning(probe)


def horizon_text(seconds: JsonValue) -> str:
    """Format a prediction horizon [s] as `0.5 s`."""
    return f"{number(seconds) or 0.0:g} s"


def when(seconds: JsonValue) -> str:
    """Return to which moment a prediction horizon [s] refers, in words."""
    return f"{horizon_text(seconds)} after the end of the window" if number(seconds) else "at the end of the window"


def object_of(value: JsonValue) -> JsonObject:
    """Return a value that is known to be an object."""
    assert isinstance(value, dict)
    return value


def list_of(value: JsonValue) -> list[JsonValue]:
    """Return a value that is known to be a list."""
    assert isinstance(value, list)
    return value


def number_at(found: JsonValue, path: Sequence[str | int]) -> float | None:
    """Return the number at a path of names and indices; None if there is none."""
    for key in path:
        if isinstance(found, dict) and isinstance(key, str):
            found = found.get(key)
        elif isinstance(found, list) and isinstance(key, int) and 0 <= key < len(found):
            found = found[key]
        else:
            return None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def percent(value: JsonValue) -> str:
    """Format a share as `12.3%`; a hyphen if it was not measured."""
    return "-" if value is None else f"{100 * float(str(value)):.1f}%"


def shown_galleries(metrics: JsonObject) -> list[str]:
    """Return the galleries that differ: with a single subject, `all windows` and `same subject` are the same."""
    several = len(child(metrics, "subjects")) > 1
    return [name for name in GALLERIES if metrics[name] is not None and (several or name != SUBJECT)]
