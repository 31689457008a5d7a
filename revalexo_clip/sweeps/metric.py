"""The metric that the settings of a sweep are compared by, and its value in a finished trial."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.finetuning.module import MONITORED
from revalexo_clip.metrics.classification import CLASSIFICATION_SCORES
from revalexo_clip.metrics.galleries import DIRECTIONS, FIGURES, WHOLE
from revalexo_clip.metrics.paired_differences import LESS_IS_BETTER
from revalexo_clip.pretraining.imu_alone import SELECTION
from revalexo_clip.reports.values import number_at
from revalexo_clip.training.callbacks.early_stopping import LAST, LOSS, MRR, Monitored

Places = Mapping[str, tuple[str | int, ...]]
"""By name of a metric, its place in `evaluation/metrics.json`; empty for a column of `metrics.csv`."""
TEST = "test/"
"""How the names of results on test subjects begin."""


@dataclass(frozen=True)
class Metric:
    """A number that every trial has."""

    name: str
    """Column of `metrics.csv`, or `test/NAME`."""
    better: Literal["min", "max"]
    chosen_by: Monitored
    """The metric that the checkpoint is chosen by; the value is that of the same epoch."""
    path: tuple[str | int, ...] = ()
    """Where it is in `evaluation/metrics.json`; empty for a column of `metrics.csv`."""

    @property
    def sign(self) -> int:
        """1 if more is better, -1 if less is."""
        return 1 if self.better == "max" else -1


def metric_of(experiment: Experiment, name: str | None) -> Metric:
    """Return the metric of a name; by default that which the checkpoint of a training is chosen by.

    Raises `ConfigError` if the trainings of an experiment do not have it.
    """
    chosen_by, known = _known(experiment)
    if name is None:
        usual = chosen_by if chosen_by != LAST else MRR if MRR.name in known else LOSS
        name = usual.name
    if name not in known:
        raise ConfigError(f"--metric {name}: this experiment has no such metric{nearest(name, known)}")
    path = known[name]
    if path and not experiment.data.subjects("test"):
        raise ConfigError(
            f"--metric {name}: the experiment names no test subjects; --set data.test_subjects=[NAME,...]"
        )
    less = name == LOSS.name or name.rpartition("/")[2] in LESS_IS_BETTER
    return Metric(name, "min" if less else "max", chosen_by, path)


def _known(experiment: Experiment) -> tuple[Monitored, Places]:
    """Return what checkpoints are chosen by, and all metrics: their place in `metrics.json`, or an empty one."""
    if isinstance(experiment, FinetuneExperiment):
        names = [MONITORED, "val/macro_f1", "val/accuracy", LOSS.name]
        tested: Places = {f"{TEST}{name}": ("horizons", 0, "all", name) for name in CLASSIFICATION_SCORES}
        return Monitored(MONITORED, "max"), {**dict.fromkeys(names, ()), **tested}
    assert isinstance(experiment, PretrainExperiment)
    probed: Places = {f"{TEST}probe/macro_f1": ("probe", "linear", "imu", 0, "all", "macro_f1")}
    by_field = {"loss": LOSS, "mrr": MRR, "last": LAST}[experiment.best]
    if experiment.video is None:
        chosen_by = SELECTION if experiment.text is None else by_field
        return chosen_by, {
            **dict.fromkeys([LOSS.name, *([SELECTION.name] if chosen_by == SELECTION else [])], ()),
            **probed,
        }
    both = [(way, figure) for way in DIRECTIONS for figure in FIGURES]
    ranked: Places = {f"{TEST}{way}/{figure}": (WHOLE, way, figure) for way, figure in both}
    names = [LOSS.name, MRR.name, *(f"val/{way}/{figure}" for way, figure in both)]
    return by_field, {**dict.fromkeys(names, ()), **ranked, **probed}


def value_in(run: Path, metric: Metric) -> float | None:
    """Return the value of a finished run; None if it is not finite or was not measured.

    Raises `DataError`, naming the file, if it cannot be read.
    """
    path = run / ("evaluation/metrics.json" if metric.path else "metrics.csv")
    try:
        if metric.path:
            return number_at(json.loads(path.read_text(encoding="utf-8")), metric.path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get(metric.chosen_by.name)]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    sign = 1 if metric.chosen_by.best == "max" else -1
    scored = [(_number(row[metric.chosen_by.name]), row) for row in rows]
    best = max(
        ((sign * score, row) for score, row in scored if score is not None), key=lambda pair: pair[0], default=None
    )
    return None if best is None else _number(best[1].get(metric.name))


def _number(text: str | None) -> float | None:
    number = float(text or "nan")
    return number if math.isfinite(number) else None
