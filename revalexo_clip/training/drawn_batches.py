"""Training windows with the random draws of their augmentation, from the loader to the training step."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from revalexo_clip.augment import Augmented, Augments, Draws, stack
from revalexo_clip.config.loading import experiment_files, import_experiment_file
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Batch, Sample, Stack
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.dataset import Fetch, collate
from revalexo_clip.data.texts.base import NO_TEXT, WindowTexts
from revalexo_clip.data.windows import AUGMENTATION, SECOND_VIEW, sample_rng


class Portable:
    """An object that is pickled together with the experiment files that this process has imported.

    On macOS and Windows, loader workers are not forks of the training process. Classes from experiment files are
    pickled by the name of their module, which another process can only find after it has imported the files.
    """

    def __getstate__(self) -> Mapping[str, object]:
        return {"files": experiment_files(), "content": pickle.dumps(self.__dict__)}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        files, content = state["files"], state["content"]
        assert isinstance(files, tuple)
        assert isinstance(content, bytes)
        for path in files:
            if path not in experiment_files():
                import_experiment_file(path)
        self.__dict__.update(pickle.loads(content))  # noqa: S301 - the data comes from the parent process


class TrainingSample(NamedTuple):
    """One window, the draws of its augmentation, and its sentence."""

    window: Sample
    draws: Draws
    text: int = NO_TEXT
    """Index of its sentence, see `WindowTexts`."""


class TrainingBatch(NamedTuple):
    """B windows, the draws of their augmentation, and their sentences."""

    windows: Batch
    """Frames are already cropped, [B, T, crop, crop, 3] uint8, in their original colours."""
    draws: Draws
    text_B: Tensor
    """[B] int64, index of the sentence of each window, `NO_TEXT` for those that have none."""

    def of(self, rows: Tensor) -> TrainingBatch:
        """Return a copy of some of the windows, given their indices."""
        windows = Batch(*(x_B[rows] for x_B in self.windows))
        return TrainingBatch(windows, self.draws.of(rows), self.text_B[rows])

    def augmented(self, rows: slice, augmentation: Augments, into_B3THW: Tensor | None = None) -> Augmented:
        """Augment some of the windows, see `Augments.apply`. The others do not become floats, which take more memory.

        A window is augmented in the same way each time, whatever the other rows are.
        """
        windows, draws = self.windows, self.draws.of(rows)
        return augmentation.apply(
            windows.imu_BLC[rows], windows.video_BTHWC[rows], windows.motion_BMYX3[rows], draws, into_B3THW
        )


class FetchAndDraw(Portable, TorchDataset[TrainingSample | DataError]):
    """A dataset's windows, their draws and their sentences, all a function of (seed, epoch, index)."""

    def __init__(
        self, dataset: LabelledWindows, augmentation: Augments, seed: int, texts: WindowTexts | None = None
    ) -> None:
        self.fetch = Fetch(dataset)
        self.augmentation = augmentation
        self.seed = seed
        self.texts = texts

    def __len__(self) -> int:
        return len(self.fetch)

    def __getitem__(self, key: tuple[int, int]) -> TrainingSample | DataError:
        window = self.fetch[key]
        if isinstance(window, DataError):
            return window
        rng = sample_rng(self.seed, *key, stream=AUGMENTATION)
        second = sample_rng(self.seed, *key, stream=SECOND_VIEW) if self.augmentation.second_view else None
        read = window.imu_LC.numpy(), window.video_THWC.numpy()
        imu_LC, video_THWC, draws = self.augmentation.sample(rng, *read, second)
        joint = self.fetch.dataset.joint_draws(*key)
        if joint is not None:  # the kept features show them, and the IMU window has to match
            draws = draws._replace(joint=joint)
        changed = window._replace(imu_LC=torch.from_numpy(imu_LC), video_THWC=torch.from_numpy(video_THWC))
        text = NO_TEXT if self.texts is None else self.texts.draw(window, self.seed, *key)
        return TrainingSample(changed, draws, text)


def collate_training(
    samples: Sequence[TrainingSample | DataError], stacked: Stack = torch.stack
) -> TrainingBatch | DataError:
    """Stack B windows and their draws, by the function `stacked`, or return the first error among them."""
    read = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        read.append(sample)
    windows = collate([sample.window for sample in read], stacked)
    assert not isinstance(windows, DataError)
    text_B = stacked([torch.tensor(sample.text) for sample in read])
    return TrainingBatch(windows, stack([sample.draws for sample in read], stacked), text_B)
