"""Embed the windows of a dataset with an exported encoder, as `X`, `y` and `groups` of scikit-learn and for search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.progress import OnProgress, Progress, silent_progress
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import LabelledWindows, Recordings
from revalexo_clip.data.dataset import arrived, collate
from revalexo_clip.evaluation.held_out import check_same_imu
from revalexo_clip.export import PretrainedEncoder, PretrainedImuEncoder
from revalexo_clip.export.embedding import imu_encoder
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.handcrafted_features import handcrafted_features

Vectors = Literal["features", "embeddings", "handcrafted"]

SAME_TIME = 1e-6
"""Times of windows that differ by less are the same [s]."""


@dataclass(frozen=True)
class DatasetVectors:
    """One vector for each of the N evaluation windows of a dataset."""

    vector_ND: npt.NDArray[np.float32]
    """[N, D]"""
    label_N: npt.NDArray[np.str_]
    """Activity at the end of the window, at the first horizon of the dataset; empty if the moment has no label."""
    subject_N: npt.NDArray[np.str_]
    """Subject: what `groups` of scikit-learn's splitters takes."""
    clip_N: npt.NDArray[np.str_]
    """`subject/recording` of the clip that contains the window."""
    start_N: Floats
    """Start of the window in its clip [s]."""
    recording_N: Ints
    """Index of the recording that the clip was cut from; clips of one recording may share seconds."""
    time_N: Floats
    """Start of the window in that recording [s]."""
    window: float
    """Length of a window [s]."""

    def __len__(self) -> int:
        return len(self.vector_ND)

    def row_at(self, clip: str, time: float) -> int:
        """Return the window whose middle is nearest to a time in a clip [s].

        Seconds that clips share are windows of the first of them. Raises `ConfigError` if the clip has no window.
        """
        row_M = np.flatnonzero(self.clip_N == clip)
        if not len(row_M):
            raise ConfigError(f"no windows of a clip {clip}{nearest(clip, sorted(set(self.clip_N.tolist())))}")
        return int(row_M[np.abs(self.start_N[row_M] + self.window / 2 - time).argmin()])

    def best(self, score_N: npt.NDArray[np.floating], top: int) -> Ints:
        """Return the windows with the highest scores that share no time with a better one, at most `top`.

        Windows with a score of -inf are left out.
        """
        return best_without_overlap(score_N, self.recording_N, self.time_N, self.window, top)


def embed_dataset(
    data: Recordings,
    encoder: str | Path | PretrainedEncoder,
    subjects: Sequence[str] | None = None,
    *,
    vectors: Vectors = "features",
    batch: int = 64,
    progress: Progress = silent_progress,
) -> DatasetVectors:
    """Compute a vector for each evaluation window of some subjects, with its label and subject.

    - `data`: recordings with the channels, units, rate and window of the encoder.
    - `encoder`: an IMU encoder, or its folder.
    - `subjects`: as the dataset names them; None for its test subjects. Results only hold for new people if they are
      none of `encoder.subjects`.
    - `vectors`: `features` for downstream tasks; `embeddings`, unit vectors of the whole window in the space shared
      with video, for similarity; `handcrafted` features of the same windows, a baseline.
    - `batch`: number of windows that are encoded at a time.

    Raises `ConfigError` if the encoder is one of video or has no embeddings, and `DataError` if a recording cannot be
    read or the windows do not have the format of the encoder.
    """
    if isinstance(encoder, (str, Path)):
        encoder = imu_encoder(encoder)
    if not isinstance(encoder, PretrainedImuEncoder):
        raise ConfigError("this is an encoder of video; embedding a dataset takes one of IMU")
    compute = _function(encoder, vectors)
    windows = data.evaluating(data.subjects("test") if subjects is None else tuple(subjects)).labelled("test", seed=0)
    check_same_imu(encoder.spec, windows.imu_spec, None)
    with progress("embedding") as on_progress:
        vector_ND = _computed(windows, compute, batch, on_progress)
    clip_N, start_N = windows.windows.clip_N, windows.windows.start_N
    names = np.array([*windows.activities, ""])
    label_N = windows.labels(0)[:, 0]
    return DatasetVectors(
        vector_ND=vector_ND,
        label_N=names[np.where(label_N == UNLABELLED, len(names) - 1, label_N)],
        subject_N=np.array(windows.clip_subjects)[clip_N],
        clip_N=np.array(windows.clip_names)[clip_N],
        start_N=start_N,
        recording_N=windows.clip_recordings[clip_N],
        time_N=start_N + windows.clip_offsets[clip_N],
        window=windows.imu_spec.window,
    )


def best_without_overlap(
    score_N: npt.NDArray[np.floating], recording_N: Ints, time_N: Floats, window: float, top: int
) -> Ints:
    """Return the windows with the highest scores of which no two share time in a recording, at most `top`.

    `time_N` are their starts in the recording [s], `window` is their length [s]. Scores of -inf are left out.
    """
    found: list[int] = []
    for place in np.argsort(-score_N, kind="stable").tolist():
        if score_N[place] == -np.inf or len(found) == top:
            break
        same_M = recording_N[found] == recording_N[place]
        if not (same_M & (np.abs(time_N[found] - time_N[place]) < window - SAME_TIME)).any():
            found.append(place)
    return np.array(found, dtype=np.int64)


def _function(encoder: PretrainedImuEncoder, vectors: Vectors) -> Callable[[Tensor], Tensor]:
    """Return what computes vectors [B, D] of windows [B, L, C]."""
    if vectors == "handcrafted":
        return lambda imu_BLC: handcrafted_features(imu_BLC, encoder.spec.rate)
    if vectors == "features":
        return encoder.features
    if encoder.head is None:
        raise ConfigError('this encoder has features only, no embeddings: pass vectors="features"')
    return lambda imu_BLC: encoder.project(encoder.features(imu_BLC))


@torch.no_grad()
def _computed(
    windows: LabelledWindows, compute: Callable[[Tensor], Tensor], batch: int, on_progress: OnProgress
) -> npt.NDArray[np.float32]:
    found = []
    for first in range(0, len(windows), batch):
        rows = range(first, min(first + batch, len(windows)))
        found.append(compute(arrived(collate([windows[0, row] for row in rows])).imu_BLC).float())
        on_progress(rows.stop, len(windows))
    return torch.cat(found).numpy()
