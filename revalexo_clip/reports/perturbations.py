"""Names of perturbations, and notes on those that were not measured, for every report of robustness."""

from __future__ import annotations

from collections.abc import Iterator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.robustness import EARLY, LATE, MEAN, MISSING, SLOW, TURNED, WORST
from revalexo_clip.reports.values import child, children, number


def title(one: JsonObject, robustness: JsonObject) -> str:
    """Return a perturbation in words: `without Pelvis`, `IMU 100 ms late`."""
    return f"without {one['sensor']}" if one["name"] == MISSING else _titles(robustness)[str(one["name"])]


def _titles(robustness: JsonObject) -> dict[str, str]:
    shift = f"{1000 * (number(robustness['shift']) or 0.0):g} ms"
    return {
        MISSING: "a sensor missing",
        MEAN: "a sensor missing, mean",
        WORST: "a sensor missing, worst",
        TURNED: f"sensors turned by {number(robustness['angle']) or 0.0:g}°",
        LATE: f"IMU {shift} late",
        EARLY: f"IMU {shift} early",
        SLOW: "half the sampling rate",
    }


def as_recorded(robustness: JsonObject) -> JsonObject:
    """Return the figures of all windows as recorded."""
    return child(next(one for one in children(robustness, "perturbations") if one["name"] == SLOW), "clean")


def notes(robustness: JsonObject) -> Iterator[str]:
    """Yield which perturbations left windows out, and which were impossible."""
    perturbations = children(robustness, "perturbations")
    most = max((number(one["windows"]) or 0.0 for one in perturbations), default=0.0)
    for one in perturbations:
        if (count := number(one["windows"]) or 0.0) < most:
            yield (
                f"{title(one, robustness)}: {count:.0f} of {most:.0f} windows stay inside their recording; differences "
                "are those to the same windows as recorded."
            )
    for name, reason in child(robustness, "reason").items():
        yield f"{_titles(robustness)[name]}: not measured, because {reason}."
