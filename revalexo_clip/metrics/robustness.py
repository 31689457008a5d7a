"""Robustness: retrieval and the linear probe with perturbed IMU windows, compared with the same windows as recorded.

Video is not perturbed, and the probe is trained on windows as they were recorded: what is asked is how an encoder and a
classifier that are already there cope with sensors that are missing, turned, late or slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue
from torch import Tensor

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import DIFFERENCE, TimeBootstrap
from revalexo_clip.metrics.classification import ClassifierOutput, scores
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Floats, Ints
from revalexo_clip.metrics.galleries import DIRECTIONS, SUBJECT, WHOLE, rank_galleries
from revalexo_clip.metrics.logistic import Logistic, fit_logistic
from revalexo_clip.metrics.probe import Fold, leave_one_subject_out, map_parallel, training_rows

GALLERIES = (WHOLE, SUBJECT)
"""Galleries in which perturbed windows are searched."""
FIGURES = ("r_at_1", "mrr")
SCORE = "macro_f1"

ANGLE = 30.0
"""By how much sensors are turned [degrees]."""
SHIFT = 0.1
"""By how much IMU is late or early [s]."""
MISSING, MEAN, WORST = "sensor_missing", "sensor_missing_mean", "sensor_missing_worst"
TURNED, LATE, EARLY, SLOW = "sensors_turned", "imu_late", "imu_early", "half_rate"
"""Names of perturbations in `metrics.json`. Of a missing sensor there is one result for each sensor, and their mean and
worst."""


@dataclass(frozen=True)
class Perturbed:
    """IMU of M windows, encoded after a perturbation."""

    name: str
    sensor: str | None
    """The sensor that is missing."""
    rows: Ints
    """[M] which of the evaluated windows could be perturbed in this way, ascending."""
    imu_MD: Tensor
    """Unit vectors that retrieval compares."""
    features_MF: Floats


@dataclass(frozen=True)
class NotPerturbed:
    """A perturbation that is impossible with these windows."""

    name: str
    reason: str


class CleanProbe:
    """Linear probes of the first horizon, trained on IMU features as recorded, one for each fold of the probes."""

    def __init__(self, windows: EvaluatedWindows, training: EvaluatedWindows | None) -> None:
        """Train them: on all other subjects, or on `training` windows if there are any, see `probe_windows`."""
        parts = [windows] if training is None else [windows, training]
        label_NK = np.concatenate([part.label_NK.numpy() for part in parts])
        features_NF = np.concatenate([part.feature("imu") for part in parts])
        rows = np.arange(len(label_NK))
        folds = [Fold(rows[len(windows) :], rows[: len(windows)])]
        if training is None:
            folds = leave_one_subject_out(windows.of_subject())

        def fit(fold: Fold) -> Logistic | None:
            trained = training_rows(fold, label_NK)
            if not (label_NK[trained, 0] != UNLABELLED).any():
                return None
            return fit_logistic(features_NF[trained], label_NK[trained, :1], len(windows.activities))

        self.tested = [fold.test for fold in folds]
        self.models = map_parallel(fit, folds)

    def predict(self, features_MF: Floats, rows: Ints) -> Ints:
        """Predict the activities of M of the evaluated windows, [M]; `UNLABELLED` without training labels."""
        predicted_M = np.full(len(rows), UNLABELLED, dtype=np.int64)
        for model, test in zip(self.models, self.tested, strict=True):
            own_M = np.isin(rows, test)
            if model is not None and own_M.any():
                predicted_M[own_M] = model.logits(features_MF[own_M])[:, 0].argmax(axis=1)
        return predicted_M


class _Scored(NamedTuple):
    """The G figures of `_paths`, those of R resamples, and the units of time that each was measured on."""

    value_G: Floats
    value_RG: Floats
    units: Sequence[Ints]


def measure_robustness(
    windows: EvaluatedWindows,
    training: EvaluatedWindows | None,
    perturbations: Iterator[Perturbed | NotPerturbed],
    *,
    probed: bool,
    tolerance: float = 0.0,
) -> JsonObject:
    """Measure all perturbations: the object `robustness` of `metrics.json`.

    `training` and `tolerance` are those of the evaluation; `probed` says whether there is a probe. Intervals of
    differences are paired. If not all windows could be perturbed, those as recorded are measured on the same ones.
    """
    measure = _Measurement(windows, CleanProbe(windows, training) if probed else None, tolerance)
    found: list[JsonValue] = []
    missing: list[_Scored] = []
    reasons: JsonObject = {}
    for one in perturbations:
        if isinstance(one, NotPerturbed):
            reasons[one.name] = one.reason
        else:
            scored = measure.perturbed(one)
            found.append(measure.as_metrics(one.name, one.sensor, one.rows, scored))
            if one.name == MISSING:
                missing.append(scored)
    everything = np.arange(len(windows))
    if missing:
        values, resamples = ([one[place] for one in missing] for place in (0, 1))
        mean = _Scored(np.mean(values, axis=0), np.mean(resamples, axis=0), missing[0].units)
        # Which sensor is the worst depends on the figure and on the resample, so the worst has no interval.
        worst = _Scored(np.min(values, axis=0), np.full_like(resamples[0], np.nan), missing[0].units)
        both = ((MEAN, mean), (WORST, worst))
        summary = [measure.as_metrics(name, None, everything, scored) for name, scored in both]
        found = [*found[: len(missing)], *summary, *found[len(missing) :]]  # after the single sensors, which come first
    return {"angle": ANGLE, "shift": SHIFT, "perturbations": found, "reason": reasons}


class _Measurement:
    """Measures windows whose IMU is replaced."""

    def __init__(self, windows: EvaluatedWindows, probe: CleanProbe | None, tolerance: float) -> None:
        self.windows, self.probe, self.tolerance = windows, probe, tolerance
        self.features_NF = windows.feature("imu")
        self.clean: dict[bytes, _Scored] = {}
        self.bootstraps: dict[bytes, TimeBootstrap] = {}

    def perturbed(self, one: Perturbed) -> _Scored:
        return self._score(one.rows, one.imu_MD, one.features_MF)

    def as_metrics(self, name: str, sensor: str | None, rows: Ints, scored: _Scored) -> JsonObject:
        """Return the figures, those of the same windows as recorded, and the differences."""
        clean = self._as_recorded(rows)
        bootstrap = self._bootstrap(rows)
        change_RG = scored.value_RG - clean.value_RG
        ends = [
            bootstrap.interval(change_R, unit_M, DIFFERENCE)
            for change_R, unit_M in zip(change_RG.T, clean.units, strict=True)
        ]
        difference = _nested(scored.value_G - clean.value_G)
        for (path, figure), end in zip(_paths(), ends, strict=True):
            place = _at(difference, path)
            intervals = place.setdefault("interval", {})
            assert isinstance(intervals, dict)
            intervals[figure] = end and list(end)
        return {
            "name": name,
            "sensor": sensor,
            "windows": len(rows),
            "perturbed": _nested(scored.value_G),
            "clean": _nested(clean.value_G),
            "difference": difference,
        }

    def _as_recorded(self, rows: Ints) -> _Scored:
        key = rows.tobytes()
        if key not in self.clean:
            self.clean[key] = self._score(rows, self.windows.among(rows).imu_ND, self.features_NF[rows])
        return self.clean[key]

    def _bootstrap(self, rows: Ints) -> TimeBootstrap:
        key = rows.tobytes()
        if key not in self.bootstraps:
            self.bootstraps[key] = TimeBootstrap(units_of(self.windows.among(rows)))
        return self.bootstraps[key]

    def _score(self, rows: Ints, imu_MD: Tensor, features_MF: Floats) -> _Scored:
        windows, bootstrap = replace(self.windows.among(rows), imu_ND=imu_MD), self._bootstrap(rows)
        galleries = rank_galleries(windows, self.tolerance, GALLERIES)
        value_G, columns, units = [], [], []
        for name in GALLERIES:
            gallery = galleries[name]
            unit_P = bootstrap.unit_N[gallery.rows]
            for direction in DIRECTIONS:
                rank_P = gallery.found_at(direction)
                value_P2 = np.stack([rank_P == 1, 1 / rank_P], axis=1).astype(np.float64)
                value_G += value_P2.mean(axis=0).tolist()
                columns.append(bootstrap.means(value_P2, unit_P))
                units += [unit_P, unit_P]
        output = self._classified(rows, features_MF, bootstrap)
        tested = len(output.true_N) > 0
        value_G.append(float(scores(output.confusion()[None], (SCORE,))[0, 0]) if tested else np.nan)
        columns.append(output.resampled(bootstrap, (SCORE,)))
        return _Scored(np.array(value_G), np.concatenate(columns, axis=1), [*units, output.unit_N])

    def _classified(self, rows: Ints, features_MF: Floats, bootstrap: TimeBootstrap) -> ClassifierOutput:
        label_M = self.windows.label_NK[:, 0].numpy()[rows]
        predicted_M = np.full(len(rows), UNLABELLED) if self.probe is None else self.probe.predict(features_MF, rows)
        known_M = (label_M != UNLABELLED) & (predicted_M != UNLABELLED)
        classes = len(self.windows.activities)
        return ClassifierOutput(label_M[known_M], predicted_M[known_M], bootstrap.unit_N[known_M], classes)


def _paths() -> list[tuple[tuple[str, ...], str]]:
    """Return where each of the G figures is in `metrics.json`: the path of its object, and its name there."""
    retrieval = [((name, way), figure) for name in GALLERIES for way in DIRECTIONS for figure in FIGURES]
    return [*retrieval, (("probe",), SCORE)]


def _nested(value_G: Floats) -> JsonObject:
    """Return the figures as in `metrics.json`; null for NaN."""
    found: JsonObject = {}
    for (path, figure), value in zip(_paths(), value_G.tolist(), strict=True):
        _at(found, path)[figure] = value if np.isfinite(value) else None
    return found


def _at(found: JsonObject, path: Sequence[str]) -> JsonObject:
    """Return the object at a path, which is made if it is not there."""
    for name in path:
        inner = found.setdefault(name, {})
        assert isinstance(inner, dict)
        found = inner
    return found
