"""Interfaces of datasets: windows, recordings, and recordings with video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import NonNegativeInt
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import ImuSpec, Sample, Split, VideoSpec
from revalexo_clip.data.recordings.file_format import FileFormat

NO_VIDEO = torch.empty(0, 0, 0, 3, dtype=torch.uint8)
"""The video of samples that have none: zero frames."""
NO_MOTION = torch.empty(0, 0, 0, 3)
"""The measured motion of samples that have none: zero moments."""
NO_FEATURES = torch.empty(0, 0)
"""The features of samples whose frames are encoded: zero moments."""


@dataclass(frozen=True)
class Windows:
    """Clip and start time of each of N windows."""

    clip_N: npt.NDArray[np.int64]
    """Index into the dataset's clips."""
    start_N: npt.NDArray[np.float64]
    """Start time within the clip [s]: of the window (evaluation), or of the segment it is drawn from (training)."""

    def __len__(self) -> int:
        return len(self.clip_N)


class LabelledWindows(TorchDataset[Sample], ABC):
    """Labelled IMU windows of a split. `dataset[epoch, index]` depends only on (seed, epoch, index).

    Samples contain no video, except those of a `WindowDataset`. A subclass sets the attributes, and implements
    `__getitem__`, which returns `sample(...)`, `labels`, `fingerprint` and `imu_statistics`.
    """

    windows: Windows
    """Clip and start of each window."""
    clip_subjects: tuple[str, ...]
    """Subject of each clip."""
    clip_names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    clip_recordings: npt.NDArray[np.int64]
    """[J] index of the recording that each clip is a piece of."""
    clip_offsets: npt.NDArray[np.float64]
    """[J] start of each clip in its recording [s]. Windows are compared by recording and time in it, not by clip."""
    shared_seconds: float = 0.0
    """Time of all clips that an earlier clip of their recording contains, too [s]."""
    activities: tuple[str, ...]
    """Activity names; a label is an index into them."""
    horizons: tuple[float, ...]
    """Label times, relative to the end of the window [s]."""
    imu_spec: ImuSpec
    """Format of the IMU windows."""
    video_spec: VideoSpec | None = None
    """None except for a `WindowDataset`."""
    num_too_short: int
    """Number of clips that are left out because they are shorter than the minimum."""
    excluded: Mapping[str, str] = MappingProxyType({})
    """Bad clips that are left out: `subject/pair id` of each, and its first problem."""

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def feature_bytes(self) -> int:
        """Size of the kept features of a window [bytes]; 0 if they are not kept."""
        return 0

    def joint_draws(self, epoch: int, index: int) -> tuple[Tensor, ...] | None:
        """Return the draws of joint augmentations that the kept features of a window show; None if it has none."""
        return None

    @property
    def recording_subjects(self) -> tuple[str, ...]:
        """Subject of each recording."""
        subjects = dict(zip(self.clip_recordings.tolist(), self.clip_subjects, strict=True))
        return tuple(subjects[recording] for recording in range(len(subjects)))

    @abstractmethod
    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return window `index` of `epoch`. Raises `DataError`, naming the file, if it cannot be read."""

    def sample(
        self,
        index: int,
        start: float,
        imu_LC: Tensor,
        label_K: Tensor,
        *,
        video_THWC: Tensor = NO_VIDEO,
        motion_MYX3: Tensor = NO_MOTION,
        features_MP: Tensor = NO_FEATURES,
        transition_K: Tensor | None = None,
    ) -> Sample:
        """Build the sample of window `index`, which starts at `start` [s] of its clip. See `Sample` for the tensors.

        Without `transition_K`, no moment lies between two activities.
        """
        clip = int(self.windows.clip_N[index])
        whole = torch.from_numpy(np.array([clip, self.clip_recordings[clip], index]))
        seconds = torch.from_numpy(np.array([start, start + float(self.clip_offsets[clip])]))
        return Sample(
            imu_LC=imu_LC,
            video_THWC=video_THWC,
            motion_MYX3=motion_MYX3,
            features_MP=features_MP,
            label_K=label_K,
            transition_K=torch.zeros_like(label_K, dtype=torch.bool) if transition_K is None else transition_K,
            clip=whole[0],
            start=seconds[0],
            recording=whole[1],
            time=seconds[1],
            window=whole[2],
        )

    @abstractmethod
    def labels(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return [N, K], `label_K` of each window in an epoch, without reading any recording."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a digest of the data. It is cheap, and equal if the same recordings have the same descriptions."""

    @abstractmethod
    def imu_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute the mean and standard deviation of each channel over all recordings, [C] each, in its unit.

        Raises `DataError` if a channel is constant, or if a recording cannot be read.
        """


class WindowDataset(LabelledWindows):
    """Windows of IMU and video: frames, measured motion, or both.

    Training windows have full frames with short side `video_spec.short_side`. Evaluation windows have a square centre
    crop of side `video_spec.crop`. Motion is that of the full upright frames.
    """

    video_spec: VideoSpec
    """Format of the video windows."""

    def shown_frames(self, index: int, count: int, side: int) -> Tensor:
        """Return frames of an evaluation window for people to look at, [T, H, W, 3] uint8.

        They are those of the window. If windows have measured motion only, `count` frames of `side` [px] are read.
        """
        return self[0, index].video_THWC


class Recordings(Component, ABC):
    """Labelled IMU recordings, cut into windows and split by subject; they may have video."""

    workers: NonNegativeInt = 2
    """Number of loader workers per training process; 0 loads in the training process. Does not change samples."""

    @abstractmethod
    def labelled(self, split: Split, seed: int) -> LabelledWindows:
        """Index the IMU data of a split: training windows for `train`, evaluation windows for `val` and `test`.

        Ignores videos. Raises `DataError`, naming the file, if the dataset is invalid.
        """

    def build(self, split: Split, seed: int) -> WindowDataset:
        """Index the IMU and video data of a split, see `Dataset.build`. Raises `ConfigError` if there is no video."""
        raise ConfigError(f"data: {type(self).__name__} has no video")

    @abstractmethod
    def subjects(self, split: Split) -> tuple[str, ...]:
        """Return the subjects of a split."""

    @abstractmethod
    def split(self, train: tuple[str, ...], val: tuple[str, ...], test: tuple[str, ...]) -> Self:
        """Return a copy with these subjects only."""

    def evaluating(self, subjects: tuple[str, ...]) -> Self:
        """Return a copy with these test subjects only, so that `test` gives evaluation windows of any subjects."""
        return self.split((), (), subjects)

    def file_format(self) -> FileFormat | None:
        """Return the names and units in the files; None if they are those of the windows."""
        return None

    def unprepared(self) -> bool:
        """Return whether `prepare` has slow work to do that makes training faster."""
        return False

    def prepare(self, on_progress: OnProgress, *, leader: bool) -> None:
        """Do work that is needed once before training. One process of a run is the leader; the others wait for it.

        Samples are the same before and after, except for compression.
        """


class Dataset(Recordings):
    """Synchronized IMU and egocentric video, cut into windows and split by subject."""

    @abstractmethod
    def build(self, split: Split, seed: int) -> WindowDataset:
        """Index a split: training windows for `train`, evaluation windows for `val` and `test`.

        Raises `DataError`, naming the file, if the dataset is invalid.
        """
