"""What an experiment asks of a dataset."""

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
from torch.utils.data import Dataset as TorchDataset

from revalexo_clip.core.component import Component
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.core.types import ImuSpec, Sample, Split, VideoSpec

NO_VIDEO = torch.empty(0, 0, 0, 3, dtype=torch.uint8)
"""No frames at all: what samples hold whose video was not asked for."""


@dataclass(frozen=True)
class Windows:
    """Where each of N windows comes from."""

    clip_N: npt.NDArray[np.int64]
    """Index into the dataset's clips."""
    start_N: npt.NDArray[np.float64]
    """Start in the clip [s]: of the window for evaluation, of the segment it is drawn from for training."""

    def __len__(self) -> int:
        return len(self.clip_N)


class LabelledWindows(TorchDataset[Sample], ABC):
    """Labelled IMU windows of a split. `dataset[epoch, index]` is a function of (seed, epoch, index) and nothing else.

    They may have video too, see `WindowDataset`; where they do not, samples hold `NO_VIDEO`.
    """

    windows: Windows
    clip_subjects: tuple[str, ...]
    """Subject of each clip."""
    clip_names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    activities: tuple[str, ...]
    """Activity names; a label is an index into them."""
    horizons: tuple[float, ...]
    """How long after a window's end its labels are read [s]."""
    imu_spec: ImuSpec
    num_too_short: int
    """Clips that were shorter than the minimum."""
    excluded: Mapping[str, str] = MappingProxyType({})
    """`subject/pair id` of each clip that was left out because it is bad, and what is wrong with it."""

    def __len__(self) -> int:
        return len(self.windows)

    @abstractmethod
    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Window `index` as drawn in `epoch`. Raises `DataError`, which names the file, where it cannot be read."""

    @abstractmethod
    def labels(self, epoch: int) -> npt.NDArray[np.int64]:
        """[N, K] what `label_K` of each window is in an epoch, found without reading any recording."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the data, cheap to take: equal where the same recordings are described in the same way."""

    @abstractmethod
    def imu_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over all recordings of the split, [C] each, in its unit.

        Raises `DataError` where a channel is constant, or a recording cannot be read.
        """


class WindowDataset(LabelledWindows):
    """Windows of IMU and video.

    Training windows have whole frames, their short side `video_spec.short_side`; evaluation windows have the centre
    crop, `video_spec.crop` square.
    """

    video_spec: VideoSpec


class Recordings(Component, ABC):
    """Labelled IMU recordings, perhaps with video, cut into windows, split by subject."""

    workers: NonNegativeInt = 2
    """Loader processes for each training process; 0 loads in the process itself. Changes speed, never samples."""

    @abstractmethod
    def labelled(self, split: Split, seed: int) -> LabelledWindows:
        """Index the IMU of a split on disk: training windows for `train`, evaluation windows for `val` and `test`.

        Videos are not looked at. Raises `DataError`, naming the file, where the dataset is not what it should be.
        """

    @abstractmethod
    def subjects(self, split: Split) -> tuple[str, ...]:
        """The subjects of a split."""

    @abstractmethod
    def split(self, train: tuple[str, ...], val: tuple[str, ...], test: tuple[str, ...]) -> Self:
        """The same data with these subjects and no others."""

    def evaluating(self, subjects: tuple[str, ...]) -> Self:
        """The same data with these test subjects and no others, so that `test` gives evaluation windows of anybody."""
        return self.split((), (), subjects)

    def unprepared(self) -> bool:
        """Whether `prepare` has something to do that makes training quicker, and takes long itself."""
        return False

    def prepare(self, on_progress: OnProgress, *, leader: bool) -> None:
        """Do what is worth doing once before training. Of the processes of a run one leads and the others wait for it.

        A sample is the same with and without it, but for compression.
        """


class Dataset(Recordings):
    """Synchronized IMU and first-person video, cut into windows, split by subject."""

    @abstractmethod
    def build(self, split: Split, seed: int) -> WindowDataset:
        """Index the split on disk: training windows for `train`, evaluation windows for `val` and `test`.

        Raises `DataError`, naming the file, where the dataset is not what it should be.
        """
