"""Training windows with the draws for their augmentation, from the loader to the training step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, overload

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import get_worker_info

from revalexo_clip.augment import Augmentation, Draws, stack
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.dataset import Fetch, collate
from revalexo_clip.data.sampler import Key
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

    def __init__(self, dataset: WindowDataset, augmentation: Augmentation, seed: int) -> None:
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

    def __getitems__(self, keys: Sequence[Key]) -> Sequence[TrainingSample | DataError]:
        """A batch, as a loader asks for it: each window is loaded when `collate_training` comes to it."""
        return _Unloaded(self, keys)


class _Unloaded(Sequence[TrainingSample | DataError]):
    """Windows that are loaded as they are taken, and not kept."""

    def __init__(self, dataset: FetchAndDraw, keys: Sequence[Key]) -> None:
        self.dataset = dataset
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> TrainingSample | DataError: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[TrainingSample | DataError]: ...

    def __getitem__(self, place: int | slice) -> TrainingSample | DataError | Sequence[TrainingSample | DataError]:
        return _Unloaded(self.dataset, self.keys[place]) if isinstance(place, slice) else self.dataset[self.keys[place]]


def collate_training(samples: Sequence[TrainingSample | DataError]) -> TrainingBatch | DataError:
    """B windows and their draws, stacked; or the first error among them.

    Frames go to their place in the batch one window after the other, so that memory holds one batch and not two. Where
    the source frames differ in size, the smaller ones are padded: no view reaches into the padding.
    """
    video_BTHWC = torch.empty(0, 0, 0, 0, 3, dtype=torch.uint8)
    rest, draws = [], []
    for place, sample in enumerate(samples):
        if isinstance(sample, DataError):
            return sample
        video_THWC = sample.window.video_THWC
        video_BTHWC = _with_room(video_BTHWC, len(samples), video_THWC.shape)
        height, width = video_THWC.shape[1:3]
        if video_THWC.shape != video_BTHWC.shape[1:]:
            video_BTHWC[place].zero_()
        video_BTHWC[place, :, :height, :width] = video_THWC
        rest.append(sample.window._replace(video_THWC=torch.empty(0)))
        draws.append(sample.draws)
    windows = collate(rest)
    assert not isinstance(windows, DataError)
    return TrainingBatch(windows._replace(video_BTHWC=video_BTHWC), stack(draws))


def _with_room(video_BTHWC: Tensor, count: int, shape: torch.Size) -> Tensor:
    """[B, T, H, W, 3] for `count` windows, in which one of this shape has room, and what was there before."""
    if not len(video_BTHWC):
        return _memory((count, *shape))
    below, right = (max(shape[axis - 1] - video_BTHWC.shape[axis], 0) for axis in (2, 3))
    return pad(video_BTHWC, (0, 0, 0, right, 0, below)) if below or right else video_BTHWC


def _memory(shape: tuple[int, ...]) -> Tensor:
    """Bytes that nothing was written to; in a loader worker those that the training process will read."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    # What torch's own collate function calls, and gives no types for.
    shared = torch.UntypedStorage._new_shared(math.prod(shape))  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(shared).view(shape)
