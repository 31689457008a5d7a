"""Conclusions of a sweep: which setting is best, and whether it is better than the first one."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.conclusions.verdict import Answer, Verdict, decide
from revalexo_clip.reports.values import (
    MINUS,
    NONE,
    NOT_SIGNIFICANT,
    Measured,
    child,
    children,
    list_of,
    number,
    written,
    written_difference,
)

FEW_SEEDS = "Differences have intervals only with two seeds or more (--seeds 3)."
SEED_INTERVALS = (
    "Differences are paired by seed. Their 95% intervals are t intervals over seeds: they say how differences would "
    "vary if the trainings were repeated with other seeds, not with other moments or subjects."
)
TEST_INTERVALS = (
    "Intervals of test results are paired bootstrap intervals over time: they say how differences would vary with "
    "other moments of the same subjects, not with other seeds or subjects."
)
CHOSEN_ON_TEST = (
    "The metric is a result on test subjects: that of the best of several settings is too high. Choose a setting by "
    "validation subjects to report its test result."
)


def figure(sweep: JsonObject, value: JsonValue) -> str:
    """Format a value of the sweep's metric."""
    found = number(value)
    if found is not None and _is_loss(sweep):
        return f"{found:.4f}"
    return written(_last(sweep), found)


def gain(sweep: JsonObject, value: float | None) -> str:
    """Format a difference of the sweep's metric, signed."""
    if value is not None and _is_loss(sweep):
        return f"{value:+.4f}".replace("-", MINUS)
    return written_difference(_last(sweep), value)


def interval(sweep: JsonObject, found: Measured) -> str:
    """Format the interval of a difference; empty if there is none."""
    return "" if found.interval is None else ", ".join(gain(sweep, end) for end in found.interval)


def deviation(sweep: JsonObject, value: JsonValue) -> str:
    """Format a standard deviation of the sweep's metric."""
    return NONE if value is None else figure(sweep, value).removesuffix("%")


def _last(sweep: JsonObject) -> str:
    return str(sweep["metric"]).rpartition("/")[2]


def _is_loss(sweep: JsonObject) -> bool:
    return _last(sweep) == "loss"


def columns(sweep: JsonObject) -> dict[str, str]:
    """Return short titles of the fields of the grid, by dotted path: `lr` for `optim.lr`, `imu` for `imu.type`."""
    paths = list(child(sweep, "grid"))
    short = [path.removesuffix(".type").rpartition(".")[2] for path in paths]
    return {path: name if short.count(name) == 1 else path for path, name in zip(paths, short, strict=True)}


def about(sweep: JsonObject) -> str:
    """Return the size of a sweep and its metric: `2 settings, 3 seeds: val/loss, less is better`."""
    settings, seeds = (
        counted(len(children(sweep, "settings")), "setting"),
        counted(len(list_of(sweep["seeds"])), "seed"),
    )
    better = "more" if sweep["better"] == "max" else "less"
    return f"{settings}, {seeds}: {sweep['metric']}, {better} is better"


def title(sweep: JsonObject, setting: JsonObject) -> str:
    """Return a setting with its values: `setting 2 (lr 3e-4, imu DeepConvLSTM)`."""
    names, values = columns(sweep), child(setting, "values")
    told = ", ".join(f"{names[path]} {value}" for path, value in values.items())
    return f"setting {setting['number']}{f' ({told})' if told else ''}"


def difference_of(sweep: JsonObject, setting: JsonObject) -> Measured | None:
    """Return the difference of a setting to the first one; None for the first."""
    found = child(sweep, "differences").get(str(setting["number"]))
    if not isinstance(found, dict):
        return None
    ends = found["interval"]
    low_high = (number(ends[0]) or 0.0, number(ends[1]) or 0.0) if isinstance(ends, list) else None
    return Measured(number(found["mean"]), low_high, number(found["p_value"]))


def significant(sweep: JsonObject, setting: JsonObject) -> str | None:
    """Return `better`, `worse` or `same`, from the interval of a single difference; None if it is not significant."""
    found = child(sweep, "differences").get(str(setting["number"]))
    said = found["significant"] if isinstance(found, dict) else None
    return said if isinstance(said, str) else None


def answers(sweep: JsonObject) -> dict[int, str]:
    """Return for each setting but the first whether it is better, corrected for the number of settings."""
    settings = [one for one in children(sweep, "settings") if one["number"] != sweep["baseline"]]
    found = {int(number(one["number"]) or 0): difference_of(sweep, one) for one in settings}
    decided = decide({key: one for key, one in found.items() if one is not None})
    better, worse = ("yes", "no") if sweep["better"] == "max" else ("no", "yes")
    words = {better: "better", worse: "worse", "open": NOT_SIGNIFICANT}

    def answer(setting: JsonObject) -> str:
        one = found[int(number(setting["number"]) or 0)]
        if one is None or one.value is None:
            return "no result"
        if significant(sweep, setting) == "same":
            return "same"
        return "no interval" if one.p_value is None else words[decided[int(number(setting["number"]) or 0)]]

    return {int(number(one["number"]) or 0): answer(one) for one in settings}


def best_sentence(sweep: JsonObject) -> str:
    """Return which setting has the best mean, and over how many seeds."""
    best = next((one for one in children(sweep, "settings") if one["number"] == sweep["best"]), None)
    if best is None:
        return "No trial has a result."
    seeds = sum(1 for one in child(best, "trials").values() if isinstance(one, dict) and one["value"] is not None)
    extreme = "highest" if sweep["better"] == "max" else "lowest"
    told = title(sweep, best)
    return (
        f"{told[:1].upper()}{told[1:]} has the {extreme} mean {sweep['metric']}: {figure(sweep, best['mean'])} over "
        f"{counted(seeds, 'seed')}."
    )


def sentences(sweep: JsonObject) -> Iterator[str]:
    """Yield which setting is best, and how each compares with the first one."""
    yield best_sentence(sweep)
    for setting in children(sweep, "settings"):
        if setting["number"] != sweep["baseline"]:
            yield sentence(sweep, setting)


def sentence(sweep: JsonObject, setting: JsonObject) -> str:
    """Return how a setting compares with the first one."""
    answered, found = answers(sweep)[int(number(setting["number"]) or 0)], difference_of(sweep, setting)
    this, first = f"Setting {setting['number']}", f"setting {sweep['baseline']}"
    if found is None or found.value is None:
        return f"{this} and {first} cannot be compared: they have no seed in common that has a result."
    if answered == "same":
        return f"{this} and {first} have the same {sweep['metric']} with every seed."
    shown = f"{gain(sweep, found.value)}{_unit(sweep)}"
    if found.interval is None:
        return f"{this} {MINUS} {first} is {shown}; without an interval its significance is not known."
    ends = f"95% interval {interval(sweep, found).replace(', ', ' to ')}"
    if answered == NOT_SIGNIFICANT:
        includes = found.interval[0] <= 0 <= found.interval[1]
        why = "which includes zero" if includes else "which excludes zero, but not far enough for so many comparisons"
        return f"{this} {MINUS} {first} is not significant: {shown} ({ends}, {why})."
    return f"{this} is {answered} than {first}: {shown} ({ends})."


def _unit(sweep: JsonObject) -> str:
    return "" if _is_loss(sweep) or _last(sweep) in ("mrr", "median_rank") else " points"


def verdicts(sweep: JsonObject) -> Iterator[Verdict]:
    """Yield which setting is best, and for each setting but the first whether it is better."""
    yield Verdict("Which setting is best?", "told", f"{sweep['best'] or 'none'}", best_sentence(sweep))
    marks: dict[str, Answer] = {"better": "yes", "worse": "no"}
    for setting in children(sweep, "settings"):
        if setting["number"] != sweep["baseline"]:
            answered = answers(sweep)[int(number(setting["number"]) or 0)]
            yield Verdict(
                f"Is {setting['number']} better than {sweep['baseline']}?",
                marks.get(answered, "open"),
                f"{answered[:1].upper()}{answered[1:]}",
                sentence(sweep, setting),
            )
