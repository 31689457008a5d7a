"""Computing the features of a frozen video encoder: of all frames of a clip, or of its windows on a grid."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from revalexo_clip.augment import Augmentation, Draws, stack
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import DataError
from revalexo_clip.data.base import NO_MOTION
from revalexo_clip.data.dataset import ClipWindows
from revalexo_clip.data.features import FORMAT, KeptFeatures
from revalexo_clip.data.source import ClipSource
from revalexo_clip.data.windows import Floats, frame_times
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders.frozen import FrozenFeatures
from revalexo_clip.models.layers import without_autocast

FRAMES_READ = 256
"""Frames that are read at once: a long video is decoded from a keyframe once for all of them."""
FRAMES_ENCODED = 64
"""Frames that the model sees at once."""

Task = TypeVar("Task")
Read = TypeVar("Read")


class _Shown(NamedTuple):
    """Frames as an encoder sees them, [T, crop, crop, 3] uint8, and the draws of their augmentation in training."""

    video_THWC: Tensor
    draws: Draws | None


class ClipFeatures:
    """Computes the features of the clips of a dataset, for one view of the training clips or for evaluation.

    `view` is its number if the video is augmented, None for the centre crop. Pixels are those that windows would have
    in training (`dataset.segment_N` is set) or in evaluation.
    """

    def __init__(self, experiment: PretrainExperiment, model: DualEncoder, dataset: ClipWindows, view: int | None):
        assert isinstance(model.video, FrozenFeatures)
        self.experiment, self.model, self.dataset, self.view = experiment, model, dataset, view
        self.network = model.video
        self.training = dataset.segment_N is not None
        self.augmentation = Augmentation(
            (),
            () if view is None else experiment.video_augment,
            () if view is None else experiment.joint_augment,
            imu_spec=dataset.imu_spec,
            video_spec=dataset.video_spec,
        )

    def settings(self, weights: str) -> str:
        """Return a digest of all that features depend on, apart from the video: `weights` is that of the model."""
        experiment, spec = self.experiment, asdict(self.dataset.video_spec)
        if self.network.per_frame:
            for name in ("frames", "window", "burst"):
                del spec[name]
        assert experiment.video is not None
        drawn = None
        if self.view is not None:
            augments = (*experiment.joint_augment, *experiment.video_augment)
            drawn = [self.view, experiment.seed, [one.model_dump(mode="json") for one in augments]]
        video = experiment.video.model_dump(mode="json")
        described = [FORMAT, video, weights, spec, self.training, self.network.per_frame, drawn]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]

    def file_name(self, clip: int) -> str:
        """Return the name of the file of a clip: it depends on the video, and on the starts of windows on a grid."""
        digest = hashlib.sha256(self.dataset.source.pixel_source(clip).encode())
        if not self.network.per_frame:
            digest.update(self.starts(clip).tobytes())
        return f"{digest.hexdigest()[:32]}.safetensors"

    def starts(self, clip: int) -> Floats:
        """Return the ascending starts of a clip's windows [s]."""
        if self.training:
            assert self.dataset.grid is not None
            return self.dataset.grid.starts(clip)
        placed = self.dataset.windows
        return np.unique(placed.start_N[placed.clip_N == clip])

    def compute(self, clip: int, threads: int) -> KeptFeatures:
        """Compute the features of a clip, whose frames are read by some threads. Raises `DataError` as reading does."""
        spec, source = self.dataset.video_spec, self.dataset.source
        if self.network.per_frame:
            time_n, tolerance = source.frame_times(clip)
            pieces: list[Floats] = [time_n[first : first + FRAMES_READ] for first in range(0, len(time_n), FRAMES_READ)]
            burst, together = 1, 1
        else:
            time_n, tolerance = self.starts(clip), 0.0
            pieces = [frame_times(start, spec.window, spec.frames) for start in time_n.tolist()]
            burst, together = spec.burst, max(FRAMES_ENCODED // spec.images, 1)
        sources = _Copies(source)
        seed = self._seed(clip)

        def read(time_T: Floats) -> _Shown:
            return self._read(sources.own(), clip, time_T, burst, seed)

        try:
            shown = ahead(read, pieces, threads)
            found = [(self._encode(some), some[0].draws) for some in _groups(shown, together)]
        except DataError as error:
            raise DataError(f"{self.dataset.clip_names[clip]}: {error}") from error
        per_frame = self.network.per_frame
        value_nMP = torch.cat([x_BMP.flatten(0, 1)[:, None] if per_frame else x_BMP for x_BMP, _ in found])
        draws = found[0][1]
        joint = () if draws is None or self.view is None else tuple(drawn.numpy() for drawn in draws.joint)
        return KeptFeatures(time_n, tolerance, value_nMP.numpy(), joint)

    def _seed(self, clip: int) -> list[int]:
        """Return the seed of the draws of this view of a clip; pieces of one video have the same."""
        name = f"{self.experiment.seed} {self.view} {self.dataset.index.video_N[clip]}"
        seed: list[int] = np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32).tolist()
        return seed

    def _read(self, source: ClipSource, clip: int, time_T: Floats, burst: int, seed: list[int]) -> _Shown:
        spec, imu = self.dataset.video_spec, self.dataset.imu_spec
        crop = None if self.training else spec.crop
        video_THWC = source.frames(clip, time_T, spec.short_side, crop, burst)
        if not self.training:
            return _Shown(torch.from_numpy(video_THWC), None)
        no_imu = np.zeros((imu.samples, len(imu.channels)), dtype=np.float32)
        _, video_THWC, draws = self.augmentation.sample(np.random.default_rng(seed), no_imu, video_THWC)
        return _Shown(torch.from_numpy(np.ascontiguousarray(video_THWC)), draws)

    @torch.no_grad()
    def _encode(self, windows: Sequence[_Shown]) -> Tensor:
        """Compute features [B, M, P] of B windows, on the device of the model and without autocast."""
        device = next(iter(self.network.state_dict().values())).device
        video_BTHWC = torch.stack([window.video_THWC for window in windows])
        parts = torch.split(video_BTHWC, FRAMES_ENCODED, dim=1) if self.network.per_frame else [video_BTHWC]
        found = []
        with without_autocast(device):
            for part_BTHWC in parts:
                video_B3THW = self._coloured(part_BTHWC.to(device), [window.draws for window in windows])
                found.append(self.network.model_features(video_B3THW).float().cpu())
        return torch.cat(found, dim=1)

    def _coloured(self, video_BTHWC: Tensor, draws: Sequence[Draws | None]) -> Tensor:
        drawn = [one for one in draws if one is not None]
        if not drawn:
            return self.model.normalized(video_BTHWC)
        imu, motion, device = self.dataset.imu_spec, self.dataset.video_spec.motion, video_BTHWC.device
        no_imu = torch.zeros(len(drawn), imu.samples, len(imu.channels), device=device)
        shape = NO_MOTION.shape if motion is None else (motion.moments, motion.rows, motion.columns, 3)
        no_motion = torch.zeros(len(drawn), *shape, device=device)
        moved: Draws = move_data_to_device(stack(drawn), device)
        return self.augmentation.apply(no_imu, video_BTHWC, no_motion, moved).video_B3THW


class _Copies:
    """A copy of a source for each thread: a source is made for one."""

    def __init__(self, source: ClipSource) -> None:
        self._pickled = pickle.dumps(source)
        self._local = threading.local()

    def own(self) -> ClipSource:
        """Return the copy of this thread."""
        if not hasattr(self._local, "source"):
            self._local.source = pickle.loads(self._pickled)  # noqa: S301 - pickled by this process
        source: ClipSource = self._local.source
        return source


def _groups(items: Iterable[Read], size: int) -> Iterator[list[Read]]:
    remaining = iter(items)
    while group := list(islice(remaining, size)):
        yield group


def ahead(read: Callable[[Task], Read], tasks: Sequence[Task], threads: int) -> Iterator[Read]:
    """Yield what `read` returns for each task, in order, while some threads read the next ones."""
    following = iter(tasks)
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        waiting = deque(pool.submit(read, task) for task in islice(following, 2 * threads + 1))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(read, task) for task in islice(following, 1))
        finally:
            for future in waiting:
                future.cancel()


def weights_of(network: FrozenFeatures) -> str:
    """Return a digest of the weights and other state of a network."""
    digest = hashlib.sha256(type(network).__qualname__.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
