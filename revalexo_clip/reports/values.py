"""Figures as `metrics.json` holds them, and as text: the same names and the same digits everywhere on the page.

Results, read from the JSON that holds them, as reports write them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.galleries import ACTIVITY, SUBJECT, WHOLE

RETRIEVAL = {"r_at_1": "R@1", "r_at_5": "R@5", "r_at_10": "R@10", "mrr": "MRR", "median_rank": "median rank"}


_F1 = {"macro_f1": "macro F1", "weighted_f1": "weighted F1"}


SCORES = {"accuracy": "accuracy", **_F1}


RECOGNITION = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", **_F1}


SETS = {"all": "all windows", "steady": "in a steady state", "transition": "in a transition"}


DIRECTIONS = {"imu_to_video": "IMU → video", "video_to_imu": "video → IMU"}


GALLERIES = {WHOLE: "all windows", SUBJECT: "same subject", ACTIVITY: "same subject and activity"}


FEATURES = {
    "imu": "IMU, pretrained",
    "imu_untrained": "IMU, untrained",
    "handcrafted": "IMU, handcrafted",
    "video": "video",
    "both": "IMU and video",
}


MODALITIES = {"imu": "IMU", "video": "video"}


PROBES = {"linear": "a linear probe", "knn": "nearest neighbours"}


BASELINES = {"over_untrained": "the same encoder untrained", "over_handcrafted": "handcrafted features"}


NONE = "\N{EN DASH}"
"""In place of a figure that there is not, and between the ends of an interval."""


MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Measured:
    """A measured value, and where it would lie with other clips of the same people in 95 cases of 100."""

    value: float | None
    interval: tuple[float, float] | None = None

    def may_be(self, other: float) -> bool:
        """Whether the interval does not leave another value out."""
        return self.interval is None or self.interval[0] <= other <= self.interval[1]


def measured(found: JsonObject, name: str) -> Measured:
    """The figure of that name among others, with its interval where it has one."""
    intervals = found.get("interval")
    ends = intervals.get(name) if isinstance(intervals, dict) else None
    return Measured(number(found[name]), (_end(ends[0]), _end(ends[1])) if isinstance(ends, list) else None)


def number(value: JsonValue) -> float | None:
    """A number, or None for null."""
    assert value is None or isinstance(value, int | float)
    return None if value is None else float(value)


def _end(value: JsonValue) -> float:
    assert isinstance(value, int | float)
    return float(value)


def child(found: JsonObject, *names: str) -> JsonObject:
    """The object under a path of names."""
    for name in names:
        inner = found[name]
        assert isinstance(inner, dict)
        found = inner
    return found


def children(found: JsonObject, *names: str) -> list[JsonObject]:
    """The objects of the list under a path of names."""
    *path, last = names
    listed = child(found, *path)[last]
    assert isinstance(listed, list)
    return [item for item in listed if isinstance(item, dict)]


def written(name: str, value: float | None) -> str:
    """A figure as text: shares in percent, MRR with three decimals, ranks with one."""
    if value is None:
        return NONE
    if name == "mrr":
        return f"{value:.3f}"
    return f"{value:.1f}" if name == "median_rank" else f"{100 * value:.1f}%"


def written_interval(name: str, interval: tuple[float, float] | None) -> str:
    """An interval as text, in the figure's unit; empty where there is none."""
    if interval is None:
        return ""
    scale, digits = {"mrr": (1, 3), "median_rank": (1, 1)}.get(name, (100, 1))
    return NONE.join(f"{scale * end:.{digits}f}" for end in interval)


def points(value: float) -> str:
    """A difference of shares in percentage points, signed."""
    return f"{100 * value:+.1f}".replace("-", MINUS)


def written_difference(name: str, value: float | None) -> str:
    """A difference of figures as text, signed: shares in percentage points."""
    if value is None:
        return NONE
    if name in {"mrr", "median_rank"}:
        return f"{value:+.{3 if name == 'mrr' else 1}f}".replace("-", MINUS)
    return points(value)


def within(name: str, interval: tuple[float, float] | None) -> str:
    """The interval of a difference in brackets, in its unit; empty where there is none."""
    return "" if interval is None else f"[{', '.join(written_difference(name, end) for end in interval)}]"


def first_horizon(probe: JsonObject) -> float:
    """The horizon that most is said about [s]."""
    return number(children(probe, "linear", "imu")[0]["horizon"]) or 0.0


def horizon_text(seconds: float) -> str:
    """A prediction horizon."""
    return f"{seconds:g} s"


def object_of(value: JsonValue) -> JsonObject:
    """What is known to be an object."""
    assert isinstance(value, dict)
    return value


def list_of(value: JsonValue) -> list[JsonValue]:
    """What is known to be a list."""
    assert isinstance(value, list)
    return value


def percent(value: JsonValue) -> str:
    """A share as `12.3%`; a dash where it was not measured."""
    return "-" if value is None else f"{100 * float(str(value)):.1f}%"


def seconds(value: JsonValue) -> str:
    """A horizon [s] as `0.5 s`."""
    return f"{float(str(value)):g} s"


def shown_galleries(metrics: JsonObject) -> list[str]:
    """Those that differ: of a single person, all windows are those of the same subject."""
    several = len(child(metrics, "subjects")) > 1
    return [name for name in GALLERIES if metrics[name] is not None and (several or name != SUBJECT)]


TITLES = RETRIEVAL | SCORES


SIGNIFICANT = {"better": "▲", "worse": "▼", "same": "="}
"""Marks of what is settled; the rest has none."""
