"""Probes with few labels: one labelled subject, shares of the labels, and paired gains."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from support.made_windows import made_windows

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.probe import Fold, predict
from revalexo_clip.metrics.probe_results import probe_windows


def probed(windows: EvaluatedWindows, training: EvaluatedWindows | None = None) -> JsonObject:
    found = probe_windows(windows, training, TimeBootstrap(units_of(windows), resamples=200)).metrics
    assert found is not None
    return found


def objects(value: object) -> list[JsonObject]:
    return cast("list[JsonObject]", value)


@pytest.mark.long
def test_one_subject_is_the_mean_of_probes_trained_on_one_subject_each() -> None:
    windows = made_windows(subjects=3)
    subject_N, label_NK = windows.of_subject(), windows.label_NK[:, :1].numpy()
    expected = []
    for one in range(3):
        fold = Fold(np.flatnonzero(subject_N == one), np.flatnonzero(subject_N != one))
        found_NK = predict("linear", windows.feature("imu"), label_NK, [fold], classes=3)
        rows = fold.test
        expected.append(f1_score(label_NK[rows, 0], found_NK[rows, 0], average="macro"))
    single = cast("dict[str, JsonObject]", probed(windows)["one_subject"])["imu"]
    assert single["macro_f1"] == pytest.approx(np.mean(expected))
    assert single["subjects"] == 1
    assert single["windows"] == 56


@pytest.mark.long
def test_one_training_subject_is_tested_on_all_evaluated_windows() -> None:
    windows, training = made_windows(subjects=1), made_windows(subjects=2)
    label_N1 = np.concatenate([windows.label_NK[:, :1], training.label_NK[:, :1]])
    features_NF = np.concatenate([windows.feature("handcrafted"), training.feature("handcrafted")])
    tested = np.arange(len(windows))
    expected = []
    for one in range(2):
        fold = Fold(len(windows) + np.flatnonzero(training.of_subject() == one), tested)
        found_N = predict("linear", features_NF, label_N1, [fold], classes=3)[tested, 0]
        expected.append(f1_score(label_N1[tested, 0], found_N, average="macro"))
    single = cast("dict[str, JsonObject]", probed(windows, training)["one_subject"])["handcrafted"]
    assert single["macro_f1"] == pytest.approx(np.mean(expected))


@pytest.mark.long
def test_gains_are_differences_with_paired_intervals() -> None:
    windows = made_windows(subjects=3)
    noise_NF = torch.randn(len(windows), 5, generator=torch.Generator().manual_seed(3))
    features = {**windows.features, "imu_untrained": noise_NF, "handcrafted": windows.features["imu"]}
    found = probed(EvaluatedWindows(**{**vars(windows), "features": features}))
    curves = cast("dict[str, list[JsonObject]]", found["few_labels"])
    gains = cast("dict[str, list[JsonObject]]", found["few_labels_gain"])
    for place, gained in enumerate(gains["over_untrained"]):
        ours, theirs = (float(str(curves[name][place]["macro_f1"])) for name in ("imu", "imu_untrained"))
        assert gained["macro_f1"] == pytest.approx(ours - theirs)
        assert gained["fraction"] == curves["imu"][place]["fraction"]
        low, high = cast("list[float]", cast("JsonObject", gained["interval"])["macro_f1"])
        assert low < ours - theirs < high
    assert all(gained["macro_f1"] == 0 for gained in gains["over_handcrafted"])
    single = cast("dict[str, JsonObject]", found["one_subject_gain"])
    assert float(str(single["over_untrained"]["macro_f1"])) > 0.1
    assert single["over_handcrafted"]["macro_f1"] == 0


@pytest.mark.long
def test_a_subject_without_labels_is_left_out() -> None:
    windows = made_windows(subjects=3)
    label_NK = windows.label_NK.clone()
    label_NK[windows.of_subject() == 1] = -1
    single = cast(
        "dict[str, JsonObject]", probed(EvaluatedWindows(**{**vars(windows), "label_NK": label_NK}))["one_subject"]
    )
    assert 0 < float(str(single["imu"]["macro_f1"])) <= 1
