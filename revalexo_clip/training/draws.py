"""Training windows with the draws for their augmentation, from the loader to the training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset as TorchDataset

from revalexo_clip.augment import Augments, Draws, stack
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.dataset import Fetch, collate
from revalexo_clip.data.windows import AUGMENTATION, sample_rng
from revalexo_clip.errors import DataError
from revalexo_clip.training.portable import Portable
from revalexo_clip.types import Batch, Sample


class TrainingSample(NamedTuple):
    """One window, and what is to be done to it."""

    window: Sample
    draws: Draws


class TrainingBatch(NamedTuple):
    """B windows, and what is to be done to each."""

    windows: Batch
    """The frames are as the loader has them, uint8; those of smaller ones are padded below and to the right."""
    draws: Draws


class FetchAndDraw(Portable, TorchDataset[TrainingSample | DataError]):
    """A dataset's windows with draws that are, like the windows, a function of (seed, epoch, index)."""

    def __init__(self, dataset: LabelledWindows, augmentation: Augments, seed: int) -> None:
        self.fetch = Fetch(dataset)
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.fetch)

    def __getitem__(self, key: tuple[int, int]) -> TrainingSample | DataError:
        window = self.fetch[key]
        if isinstance(window, DataError):
            return window
        rng = sample_rng(self.seed, *key, stream=AUGMENTATION)
        imu_LC, video_THWC, draws = self.augmentation.sample(rng, window.imu_LC.numpy(), window.video_THWC.numpy())
        changed = window._replace(imu_LC=torch.from_numpy(imu_LC), video_THWC=torch.from_numpy(video_THWC))
        return TrainingSample(changed, draws)


def collate_training(samples: Sequence[TrainingSample | DataError]) -> TrainingBatch | DataError:
    """B windows and their draws, stacked; or the first error among them.

    Where the source frames differ in size, the smaller ones are padded: no view reaches into the padding.
    """
    read = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        read.append(sample)
    height, width = (max(sample.window.video_THWC.shape[axis] for sample in read) for axis in (1, 2))
    windows = collate(
        [sample.window._replace(video_THWC=padded(sample.window.video_THWC, height, width)) for sample in read]
    )
    assert not isinstance(windows, DataError)
    return TrainingBatch(windows, stack([sample.draws for sample in read]))


def padded(video_THWC: Tensor, height: int, width: int) -> Tensor:
    """[T, height, width, 3] with zeros below and to the right."""
    if video_THWC.shape[1:3] == (height, width):
        return video_THWC
    return pad(video_THWC, (0, 0, 0, width - video_THWC.shape[2], 0, height - video_THWC.shape[1]))
