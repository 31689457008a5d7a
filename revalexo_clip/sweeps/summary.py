"""Summary of a sweep: mean and deviation of each setting over seeds, and paired differences to the first setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from pydantic import JsonValue
from scipy import stats

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import COVERAGE, TimeBootstrap
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES, ClassifierOutput, paired_intervals, scores
from revalexo_clip.metrics.evaluated import Floats
from revalexo_clip.metrics.paired_differences import check_same_windows, significance
from revalexo_clip.metrics.per_horizon import outputs_at


@dataclass(frozen=True)
class Trial:
    """A finished trial."""

    seed: int
    value: float | None
    """Value of the metric; None if it is not finite."""
    predictions: Path | None = None
    """Predictions on the test windows, if there are any."""


def difference(values: Mapping[int, float], first: Mapping[int, float], sign: int) -> JsonObject:
    """Return the mean difference of values to those of the first setting, paired by seed, with a 95% t interval.

    `sign` is 1 if more is better, else -1. There is no interval with fewer than two common seeds, or if the difference
    is the same for all of them.
    """
    seeds = [seed for seed in values if seed in first]
    gains = [values[seed] - first[seed] for seed in seeds]
    found: JsonObject = {"seeds": len(seeds), "mean": fmean(gains) if gains else None}
    interval: JsonValue = None
    p_value: float | None = None
    deviation = stdev(gains) if len(gains) > 1 else 0.0
    if deviation > 0:
        mean, error = fmean(gains), deviation / len(gains) ** 0.5
        half = float(stats.t.ppf((1 + COVERAGE) / 2, len(gains) - 1)) * error
        interval = [mean - half, mean + half]
        p_value = 2 * float(stats.t.sf(abs(mean) / error, len(gains) - 1))
    same = bool(gains) and not any(gains)
    better = significance("value", interval, same)
    if sign < 0 and better in ("better", "worse"):
        better = "worse" if better == "better" else "better"
    return {**found, "interval": interval, "p_value": p_value, "significant": better}


def summarize_setting(trials: Mapping[str, Trial]) -> JsonObject:
    """Return mean and standard deviation (n - 1) over the trials that have a value, and all values by name of trial."""
    values = [trial.value for trial in trials.values() if trial.value is not None]
    return {
        "trials": {name: {"seed": trial.seed, "value": trial.value} for name, trial in trials.items()},
        "mean": fmean(values) if values else None,
        "deviation": stdev(values) if len(values) > 1 else None,
    }


def summarize_tests(settings: Mapping[int, Sequence[Trial]], first: int) -> JsonObject | None:
    """Return the test scores of activity classifiers at the first horizon, and paired differences to those of `first`.

    Scores are means over seeds. Intervals of differences are paired bootstrap intervals over time: all seeds of both
    settings are measured on the same resampled units. None if there are no predictions. Raises `DataError`, naming the
    file, if predictions cannot be read.
    """
    paths = {
        number: {trial.seed: trial.predictions for trial in trials if trial.predictions is not None}
        for number, trials in settings.items()
    }
    found = {number: {seed: read_predictions(path) for seed, path in by.items()} for number, by in paths.items()}
    reference = next((one for by in found.values() for one in by.values()), None)
    if reference is None:
        return None
    for number, by in found.items():
        for seed, one in by.items():
            try:
                check_same_windows(one, reference)
            except DataError:
                return {"reason": f"{paths[number][seed]}: its test windows are not those of the other trials"}
    bootstrap = TimeBootstrap(units_of(reference))
    outputs = {
        number: {seed: outputs_at(one, 0, bootstrap.unit_N)["all"] for seed, one in by.items()}
        for number, by in found.items()
    }
    if not len(next(one for by in outputs.values() for one in by.values()).true_N):
        return {"reason": "no test window has a label at the first horizon"}
    return {
        "reason": None,
        **bootstrap.units.as_metrics(),
        "horizon": reference.horizons[0],
        "windows": len(reference),
        "scores": {str(number): _mean_scores([*by.values()]) for number, by in outputs.items() if by},
        "differences": {
            str(number): _test_difference(by, outputs[first], bootstrap)
            for number, by in outputs.items()
            if number != first and set(by) & set(outputs[first])
        },
    }


def _scores(output: ClassifierOutput) -> Floats:
    return np.asarray(scores(output.confusion()[None], CLASSIFICATION_SCORES)[0], dtype=np.float64)


def _mean_scores(outputs: Sequence[ClassifierOutput]) -> JsonObject:
    means = np.mean([_scores(one) for one in outputs], axis=0)
    return {"seeds": len(outputs), **dict(zip(CLASSIFICATION_SCORES, means.tolist(), strict=True))}


def _test_difference(
    ours: Mapping[int, ClassifierOutput], theirs: Mapping[int, ClassifierOutput], bootstrap: TimeBootstrap
) -> JsonObject:
    pairs = [(one, theirs[seed]) for seed, one in ours.items() if seed in theirs]
    means = np.mean([_scores(one) - _scores(other) for one, other in pairs], axis=0)
    found = paired_intervals(pairs, bootstrap, CLASSIFICATION_SCORES)
    same = all(np.array_equal(one.predicted_N, other.predicted_N) for one, other in pairs)
    intervals = found["interval"]
    assert isinstance(intervals, dict)
    return {
        "seeds": len(pairs),
        **dict(zip(CLASSIFICATION_SCORES, means.tolist(), strict=True)),
        **found,
        "significant": {name: significance(name, intervals[name], same) for name in CLASSIFICATION_SCORES},
    }
