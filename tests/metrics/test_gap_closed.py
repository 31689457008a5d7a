"""The share of the gap between untrained and supervised features that pretraining closes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from support.documented import undocumented
from support.made_windows import made_windows, supervised

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints
from revalexo_clip.metrics.probe_results import ProbeResults, probe_windows


def probed(windows: EvaluatedWindows) -> tuple[ProbeResults, JsonObject]:
    found = probe_windows(windows, None, TimeBootstrap(units_of(windows), resamples=50))
    assert found.metrics is not None
    return found, found.metrics


def objects(value: object) -> dict[str, JsonObject]:
    return cast("dict[str, JsonObject]", value)


@pytest.mark.long
def test_it_is_the_ratio_of_two_gains_with_a_paired_interval() -> None:
    windows = supervised(made_windows(subjects=3))
    results, metrics = probed(windows)
    label_N = windows.label_NK[:, 0].numpy()
    bootstrap = TimeBootstrap(units_of(windows), resamples=50)

    def closed(weight_N: Ints) -> tuple[float, float]:
        rows = np.repeat(np.arange(len(label_N)), weight_N)
        scored = []
        for name in ("imu", "imu_untrained", "imu_supervised"):
            found_N = results.predictions[f"linear/{name}"][:, 0]
            truth, guess = label_N[rows], found_N[rows]
            scored.append((f1_score(truth, guess, average="macro"), accuracy_score(truth, guess)))
        one, low, high = np.array(scored)
        return tuple(((one - low) / (high - low)).tolist())

    found = cast("JsonObject", metrics["gap_closed"])
    macro_f1, accuracy = closed(np.ones(len(label_N), dtype=np.int64))
    assert 0 < macro_f1 < 1
    assert found["macro_f1"] == pytest.approx(macro_f1)
    assert found["accuracy"] == pytest.approx(accuracy)
    share_R = np.array([closed(weight_U.astype(np.int64)[bootstrap.unit_N])[0] for weight_U in bootstrap.weight_RU])
    expected = bootstrap.interval(share_R, bootstrap.unit_N)
    assert objects(found)["interval"]["macro_f1"] == pytest.approx(list(expected or ()))
    assert objects(found)["reason"]["macro_f1"] is None
    assert undocumented(metrics, windows.activities) == []


@pytest.mark.long
def test_with_few_labels_the_probes_of_all_features_have_the_same_labels() -> None:
    _, metrics = probed(supervised(made_windows(subjects=3)))
    few, single = objects(metrics["few_labels"]), objects(metrics["one_subject"])
    closed = cast("list[JsonObject]", metrics["few_labels_gap_closed"])
    assert [one["fraction"] for one in closed] == [0.01, 0.05, 0.1, 0.5, 1.0]
    points = [{name: cast("list[JsonObject]", few[name])[place] for name in few} for place in range(len(closed))]
    for scored, found in [
        *zip(points, closed, strict=True),
        (single, cast("JsonObject", metrics["one_subject_gap_closed"])),
    ]:
        one, low, high = (float(str(scored[name]["macro_f1"])) for name in ("imu", "imu_untrained", "imu_supervised"))
        if found["macro_f1"] is not None:
            assert found["macro_f1"] == pytest.approx((one - low) / (high - low))
    assert closed[-1]["macro_f1"] == cast("JsonObject", metrics["gap_closed"])["macro_f1"]
    assert closed[-1]["macro_f1"] is not None


@pytest.mark.long
def test_there_is_none_unless_the_supervised_network_is_clearly_better() -> None:
    windows = supervised(made_windows(subjects=3))
    untrained_NF = windows.features["imu_untrained"]
    alike = replace(windows, features={**windows.features, "imu_supervised": untrained_NF})
    found = cast("dict[str, Any]", probed(alike)[1]["gap_closed"])
    assert found["macro_f1"] is None
    assert found["interval"]["macro_f1"] is None
    assert found["reason"]["macro_f1"] == "the supervised network is not better than the untrained one"
    few = supervised(made_windows(subjects=2, clips=1))
    assert "no interval that shows" in str(objects(probed(few)[1]["gap_closed"])["reason"]["macro_f1"])


@pytest.mark.long
def test_without_a_reference_there_is_none() -> None:
    _, metrics = probed(made_windows(subjects=2))
    assert "imu_supervised" not in cast("JsonObject", metrics["linear"])
    for name in ("gap_closed", "few_labels_gap_closed", "one_subject_gap_closed"):
        assert metrics[name] is None


@pytest.mark.long
def test_the_gain_in_transitions_is_that_of_their_windows() -> None:
    windows = supervised(made_windows(subjects=3))
    results, metrics = probed(windows)
    rows = windows.transition_NK[:, 0].numpy()
    label_N = windows.label_NK[:, 0].numpy()[rows]
    ours, theirs = (
        f1_score(label_N, results.predictions[f"linear/{name}"][rows, 0], average="macro")
        for name in ("imu", "imu_untrained")
    )
    assert objects(metrics["transition_gain"])["over_untrained"]["macro_f1"] == pytest.approx(ours - theirs)
