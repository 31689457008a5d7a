"""Cross-validation: train and test an activity classifier in each fold, and summarize the folds."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from pydantic import JsonValue
from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.folds import Fold, choose
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.evaluation.classifier import Subjects, refuse_seen
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.finetuning.build import read_teacher
from revalexo_clip.finetuning.initial_encoder import read_encoders
from revalexo_clip.finetuning.part import Part
from revalexo_clip.finetuning.run_group import GroupResult, RunGroup, run_group
from revalexo_clip.jobs import Cluster
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES, ClassifierOutput, scores
from revalexo_clip.metrics.evaluated import Predictions, concatenate
from revalexo_clip.metrics.per_horizon import SETS, measure_classification, outputs_at
from revalexo_clip.runs.options import RunOptions, optional_path


def cross_validate(
    experiment: FinetuneExperiment,
    source: Path | str | None = None,
    console: Console | None = None,
    *,
    only: Sequence[str] = (),
    jobs: int | None = None,
    cluster: Cluster | None = None,
    resume: Path | str | None = None,
    overrides: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> GroupResult:
    """Train and test an activity classifier in each fold, or in the folds named by `only`, and write `summary.json`.

    `source` is the experiment's file, which is kept with the run. Each fold runs in processes of its own, so components
    that the package does not have must come from a file read by `load_experiment_of`. `jobs` folds run at a time, by
    default one on this machine and all of them on a cluster. A fold that fails does not stop the others.

    `resume` is the folder of a run, or `"newest"`. Folds that are done stay as they are, unless `overrides`, the
    `path=value` texts that were applied to the experiment, change it. Raises `ConfigError` or `DataError` before
    anything is written if folds cannot be trained or the encoder was trained on test subjects, `Interrupted` if a
    signal stopped the run.
    """
    options = RunOptions(optional_path(resume), overrides, allow_seen_subjects)
    return run_group(FoldGroup(experiment, only), optional_path(source), console, options, jobs=jobs, cluster=cluster)


class FoldGroup(RunGroup):
    """The folds of an experiment. Raises `ConfigError` if it has none, or none of a name in `only`."""

    inside = "folds"
    option = "--fold"
    experiment: FinetuneExperiment

    def __init__(self, experiment: FinetuneExperiment, only: Sequence[str] = ()) -> None:
        super().__init__(experiment)
        if experiment.folds is None:
            raise ConfigError("folds: this experiment has no folds; set `folds`, or train once with finetune")
        self.folds = experiment.folds.make_folds(experiment.data)
        self.chosen = choose(self.folds, only) if only else self.folds

    @property
    def parts(self) -> list[Part]:
        """See `RunGroup.parts`."""
        inner = self.experiment.pretraining
        encoder = self.experiment.encoder if inner is None else Path("pretraining")  # see `Part.pretraining`
        return [
            Part(fold.name, self.experiment.in_fold(fold, encoder), inner and pretraining_in(fold, inner))
            for fold in self.chosen
        ]

    @property
    def title(self) -> str:
        """See `RunGroup.title`."""
        return counted(len(self.chosen), "fold")

    def check(self, *, allow_seen_subjects: bool) -> None:
        """See `RunGroup.check`."""
        if allow_seen_subjects:
            return
        experiment = self.experiment
        seen: dict[str, Subjects | None] = {}
        if experiment.encoder is not None and not experiment.from_scratch:
            encoders = read_encoders(experiment.encoder.expanduser())
            seen[str(encoders.source)] = encoders.subjects
        if (teacher := read_teacher(experiment)) is not None:
            seen[str(teacher.path)] = teacher.description.has_seen
        tested = tuple(dict.fromkeys(subject for fold in self.chosen for subject in fold.test))
        for source, subjects in seen.items():
            windows = experiment.data.evaluating(tested).labelled("test", experiment.seed)
            refuse_seen(source, subjects, windows, "Pretrain in each fold (--pretrain FILE.py)")

    def summarize(self, run: Path, failures: Mapping[str, str]) -> JsonObject:
        """Write `summary.json` of all folds that are done, and return its content."""
        files = {fold.name: self.folder(run, fold.name).predictions for fold in self.folds if fold.name not in failures}
        done = {name: path for name, path in files.items() if path.is_file()}
        summary = summarize(done, [fold.name for fold in self.folds], failures)
        write_json(run / "summary.json", summary)
        return summary


def pretraining_in(fold: Fold, pretraining: PretrainExperiment) -> PretrainExperiment:
    """Return a pretraining on the training and validation subjects of a fold."""
    fields = {name: getattr(pretraining, name) for name in type(pretraining).model_fields}
    return type(pretraining).model_validate(fields | {"data": pretraining.data.split(fold.train, fold.val, ())})


def summarize(files: Mapping[str, Path], folds: Iterable[str], failures: Mapping[str, str]) -> JsonObject:
    """Return the content of `summary.json`, which docs/metrics.md documents.

    `files` are the predictions of the folds that are done, `folds` the names of all folds. Raises `DataError`, naming
    the file, if predictions cannot be read or their activities or horizons differ.
    """
    found = {name: read_predictions(path) for name, path in files.items()}
    first = next(iter(found.values()), None)
    for name, one in found.items():
        assert first is not None
        if (one.activities, one.horizons) != (first.activities, first.horizons):
            raise DataError(
                f"{files[name]}: the activities or horizons differ from those of {next(iter(found))}, an earlier fold"
            )
    unfinished: JsonObject = {name: failures.get(name) for name in folds if name not in found}
    if first is None:
        return {"folds": {}, "unfinished": unfinished, "mean": [], "deviation": [], "pooled": None}
    pooled = concatenate(list(found.values()))
    return {
        "folds": {
            name: {
                "subjects": _subjects(one),
                "never_trained": _never_trained(files[name], one),
                "horizons": _measure(one),
            }
            for name, one in found.items()
        },
        "unfinished": unfinished,
        "mean": _over(found.values(), lambda values: fmean(values) if values else None),
        "deviation": _over(found.values(), lambda values: stdev(values) if len(values) > 1 else None),
        "pooled": measure_classification(pooled, TimeBootstrap(units_of(pooled))),
    }


def _subjects(predictions: Predictions) -> list[JsonValue]:
    return [*sorted({predictions.clip_subjects[clip] for clip in predictions.clip_N})]


def _never_trained(path: Path, predictions: Predictions) -> list[JsonValue] | None:
    """Return the tested activities that are not in training, from `metrics.json` beside the predictions.

    None if that is not known.
    """
    metrics = path.with_name("metrics.json")
    named = json.loads(metrics.read_text(encoding="utf-8")).get("never_trained") if metrics.is_file() else None
    if not isinstance(named, list):
        return None
    tested = {predictions.activities[label] for label in np.unique(predictions.label_NK) if label != UNLABELLED}
    return [name for name in named if name in tested]


def _measure(predictions: Predictions) -> list[JsonValue]:
    """Return the scores of one fold at each horizon, in each of the `SETS`."""
    return [
        {
            "horizon": horizon,
            **{
                among: {"windows": len(found.true_N), **(_scores(found) or dict.fromkeys(CLASSIFICATION_SCORES))}
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
    values = scores(found.confusion()[None], CLASSIFICATION_SCORES)[0].tolist()
    return dict(zip(CLASSIFICATION_SCORES, values, strict=True))


def _over(folds: Collection[Predictions], statistic: Callable[[list[float]], float | None]) -> list[JsonValue]:
    """Compute a statistic of each score at each horizon, over the folds that have windows of the set."""
    rows: list[JsonValue] = []
    for k, horizon in enumerate(next(iter(folds)).horizons):
        at = [_outputs_at(one, k) for one in folds]
        row: JsonObject = {"horizon": horizon}
        for among in SETS:
            measured = [_scores(found[among]) for found in at if len(found[among].true_N)]
            values = {name: [one[name] for one in measured] for name in CLASSIFICATION_SCORES}
            row[among] = {"folds": len(measured), **{name: statistic(of) for name, of in values.items()}}
        rows.append(row)
    return rows
