"""`embeddings.h5`: what an evaluation made of every window, for figures and questions of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from revalexo_clip.core.files import atomically
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints


def write_embeddings(
    path: Path, windows: EvaluatedWindows, predictions: Mapping[str, Ints], checkpoint: Mapping[str, str]
) -> None:
    """Write N windows: where they come from, their labels, embeddings and features, and what probes predicted.

        clip [N], start [N] (s), label [N, K], transition [N, K]
        embedding/imu, embedding/video [N, D]      features/imu, features/video [N, D]
        probe/linear/..., probe/knn/... [N, K]
        clip_names, clip_subjects [J]   activities [A]   horizons [K] (s)

    `checkpoint` says in attributes which one it was. Raises `WriteError` where the disk refuses the file.
    """
    arrays = {
        "clip": windows.clip_N.numpy(),
        "start": windows.start_N.numpy(),
        "label": windows.label_NK.numpy(),
        "transition": windows.transition_NK.numpy(),
        "embedding/imu": windows.imu_ND.numpy(),
        "embedding/video": windows.video_ND.numpy(),
        "features/imu": windows.features["imu"].numpy(),
        "features/video": windows.features["video"].numpy(),
        "horizons": np.array(windows.horizons),
        **{f"probe/{name}": predicted_NK for name, predicted_NK in predictions.items()},
    }
    names = {
        "clip_names": windows.clip_names,
        "clip_subjects": windows.clip_subjects,
        "activities": windows.activities,
    }
    with atomically(path) as temporary, h5py.File(temporary, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        for name, texts in names.items():
            file.create_dataset(name, data=list(texts), dtype=h5py.string_dtype())
        file.attrs.update(checkpoint)
