"""Summary of the folds of a run: scores of each fold, their mean and deviation, and scores of all test windows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from statistics import fmean, stdev

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import RECOGNITION_SCORES, ClassifierOutput, scores
from revalexo_clip.metrics.evaluated import Predictions, concatenate
from revalexo_clip.metrics.per_horizon import SETS, measure_classification, outputs_at


def summarize(files: Mapping[str, Path], folds: Iterable[str], failures: Mapping[str, str]) -> JsonObject:
    """Return the content of `summary.json`, from the predictions of finished folds and the names of all folds.

    See docs/metrics.md for each name. Raises `DataError`, naming the file, if predictions cannot be read or have other
    activities or horizons.
    """
    found = {name: read_predictions(path) for name, path in files.items()}
    first = next(iter(found.values()), None)
    for name, one in found.items():
        assert first is not None
        if (one.activities, one.horizons) != (first.activities, first.horizons):
            raise DataError(
                f"{files[name]}: predictions of other activities or horizons than those of the folds before"
            )
    unfinished: JsonObject = {name: failures.get(name) for name in folds if name not in found}
    if first is None:
        return {"folds": {}, "unfinished": unfinished, "mean": [], "deviation": [], "pooled": None}
    pooled = concatenate(list(found.values()))
    return {
        "folds": {name: {"subjects": _subjects(one), "horizons": _measure(one)} for name, one in found.items()},
        "unfinished": unfinished,
        "mean": _over(found.values(), lambda values: fmean(values) if values else None),
        "deviation": _over(found.values(), lambda values: stdev(values) if len(values) > 1 else None),
        "pooled": measure_classification(pooled, TimeBootstrap(units_of(pooled))),
    }


def _subjects(predictions: Predictions) -> list[JsonValue]:
    return [*sorted({predictions.clip_subjects[clip] for clip in predictions.clip_N})]


def _measure(predictions: Predictions) -> list[JsonValue]:
    """Compute the scores of one fold at each horizon, in each of the `SETS`."""
    return [
        {
            "horizon": horizon,
            **{
                among: {"windows": len(found.true_N), **(_scores(found) or dict.fromkeys(RECOGNITION_SCORES))}
                for among, found in _outputs_at(predictions, k).items()
            },
        }
        for k, horizon in enumerate(predictions.horizons)
    ]


def _outputs_at(predictions: Predictions, k: int) -> Mapping[str, ClassifierOutput]:
    return outputs_at(predictions, k, units_of(predictions).unit_N)


def _scores(found: ClassifierOutput) -> dict[str, float]:
    """Return the scores by name; empty if there is no window."""
    if len(found.true_N) == 0:
        return {}
    return dict(zip(RECOGNITION_SCORES, scores(found.confusion()[None], RECOGNITION_SCORES)[0].tolist(), strict=True))


def _over(folds: Collection[Predictions], statistic: Callable[[list[float]], float | None]) -> list[JsonValue]:
    """Compute a statistic of each score at each horizon, over the folds that have windows of the set."""
    rows: list[JsonValue] = []
    for k, horizon in enumerate(next(iter(folds)).horizons):
        at = [_outputs_at(one, k) for one in folds]
        row: JsonObject = {"horizon": horizon}
        for among in SETS:
            measured = [_scores(found[among]) for found in at if len(found[among].true_N)]
            values = {name: [one[name] for one in measured] for name in RECOGNITION_SCORES}
            row[among] = {"folds": len(measured), **{name: statistic(of) for name, of in values.items()}}
        rows.append(row)
    return rows
