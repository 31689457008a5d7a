"""Encode the evaluated windows again with perturbed IMU, for `metrics.robustness`. Video is not read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.core.types import Batch
from revalexo_clip.data import LabelledWindows, WindowDataset, Windows
from revalexo_clip.data.dataset import Arrival, LabelledClips, arrived
from revalexo_clip.evaluation.inference import predict_batches
from revalexo_clip.evaluation.perturbations import (
    Perturb,
    as_recorded,
    half_rate,
    sensors,
    turned,
    without_sensor,
)
from revalexo_clip.metrics.evaluated import Ints
from revalexo_clip.metrics.robustness import (
    ANGLE,
    EARLY,
    LATE,
    MISSING,
    SHIFT,
    SLOW,
    TURNED,
    NotPerturbed,
    Perturbed,
)
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.training.loaders import evaluation_batch_size, evaluation_loader


class _Encoded(NamedTuple):
    imu_BD: Tensor
    features_BF: Tensor


class _ImuModule(pl.LightningModule):
    def __init__(self, model: DualEncoder, perturb: Perturb) -> None:
        super().__init__()
        self.model = model
        self.perturb = perturb

    def on_before_batch_transfer(self, batch: Arrival | DataError, dataloader_idx: int) -> Arrival | DataError:
        """Raise the `DataError` of a window that could not be read."""
        return arrived(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> _Encoded:
        """Perturb and encode one batch."""
        found = self.model.encode_imu(self.perturb(batch.imu_BLC, batch.recording_B))
        return _Encoded(found.retrieval.cpu(), found.features_BF.cpu())


def encode_perturbed(
    checkpoint: Checkpoint, dataset: WindowDataset, experiment: PretrainExperiment, on_progress: OnProgress
) -> Iterator[Perturbed | NotPerturbed]:
    """Yield the evaluated windows with each perturbation of their IMU, or why it is impossible.

    Sensors are missing one at a time; all are turned by `ANGLE`, each around an axis of its own; IMU is late or early
    by `SHIFT`; IMU is recorded at half the rate.
    """
    spec, model = checkpoint.description.imu_spec, checkpoint.build_model()
    everything = np.arange(len(dataset))
    plain = at_other_times(dataset, everything, 0.0) or dataset

    def encode(
        name: str, perturb: Perturb, windows: LabelledWindows, rows: Ints, sensor: str | None = None
    ) -> Perturbed:
        batch_size = evaluation_batch_size(experiment.batch_size, experiment.micro_batch)
        loader = evaluation_loader(windows, batch_size, experiment.data.workers)
        batches = predict_batches(_ImuModule(model, perturb), loader, experiment.trainer, no_progress)
        parts = cast("list[_Encoded]", batches)  # what its predict_step returns
        imu_MD, features_MF = (torch.cat(of) for of in zip(*parts, strict=True))
        return Perturbed(name, sensor, rows, imu_MD, features_MF.double().numpy())

    found = sensors(spec.channels)
    total, done = len(found) + 4, 0
    if len(found) < 2:
        yield NotPerturbed(MISSING, f"there is {'a single sensor' if found else 'no sensor'} among the IMU channels")
    else:
        for done, (sensor, places) in enumerate(found.items(), start=1):
            yield encode(MISSING, without_sensor(spec, places), plain, everything, sensor)
            on_progress(done, total)
    rotate = turned(spec, ANGLE, experiment.seed)
    if rotate is None:
        yield NotPerturbed(TURNED, "no sensor has channels of all three axes")
    else:
        yield encode(TURNED, rotate, plain, everything)
    on_progress(total - 3, total)
    for name, shift in ((LATE, -SHIFT), (EARLY, SHIFT)):
        rows = rows_inside(dataset, shift)
        shifted = None if rows is None else at_other_times(dataset, rows, shift)
        if rows is None or shifted is None:
            yield NotPerturbed(name, f"{type(dataset).__name__} cannot be read at other times")
        elif len(rows) == 0:
            yield NotPerturbed(name, "no window stays inside its recording")
        else:
            yield encode(name, as_recorded, shifted, rows)
    on_progress(total - 1, total)
    yield encode(SLOW, half_rate, plain, everything)
    on_progress(total, total)


def rows_inside(dataset: WindowDataset, shift: float) -> Ints | None:
    """Return the windows whose IMU can be read `shift` [s] later, [M] rows; None if no window can be read elsewhere.

    They must lie inside the recording of their clip, and have no gap.
    """
    if not isinstance(dataset, LabelledClips):
        return None
    spec, source = dataset.imu_spec, dataset.source
    kept = []
    for row, (clip, start) in enumerate(zip(dataset.windows.clip_N.tolist(), dataset.windows.start_N, strict=True)):
        first = round((start + shift) * spec.rate) - source.first(clip)
        place = slice(first, first + spec.samples)
        if first >= 0 and place.stop <= source.samples(clip) and np.isfinite(source.imu(clip, place)).all():
            kept.append(row)
    return np.array(kept, dtype=np.int64)


def at_other_times(dataset: WindowDataset, rows: Ints, shift: float) -> LabelledWindows | None:
    """Return some windows without video, their IMU read `shift` [s] later; None if they cannot be read elsewhere."""
    if not isinstance(dataset, LabelledClips):
        return None
    placed = dataset.windows
    return LabelledClips(
        dataset.index,
        Windows(placed.clip_N[rows], placed.start_N[rows] + shift),
        dataset.source,
        imu_spec=dataset.imu_spec,
        horizons=dataset.horizons,
        seed=dataset.seed,
        segment_N=None,
        excluded=dataset.excluded,
    )
