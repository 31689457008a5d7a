"""The linear probe of handcrafted features on real labelled recordings of unseen subjects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from support.tiny_dataset import real_dataset

from revalexo_clip.metrics.handcrafted_features import handcrafted_features
from revalexo_clip.metrics.probe import Fold, predict

FOREST = 0.456
"""Balanced accuracy of a random forest, trained and tested on the same subjects."""
WINDOW, STRIDE = 120, 60
"""[samples], 60 a second."""


def test_a_linear_probe_on_handcrafted_features_is_as_good_as_a_random_forest() -> None:
    path = real_dataset().parent / "har_classyglass1a_60hz.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    with np.load(path) as file:
        parts = [
            (part_LC[start : start + WINDOW], label, subject)
            for part_LC, label, subject in zip(
                np.split(file["data"].astype(np.float32), file["offsets"][1:-1]),
                file["label"],
                file["subject"],
                strict=True,
            )
            for start in range(0, len(part_LC) - WINDOW + 1, STRIDE)
        ]
        classes = len(file["activities"])
    imu_NLC, label_N, subject_N = (np.stack(columns) for columns in zip(*parts, strict=True))
    features_NF = handcrafted_features(torch.from_numpy(imu_NLC), rate=60.0).double().numpy()
    test = np.flatnonzero(subject_N > 8)
    fold = Fold(train=np.flatnonzero(subject_N <= 8), test=test)
    predicted_N = predict("linear", features_NF, label_N[:, None].astype(np.int64), [fold], classes)[:, 0]
    assert balanced_accuracy_score(label_N[test], predicted_N[test]) >= FOREST
