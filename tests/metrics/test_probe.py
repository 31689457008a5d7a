"""Probes against scikit-learn's classifiers, and their training and test subjects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics import probe as module
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.logistic import PENALTY, fit_logistic
from revalexo_clip.metrics.probe import (
    Fold,
    leave_one_subject_out,
    predict,
    predict_with_few_labels,
    training_rows,
)


def made(windows: int = 240, features: int = 12, classes: int = 4, seed: int = 0) -> tuple[Floats, Ints]:
    """Correlated features of very different scales, one of them constant; labels at two horizons."""
    rng = np.random.default_rng(seed)
    label_N = rng.integers(0, classes, windows)
    x_NF = rng.standard_normal((windows, features)) @ rng.standard_normal((features, features))
    x_NF += 2 * rng.standard_normal((classes, features))[label_N]
    x_NF *= 10.0 ** rng.integers(-2, 3, features)
    x_NF[:, 0] = 5.0
    later_N = np.where(rng.random(windows) < 0.8, label_N, rng.integers(0, classes, windows))
    return x_NF, np.stack([label_N, later_N], axis=1)


def test_the_linear_probe_is_scikit_learns_logistic_regression() -> None:
    features_NF, label_NK = made()
    train, test = np.arange(160), np.arange(160, 240)
    scaler = StandardScaler().fit(features_NF[train])
    model = fit_logistic(features_NF[train], label_NK[train], classes=4)
    logits_NKA = model.logits(features_NF[test])
    found_NK = predict("linear", features_NF, label_NK, [Fold(train, test)], classes=4)
    for k in range(2):
        reference = LogisticRegression(C=1 / (PENALTY * 160), tol=1e-8, max_iter=10_000)
        reference.fit(scaler.transform(features_NF[train]), label_NK[train, k])
        expected_NA = reference.predict_proba(scaler.transform(features_NF[test]))
        likely_NA = np.exp(logits_NKA[:, k]) / np.exp(logits_NKA[:, k]).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(likely_NA, expected_NA, atol=2e-3)
        assert (found_NK[test, k] == reference.predict(scaler.transform(features_NF[test]))).all()
    assert (found_NK[train] == UNLABELLED).all()


def test_nearest_neighbours_are_scikit_learns() -> None:
    features_NF, label_NK = made()
    train, test = np.arange(160), np.arange(160, 240)
    found_NK = predict("knn", features_NF, label_NK, [Fold(train, test)], classes=4)
    scaler = StandardScaler().fit(features_NF[train])
    for k in range(2):
        reference = KNeighborsClassifier(20, algorithm="brute").fit(
            scaler.transform(features_NF[train]), label_NK[train, k]
        )
        assert (found_NK[test, k] == reference.predict(scaler.transform(features_NF[test]))).all()


@pytest.mark.parametrize("probe", module.PROBES)
def test_test_subjects_are_not_trained_on(probe: module.Probe) -> None:
    features_NF, label_NK = made()
    subject_N = np.arange(240) % 3
    folds = leave_one_subject_out(subject_N)
    found_NK = predict(probe, features_NF, label_NK, folds, classes=4)
    other_NK = label_NK.copy()
    other_NK[subject_N == 1] = 0
    again_NK = predict(probe, features_NF, other_NK, folds, classes=4)
    assert (found_NK[subject_N == 1] == again_NK[subject_N == 1]).all()
    assert (found_NK != again_NK).any()  # those who are trained on them do see it
    assert (found_NK != UNLABELLED).all()


@pytest.mark.parametrize("probe", module.PROBES)
def test_an_activity_without_training_windows_is_never_predicted(probe: module.Probe) -> None:
    features_NF, label_NK = made()
    train, test = np.flatnonzero((label_NK != 2).all(axis=1)), np.flatnonzero(label_NK[:, 0] == 2)
    found_NK = predict(probe, features_NF, label_NK, [Fold(train, test)], classes=4)
    assert 2 not in found_NK[test]


@pytest.mark.parametrize("probe", module.PROBES)
def test_a_single_activity_is_predicted_for_all(probe: module.Probe) -> None:
    features_NF, label_NK = made()
    train, test = np.arange(5), np.arange(5, 240)
    label_NK[train] = 3
    assert (predict(probe, features_NF, label_NK, [Fold(train, test)], classes=4)[test] == 3).all()


@pytest.mark.parametrize("probe", module.PROBES)
def test_windows_without_a_label_at_a_horizon_train_nothing_there(probe: module.Probe) -> None:
    features_NF, label_NK = made()
    train, test = np.arange(160), np.arange(160, 240)
    label_NK[:160:2, 1] = UNLABELLED
    found_NK = predict(probe, features_NF, label_NK, [Fold(train, test)], classes=4)
    alone_NK = predict(probe, features_NF, label_NK[:, :1], [Fold(train, test)], classes=4)
    assert (found_NK[:, :1] == alone_NK).all()
    scaler = StandardScaler().fit(features_NF[:160])
    if probe == "linear":
        reference = LogisticRegression(C=1 / (PENALTY * 80), tol=1e-8, max_iter=10_000)
        reference.fit(scaler.transform(features_NF[1:160:2]), label_NK[1:160:2, 1])
        assert (found_NK[test, 1] == reference.predict(scaler.transform(features_NF[test]))).all()
    else:
        for row in test:
            apart_M = np.linalg.norm(scaler.transform(features_NF[:160]) - scaler.transform(features_NF[[row]]), axis=1)
            votes = label_NK[np.argsort(apart_M)[:20], 1]
            assert found_NK[row, 1] == np.bincount(votes[votes >= 0], minlength=4).argmax()


@pytest.mark.parametrize("probe", module.PROBES)
def test_a_horizon_without_labels_has_no_predictions(probe: module.Probe) -> None:
    features_NF, label_NK = made()
    label_NK[:, 1] = UNLABELLED
    found_NK = predict(probe, features_NF, label_NK, leave_one_subject_out(np.arange(240) % 2), classes=4)
    assert (found_NK[:, 0] != UNLABELLED).all()
    assert (found_NK[:, 1] == UNLABELLED).all()


@pytest.mark.parametrize("probe", module.PROBES)
def test_folds_in_parallel_equal_folds_in_sequence(probe: module.Probe) -> None:
    features_NF, label_NK = made()
    folds, threads = leave_one_subject_out(np.arange(240) % 4), torch.get_num_threads()
    alone_NK = predict(probe, features_NF, label_NK, folds, classes=4)
    torch.set_num_threads(3)
    try:
        assert (predict(probe, features_NF, label_NK, folds, classes=4) == alone_NK).all()
        assert torch.get_num_threads() == 3
        assert module.map_parallel(lambda _: torch.get_num_threads(), folds) == [1, 1, 1, 1]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("windows", [8, 40])
def test_fewer_windows_than_features_are_fitted_as_scikit_learn_does(windows: int) -> None:
    features_NF, label_NK = made(features=60)
    train, test = np.arange(windows), np.arange(160, 240)
    logits_NA = fit_logistic(features_NF[train], label_NK[train, :1], classes=4).logits(features_NF[test])[:, 0]
    scaler = StandardScaler().fit(features_NF[train])
    reference = LogisticRegression(C=1 / (PENALTY * windows), tol=1e-8, max_iter=10_000)
    reference.fit(scaler.transform(features_NF[train]), label_NK[train, 0])
    met = reference.classes_
    likely_NA = np.exp(logits_NA) / np.exp(logits_NA).sum(axis=1, keepdims=True)
    expected_NA = reference.predict_proba(scaler.transform(features_NF[test]))
    np.testing.assert_allclose(likely_NA[:, met], expected_NA, atol=5e-3)


def test_many_windows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TRAINING", 5)
    rows = training_rows(Fold(np.arange(17), np.arange(0)), np.zeros((17, 1), dtype=np.int64))
    assert rows.tolist() == [0, 4, 8, 12, 16]


@pytest.mark.parametrize(("fraction", "windows"), [(0.01, 4), (0.1, 16), (1.0, 160)])
def test_few_labels_hold_every_activity(fraction: float, windows: int) -> None:
    features_NF, label_NK = made()
    label_N = label_NK[:, 0]
    folds = [Fold(np.arange(160), np.arange(160, 240))]
    found_N, used = predict_with_few_labels(features_NF, label_N, folds, 4, fraction=fraction, draw=0)
    assert abs(used - windows) <= 2
    right = (found_N == label_N)[160:].mean()
    assert right > 0.3
    if fraction == 1:
        everything_NK = predict("linear", features_NF, label_N[:, None], folds, classes=4)
        assert (found_N == everything_NK[:, 0]).all()
