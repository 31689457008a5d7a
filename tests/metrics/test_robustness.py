"""Robustness: perturbed windows against the same windows as recorded."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from support.documented import undocumented
from support.made_windows import made_windows, perturbed

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints
from revalexo_clip.metrics.probe import Fold, leave_one_subject_out, predict
from revalexo_clip.metrics.robustness import CleanProbe, Perturbed, measure_robustness


@pytest.fixture(scope="module")
def windows() -> EvaluatedWindows:
    return made_windows(subjects=3)


@pytest.fixture(scope="module")
def found(windows: EvaluatedWindows) -> JsonObject:
    return measure_robustness(windows, None, iter(perturbed(windows)), probed=True)


def entry(found: JsonObject, name: str, sensor: str | None = None) -> JsonObject:
    listed = cast("list[JsonObject]", found["perturbations"])
    return next(one for one in listed if (one["name"], one["sensor"]) == (name, sensor))


def at(found: JsonObject, *path: str) -> float:
    value: object = found
    for name in path:
        value = cast("JsonObject", value)[name]
    return cast("float", value)


def plain_ranks(windows: EvaluatedWindows, imu_MD: torch.Tensor, rows: Ints, subject: bool) -> Ints:
    """IMU to video: 1 + the windows of the gallery that are more similar than the partner."""
    similarity_MM = imu_MD.double().numpy() @ windows.video_ND[torch.from_numpy(rows)].double().numpy().T
    subject_M = windows.of_subject()[rows]
    same_MM = subject_M[:, None] == subject_M if subject else np.ones_like(similarity_MM, dtype=bool)
    return np.asarray(((similarity_MM > similarity_MM.diagonal()[:, None]) & same_MM).sum(axis=1) + 1)


@pytest.mark.parametrize("place", [0, 3])
def test_figures_are_those_of_a_plain_computation(windows: EvaluatedWindows, found: JsonObject, place: int) -> None:
    one = perturbed(windows)[place]
    assert isinstance(one, Perturbed)
    measured = entry(found, one.name, one.sensor)
    assert measured["windows"] == len(one.rows)
    recorded_MD = windows.imu_ND[torch.from_numpy(one.rows)]
    for gallery, within in (("retrieval", False), ("retrieval_within_subject", True)):
        rank_M, clean_M = (plain_ranks(windows, imu_MD, one.rows, within) for imu_MD in (one.imu_MD, recorded_MD))
        path = (gallery, "imu_to_video")
        assert at(measured, "perturbed", *path, "r_at_1") == pytest.approx((rank_M == 1).mean())
        assert at(measured, "perturbed", *path, "mrr") == pytest.approx((1 / rank_M).mean())
        assert at(measured, "clean", *path, "mrr") == pytest.approx((1 / clean_M).mean())
        change = (1 / rank_M).mean() - (1 / clean_M).mean()
        assert at(measured, "difference", *path, "mrr") == pytest.approx(change)
        low, high = cast("list[float]", at(measured, "difference", *path, "interval", "mrr"))
        assert low <= change <= high


@pytest.mark.parametrize("place", [1, 3])
def test_the_probe_is_trained_on_windows_as_recorded(windows: EvaluatedWindows, found: JsonObject, place: int) -> None:
    one = perturbed(windows)[place]
    assert isinstance(one, Perturbed)
    label_NK, count = windows.label_NK.numpy(), len(windows)
    both_NF = np.concatenate([windows.feature("imu"), one.features_MF])
    both_NK = np.concatenate([label_NK, label_NK[one.rows]])
    folds = [
        Fold(fold.train, count + np.flatnonzero(np.isin(one.rows, fold.test)))
        for fold in leave_one_subject_out(windows.of_subject())
    ]
    guess_M = predict("linear", both_NF, both_NK, folds, classes=3)[count:, 0]
    expected = f1_score(label_NK[one.rows, 0], guess_M, average="macro")
    measured = entry(found, one.name, one.sensor)
    assert at(measured, "perturbed", "probe", "macro_f1") == pytest.approx(expected)
    assert at(measured, "difference", "probe", "macro_f1") == pytest.approx(
        expected - at(measured, "clean", "probe", "macro_f1")
    )


def test_as_recorded_the_probe_is_the_linear_probe(windows: EvaluatedWindows) -> None:
    rows, features_NF = np.arange(len(windows)), windows.feature("imu")
    folds = leave_one_subject_out(windows.of_subject())
    expected_NK = predict("linear", features_NF, windows.label_NK.numpy(), folds, classes=3)
    assert CleanProbe(windows, None).predict(features_NF, rows).tolist() == expected_NK[:, 0].tolist()


def test_of_a_single_subject_the_probe_is_trained_on_others() -> None:
    windows, training = made_windows(subjects=1), made_windows(subjects=2)
    label_NK = np.concatenate([windows.label_NK.numpy(), training.label_NK.numpy()])
    features_NF = np.concatenate([windows.feature("imu"), training.feature("imu")])
    rows = np.arange(len(label_NK))
    fold = Fold(rows[len(windows) :], rows[: len(windows)])
    expected_NK = predict("linear", features_NF, label_NK, [fold], classes=3)[: len(windows)]
    found_N = CleanProbe(windows, training).predict(windows.feature("imu"), fold.test)
    assert found_N.tolist() == expected_NK[:, 0].tolist()


def test_of_missing_sensors_there_are_the_mean_and_the_worst(found: JsonObject) -> None:
    single = [entry(found, "sensor_missing", sensor) for sensor in ("Foot", "Pelvis")]
    for path in (("retrieval", "video_to_imu", "mrr"), ("probe", "macro_f1")):
        values = [at(one, "perturbed", *path) for one in single]
        assert at(entry(found, "sensor_missing_mean"), "perturbed", *path) == pytest.approx(np.mean(values))
        assert at(entry(found, "sensor_missing_worst"), "perturbed", *path) == min(values)
    names = [one["name"] for one in cast("list[JsonObject]", found["perturbations"])]
    assert names == [
        *("sensor_missing", "sensor_missing", "sensor_missing_mean", "sensor_missing_worst"),
        *("imu_late", "imu_early", "half_rate"),
    ]


def test_what_was_impossible_has_a_reason_and_no_change_no_difference(windows: EvaluatedWindows) -> None:
    same = Perturbed("half_rate", None, np.arange(len(windows)), windows.imu_ND, windows.feature("imu"))
    only = [one for one in perturbed(windows) if not isinstance(one, Perturbed)]
    found = measure_robustness(windows, None, iter([*only, same]), probed=False)
    assert found["reason"] == {"sensors_turned": "no sensor has channels of all three axes"}
    unchanged = entry(found, "half_rate")
    assert at(unchanged, "difference", "retrieval", "imu_to_video", "r_at_1") == 0
    assert at(unchanged, "difference", "retrieval", "imu_to_video", "interval", "r_at_1") is None
    assert at(unchanged, "perturbed", "probe", "macro_f1") is None


def test_every_name_is_documented(found: JsonObject) -> None:
    assert undocumented({"robustness": found}, ()) == []
