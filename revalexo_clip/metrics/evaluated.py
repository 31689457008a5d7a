"""Inputs of the metrics: embedded evaluation windows, and predictions of an activity classifier for test windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FEATURES = ("imu", "imu_untrained", "handcrafted", "video", "both")
"""Names of the probed features: of the pretrained IMU encoder; of the same encoder with its initial weights; statistics
and spectrum of the raw channels; of the video encoder; of IMU and video concatenated."""
SUPERVISED = "imu_supervised"
"""Name of the features of the reference, the same IMU encoder trained on all labels. They are there only if one is
given."""


@dataclass(frozen=True)
class EvaluatedWindows:
    """N windows of evaluation subjects, in the order of their dataset."""

    imu_ND: Tensor
    """[N, D] float32, unit vectors in the shared space."""
    video_ND: Tensor
    """[N, D] float32, unit vectors in the shared space; [N, 0] for a model of IMU alone."""
    features: Mapping[str, Tensor]
    """[N, F] float32 for each of the `FEATURES` except `both`, and perhaps `SUPERVISED`: encoder outputs before the
    projection. Without video there is no `video`."""
    label_NK: Tensor
    """[N, K] int64, the activity at each horizon, `UNLABELLED` outside every segment."""
    transition_NK: Tensor
    """[N, K] bool, whether the body is between two activities."""
    clip_N: Tensor
    """[N] int64, index into the clips."""
    start_N: Tensor
    """[N] float64, start in the clip [s]."""
    recording_N: Tensor
    """[N] int64, number of the recording that the clip is a piece of."""
    time_N: Tensor
    """[N] float64, start in the recording [s]. Two windows are compared by recording and time, not by clip."""
    clip_subjects: tuple[str, ...]
    """Subject of each clip."""
    clip_names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    activities: tuple[str, ...]
    """Activity names; a label is an index into them."""
    horizons: tuple[float, ...]
    """Prediction horizons of the K labels, after the end of the window [s]."""
    moving_N: Tensor | None = None
    """[N] bool, whether the body moves, see `moving`; None if that is not known."""

    def __len__(self) -> int:
        return len(self.clip_N)

    @property
    def has_video(self) -> bool:
        """Whether the windows were encoded with video, too."""
        return "video" in self.features

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, sorted."""
        return tuple(sorted(set(self.clip_subjects)))

    def among(self, row_M: Ints) -> EvaluatedWindows:
        """Return some of the windows, [M] rows. Clips keep their numbers."""
        of = torch.from_numpy(row_M)
        return replace(
            self,
            imu_ND=self.imu_ND[of],
            video_ND=self.video_ND[of],
            features={name: rows_NF[of] for name, rows_NF in self.features.items()},
            label_NK=self.label_NK[of],
            transition_NK=self.transition_NK[of],
            clip_N=self.clip_N[of],
            start_N=self.start_N[of],
            recording_N=self.recording_N[of],
            time_N=self.time_N[of],
            moving_N=None if self.moving_N is None else self.moving_N[of],
        )

    def of_subject(self) -> Ints:
        """Return the subject of each window as its index in `subjects`, [N]."""
        place = {subject: number for number, subject in enumerate(self.subjects)}
        of_clip_J = np.array([place[subject] for subject in self.clip_subjects], dtype=np.int64)
        return np.asarray(of_clip_J[self.clip_N.numpy()])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all features that there are: of the `FEATURES`, and `SUPERVISED`."""
        there = FEATURES if self.has_video else tuple(name for name in FEATURES if name in self.features)
        return (*there, SUPERVISED) if SUPERVISED in self.features else there

    def feature(self, name: str) -> Floats:
        """Return the features of that name, [N, F]."""
        parts = ("imu", "video") if name == "both" else (name,)
        return np.concatenate([self.features[part].numpy() for part in parts], axis=1, dtype=np.float64)


@dataclass(frozen=True)
class Predictions:
    """Predictions for N test windows at K horizons, among A activities."""

    logits_NKA: npt.NDArray[np.float32]
    label_NK: Ints
    """The activity at each horizon, `UNLABELLED` outside every segment."""
    transition_NK: Bools
    """Whether the body is between two activities."""
    clip_N: Ints
    """Index into the clips."""
    start_N: Floats
    """Start in the clip [s]."""
    recording_N: Ints
    """Number of the recording that the clip is a piece of."""
    time_N: Floats
    """Start in the recording [s]. Two windows are compared by recording and time, not by clip."""
    clip_subjects: tuple[str, ...]
    """Subject of each clip."""
    clip_names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    activities: tuple[str, ...]
    """Activity names; a label is an index into them."""
    horizons: tuple[float, ...]
    """Prediction horizons of the K labels, after the end of the window [s]."""

    def __len__(self) -> int:
        return len(self.clip_N)

    def predicted(self) -> Ints:
        """Return the activity with the largest logit, [N, K]; of equal ones the first."""
        return np.asarray(self.logits_NKA.argmax(axis=2), dtype=np.int64)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate the windows of several predictions with the same activities and horizons.

    Clips and recordings are numbered anew, so that those of different parts stay apart.
    """
    first = parts[0]
    clips = np.cumsum([0, *(len(part.clip_names) for part in parts)])
    recordings = np.cumsum([0, *(int(part.recording_N.max(initial=-1)) + 1 for part in parts)])
    return Predictions(
        logits_NKA=np.concatenate([part.logits_NKA for part in parts]),
        label_NK=np.concatenate([part.label_NK for part in parts]),
        transition_NK=np.concatenate([part.transition_NK for part in parts]),
        clip_N=np.concatenate([part.clip_N + before for part, before in zip(parts, clips, strict=False)]),
        start_N=np.concatenate([part.start_N for part in parts]),
        recording_N=np.concatenate(
            [part.recording_N + before for part, before in zip(parts, recordings, strict=False)]
        ),
        time_N=np.concatenate([part.time_N for part in parts]),
        clip_subjects=tuple(subject for part in parts for subject in part.clip_subjects),
        clip_names=tuple(name for part in parts for name in part.clip_names),
        activities=first.activities,
        horizons=first.horizons,
    )
