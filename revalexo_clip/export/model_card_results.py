"""The results in a model card: retrieval and linear probe, and the subjects they were measured on."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.values import object_of

PROBE = "linear_probe"
"""Entry of an encoder's results, see `probe_summary`."""

PROBE_SCORES = {"macro_f1": "macro F1", "weighted_f1": "weighted F1", "accuracy": "accuracy"}
"""Scores of the linear probe, and their names in text."""

_COLUMNS: dict[str, Callable[[float], str]] = {
    **{f"r_at_{k}": "{:.1%}".format for k in (1, 5, 10)},
    "mrr": "{:.3f}".format,
    "median_rank": "{:.1f}".format,
}
"""Retrieval metrics and their formats."""

_USES = {"train": "training", "val": "validation", "new": "test"}
"""Kinds of subjects that were evaluated: used in training, used for model selection, or neither."""


def retrieval_section(metrics: JsonObject | None) -> str:
    """Write the results of an evaluation, None if there was none: subjects, metrics and chance."""
    if metrics is None:
        return (
            "Not evaluated: there were no results of `rxclip evaluate` on its own test subjects when it was exported."
        )
    retrieval = metrics["retrieval"]
    assert isinstance(retrieval, dict)
    rows = [
        f"| {title} | {' | '.join(_cell(object_of(retrieval[key]), name) for name in _COLUMNS)} |"
        for title, key in (("IMU to video", "imu_to_video"), ("video to IMU", "video_to_imu"), ("chance", "chance"))
    ]
    intervals = any(_interval(figures, name) for figures in retrieval.values() for name in _COLUMNS)
    return (
        f"Among {retrieval['gallery_size']} windows of {evaluated_subjects(metrics)}"
        f"{', with 95% intervals over clips' if intervals else ''}:\n\n"
        "| | R@1 | R@5 | R@10 | MRR | median rank |\n| --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + leakage_note(metrics)
    )


def probe_summary(probe: JsonValue, features: str) -> JsonObject | None:
    """Return the scores of the linear probe on some features at the first horizon, from `probe` of `metrics.json`.

    None if there was no probe, or no window that it could be tested on.
    """
    if not isinstance(probe, dict):
        return None
    horizons = object_of(probe["linear"]).get(features)
    if not isinstance(horizons, list) or not horizons:
        return None
    first = object_of(horizons[0])
    scores = object_of(first["all"])
    if not scores["windows"]:
        return None
    names = ("windows", *PROBE_SCORES, "interval")
    return {
        "protocol": probe["protocol"],
        "tested_on": probe["tested_on"],
        "horizon": first["horizon"],
        **{name: scores[name] for name in names},
    }


def probe_section(summary: JsonObject) -> str:
    """Write the scores of the linear probe, see `probe_summary`."""
    subjects = summary["tested_on"]
    assert isinstance(subjects, list)
    how = "trained on the others" if summary["protocol"] == "leave_one_subject_out" else "trained on training subjects"
    rows = [f"| {title} | {_score(summary, name)} |" for name, title in PROBE_SCORES.items()]
    return (
        f"Activities of {summary['windows']} windows of {', '.join(map(str, subjects))}, {summary['horizon']:g} s "
        f"after the end of the window, predicted from frozen features by a linear probe that was {how}; with 95% "
        "intervals if there are any:\n\n| | linear probe |\n| --- | --- |\n" + "\n".join(rows)
    )


def _score(summary: JsonObject, name: str) -> str:
    value, ends = summary[name], _interval(summary, name)
    if not isinstance(value, int | float):
        return "-"
    shown = " to ".join(f"{end:.3f}" for end in ends if isinstance(end, int | float))
    return f"{value:.3f}" + (f" ({shown})" if shown else "")


def seen_subjects(metrics: JsonObject) -> list[str]:
    """Return the evaluated subjects that were used in training or model selection."""
    return [name for use, names in _by_use(metrics).items() if use != "new" for name in names]


def _by_use(metrics: JsonObject) -> dict[str, list[str]]:
    """Sort the evaluated subjects by their use in training, with the keys of `_USES`."""
    subjects, seen = object_of(metrics["subjects"]), object_of(metrics["seen"] or {})
    by_use: dict[str, list[str]] = {use: [] for use in _USES}
    for name in subjects:
        use = next(
            (use for use in ("train", "val") if isinstance(known := seen.get(use), list) and name in known), "new"
        )
        by_use[use].append(name)
    return {use: names for use, names in by_use.items() if names}


def evaluated_subjects(metrics: JsonObject) -> str:
    """Return the evaluated subjects with their use in training."""
    if metrics["seen"] is None:
        return f"{', '.join(object_of(metrics['subjects']))} (whether training used them is not known)"
    by_use = _by_use(metrics)
    return " and ".join(
        f"{', '.join(names)} ({_USES[use]} subject{'s' if len(names) > 1 else ''})" for use, names in by_use.items()
    )


def leakage_note(metrics: JsonObject) -> str:
    """Return a warning if subjects were evaluated that were used in training or model selection."""
    by_use = _by_use(metrics)
    seen = [name for use, names in by_use.items() if use != "new" for name in names]
    if not seen:
        return ""
    verb = "was" if len(seen) == 1 else "were"
    return (
        f"\n\n**{', '.join(seen)} {verb} used in training or model selection, so these results do not measure "
        "generalisation.**"
    )


def _cell(figures: JsonObject, name: str) -> str:
    """Format a metric with its interval, if there is one."""
    shown = " to ".join(_number(name, end) for end in _interval(figures, name))
    return _number(name, figures[name]) + (f" ({shown})" if shown else "")


def _interval(figures: JsonValue, name: str) -> list[JsonValue]:
    """Return the ends of the interval, or nothing if there is none."""
    intervals = figures.get("interval") if isinstance(figures, dict) else None
    ends = intervals.get(name) if isinstance(intervals, dict) else None
    return ends if isinstance(ends, list) else []


def _number(name: str, value: JsonValue) -> str:
    assert isinstance(value, int | float)
    return _COLUMNS[name](value)
