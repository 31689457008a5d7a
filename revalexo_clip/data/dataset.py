"""Datasets of windows, and passing their batches and errors from loader workers to training.

If a loader worker raises an exception, the training process receives the worker's traceback as the message. Therefore
a `DataError` is passed as a value in place of the batch, and raised in the training process:

    loader = DataLoader(Fetch(dataset), sampler=..., collate_fn=collate, ...)
    for fetched in loader:
        batch = arrived(fetched)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Batch, ImuSpec, Sample, Stack, VideoSpec
from revalexo_clip.data import windows
from revalexo_clip.data.base import NO_FEATURES, NO_MOTION, NO_VIDEO, LabelledWindows, WindowDataset, Windows
from revalexo_clip.data.features import FeatureFiles
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.source import ClipSource, ImuSource, MotionSource
from revalexo_clip.data.start_grid import StartGrid

Arrival = TypeVar("Arrival")


class LabelledClips(LabelledWindows):
    """Labelled windows of the IMU recordings of indexed clips, read from a source."""

    def __init__(
        self,
        index: ClipIndex,
        placed: Windows,
        source: ImuSource,
        *,
        imu_spec: ImuSpec,
        horizons: tuple[float, ...],
        seed: int,
        segment_N: windows.Floats | None,
        excluded: Mapping[str, str] | None = None,
    ) -> None:
        """Set the windows' start times.

        Evaluation (`segment_N` is None): `placed` has the start of each window. Training: `placed` has the start of
        each segment, `segment_N` [s] the segment length of each clip, and each epoch draws a start in each segment.
        """
        self.index = index
        self.windows = placed
        self.source = source
        self.clip_subjects = index.subjects
        self.clip_names = index.names
        self.clip_recordings = index.times.recording_N
        self.clip_offsets = index.times.offset_N
        self.shared_seconds = float(index.times.shared_seconds().sum())
        self.activities = index.activities
        self.imu_spec = imu_spec
        self.num_too_short = index.num_too_short
        self.excluded = excluded or {}
        self.horizons = horizons
        self.seed = seed
        self.segment_N = segment_N
        self.grid: StartGrid | None = None
        """Times at which training windows may start; None if they start anywhere."""

    def start_on_grid(self, step: float) -> None:
        """Let training windows start at multiples of `step` [s] only, see `StartGrid`. Others do not change."""
        if self.segment_N is not None:
            self.grid = StartGrid(step, self.windows, self.segment_N)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        if not isinstance(key, tuple):
            raise TypeError(f"a window is chosen by epoch and index, windows[0, {key}], not by {key!r} alone")
        epoch, index = key
        clip = int(self.windows.clip_N[index])
        start = self._start(epoch, index)
        try:
            imu_LC, video_THWC = self.source.imu(clip, self._imu_place(clip, start)), self._video(clip, start)
            motion_MYX3, features_MP = self._motion(clip, start), self._features(epoch, index, clip, start)
        except DataError as error:
            raise DataError(f"{self.clip_names[clip]}, window at {start:.3f} s: {error}") from error
        label_K, transition_K = self._labels(clip, start)
        return self.sample(
            index,
            start,
            torch.from_numpy(imu_LC),
            torch.from_numpy(label_K),
            video_THWC=video_THWC,
            motion_MYX3=motion_MYX3,
            features_MP=features_MP,
            transition_K=torch.from_numpy(transition_K),
        )

    def labels(self, epoch: int) -> windows.Ints:
        """See `LabelledWindows.labels`. Looks up all windows of a clip at once."""
        start_N = np.array([self._start(epoch, index) for index in range(len(self))])
        label_NK = np.empty((len(self), len(self.horizons)), dtype=np.int64)
        order_N = np.argsort(self.windows.clip_N, kind="stable")
        of_clip = np.split(order_N, np.cumsum(np.bincount(self.windows.clip_N, minlength=len(self.index))[:-1]))
        for clip, place_W in enumerate(of_clip):
            time_WK = self._times(start_N[place_W])
            label_NK[place_W] = self._activities_at(clip, time_WK.ravel()).reshape(time_WK.shape)
        return label_NK

    def fingerprint(self) -> str:
        """See `LabelledWindows.fingerprint`."""
        return self.source.fingerprint()

    def imu_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `LabelledWindows.imu_statistics`. Every sample has the same weight."""
        total_C, squares_C, samples = np.zeros(len(self.imu_spec.channels)), 0.0, 0
        for clip in range(len(self.index)):
            samples_nC = self.source.imu(clip, slice(0, self.source.samples(clip))).astype(np.float64)
            total_C += samples_nC.sum(axis=0)
            samples += len(samples_nC)
        mean_C = total_C / samples
        for clip in range(len(self.index)):  # subtract the mean first: gravity would hide small deviations
            around_nC = self.source.imu(clip, slice(0, self.source.samples(clip))) - mean_C
            squares_C = squares_C + (around_nC**2).sum(axis=0)
        std_C = np.sqrt(squares_C / samples)
        flat = [name for name, std in zip(self.imu_spec.channels, std_C, strict=True) if std < 1e-6]
        if flat:
            raise DataError(f"constant channels cannot be standardised: {', '.join(flat)}; leave them out")
        return tuple(mean_C.tolist()), tuple(std_C.tolist())

    def _start(self, epoch: int, index: int) -> float:
        start = float(self.windows.start_N[index])
        if self.segment_N is None:
            return start
        clip, rng = int(self.windows.clip_N[index]), windows.sample_rng(self.seed, epoch, index)
        start = windows.draw_start(rng, start, float(self.segment_N[clip]))
        return start if self.grid is None else self.grid.nearest(clip, start)

    def _imu_place(self, clip: int, start: float) -> slice:
        spec, available = self.imu_spec, self.source.samples(clip)
        try:
            return windows.imu_slice(start, spec.rate, spec.samples, available, self.source.first(clip))
        except DataError as error:
            raise DataError(f"{self.index.imu(clip)}: {error}") from error

    def _video(self, clip: int, start: float) -> Tensor:
        return NO_VIDEO

    def _motion(self, clip: int, start: float) -> Tensor:
        return NO_MOTION

    def _features(self, epoch: int, index: int, clip: int, start: float) -> Tensor:
        return NO_FEATURES

    def _labels(self, clip: int, start: float) -> tuple[windows.Ints, windows.Bools]:
        (time_K,) = self._times(np.array([start]))
        starts_S, ends_S, _ = self.index.transition.of(clip)
        transition_K = windows.in_any(time_K, starts_S, ends_S, clip_end=float(self.index.duration_N[clip]))
        return self._activities_at(clip, time_K), transition_K

    def _times(self, start_W: windows.Floats) -> windows.Floats:
        """Return [W, K], the label times of windows [s]."""
        return np.asarray(start_W[:, None] + self.imu_spec.window + np.array(self.horizons))

    def _activities_at(self, clip: int, time_M: windows.Floats) -> windows.Ints:
        return windows.label_at(time_M, *self.index.activity.of(clip), clip_end=float(self.index.duration_N[clip]))


class ClipWindows(LabelledClips, WindowDataset):
    """`LabelledClips` with video or measured motion. Training windows have full frames, which augmentation crops."""

    source: ClipSource

    def __init__(
        self,
        index: ClipIndex,
        placed: Windows,
        source: ClipSource,
        *,
        imu_spec: ImuSpec,
        video_spec: VideoSpec,
        horizons: tuple[float, ...],
        seed: int,
        segment_N: windows.Floats | None,
        excluded: Mapping[str, str] | None = None,
        motion: MotionSource | None = None,
    ) -> None:
        """Set the windows' start times, as in `LabelledClips`. `motion` is needed if `video_spec.motion` is set."""
        super().__init__(
            index,
            placed,
            source,
            imu_spec=imu_spec,
            horizons=horizons,
            seed=seed,
            segment_N=segment_N,
            excluded=excluded,
        )
        self.video_spec = video_spec
        self.motion = motion
        self.features: FeatureFiles | None = None
        """Kept features of a frozen model, which windows then have instead of frames."""

    def _video(self, clip: int, start: float) -> Tensor:
        spec = self.video_spec
        if not spec.frames or self.features is not None:
            return NO_VIDEO
        time_T = windows.frame_times(start, spec.window, spec.frames)
        crop = spec.crop if self.segment_N is None else None
        return torch.from_numpy(self.source.frames(clip, time_T, spec.short_side, crop, spec.burst))

    def shown_frames(self, index: int, count: int, side: int) -> Tensor:
        """See `WindowDataset.shown_frames`."""
        if self.video_spec.frames:
            return super().shown_frames(index, count, side)
        clip, start = int(self.windows.clip_N[index]), float(self.windows.start_N[index])
        time_T = windows.frame_times(start, self.video_spec.window, count)
        return torch.from_numpy(self.source.frames(clip, time_T, side, side))

    def _motion(self, clip: int, start: float) -> Tensor:
        if self.motion is None or self.video_spec.motion is None:
            return NO_MOTION
        return torch.from_numpy(self.motion.motion(clip, start, self.video_spec.motion))

    def _features(self, epoch: int, index: int, clip: int, start: float) -> Tensor:
        if self.features is None:
            return NO_FEATURES
        return self.features.features(clip, start, self._view(epoch, index, self.features.views))

    def _view(self, epoch: int, index: int, views: int) -> int:
        rng = windows.sample_rng(self.seed, epoch, index, stream=windows.KEPT_VIEW)
        return int(rng.integers(views)) if views > 1 else 0

    @property
    def feature_bytes(self) -> int:
        """See `LabelledWindows.feature_bytes`."""
        return 0 if self.features is None else self.features.feature_bytes()

    def joint_draws(self, epoch: int, index: int) -> tuple[Tensor, ...] | None:
        """See `LabelledWindows.joint_draws`."""
        if self.features is None:
            return None
        clip = int(self.windows.clip_N[index])
        return self.features.joint_draws(clip, self._view(epoch, index, self.features.views)) or None


class Fetch(TorchDataset[Sample | DataError]):
    """A dataset that returns the `DataError` of a window that cannot be read, instead of raising it."""

    def __init__(self, dataset: LabelledWindows) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Sample | DataError:
        try:
            return self.dataset[key]
        except DataError as error:
            return error


def collate(samples: Sequence[Sample | DataError], stacked: Stack = torch.stack) -> Batch | DataError:
    """Stack B windows field by field, by the function `stacked`, or return the first error among them."""
    read = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        read.append(sample)
    return Batch(*map(stacked, zip(*read, strict=True)))


def arrived(fetched: Arrival | DataError) -> Arrival:
    """Return the batch that a loader gave. Raises the `DataError` if it gave one instead."""
    if isinstance(fetched, DataError):
        # Raise a new error: raising `fetched` itself makes a reference cycle through its traceback. The cycle keeps
        # the loader alive until garbage collection, where stopping each worker takes 5 s.
        raise DataError(str(fetched)) from fetched
    return fetched
